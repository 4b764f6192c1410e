"""`openenv mcp` as a desktop agent starts it: the official client and FastMCP's, unmodified, and lines by hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from mcp import Client, StdioServerParameters, stdio_client
from tests.servers import wait_until

from openenv.cli.mcp import mcp

HERE = Path(__file__).parent
NOISY = "noisy_environment:Noisy"
VARIABLES = {"PYTHONPATH": str(HERE.parents[1] / "src"), "OPENENV_MAX_MESSAGE_SIZE_MB": "1"}


def command(*arguments: str) -> list[str]:
    return ["-m", "openenv", "mcp", *(arguments or (NOISY,))]


def official(log, *arguments: str, **variables: str) -> Client:
    parameters = StdioServerParameters(
        command=sys.executable, args=command(*arguments), cwd=HERE, env={**VARIABLES, **variables}
    )
    return Client(stdio_client(parameters, errlog=log))


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log").open("w+") as file:
        yield file


def written_to(log) -> str:
    return Path(log.name).read_text()


@contextmanager
def by_hand(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    server = subprocess.Popen(
        [sys.executable, *command(*arguments)],
        cwd=HERE,
        env={**os.environ, **VARIABLES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with server:
        try:
            yield server
        finally:
            server.kill()


def ask(server, method: str, number: int = 1, **params) -> dict:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


# --- clients ---------------------------------------------------------------------------------------------------


async def test_the_official_client_plays_an_environment_that_prints_everywhere(log):
    async with official(log, NOISY, "--reset", "seed=3", "--reset", "word=hello") as client:
        assert client.server_info.name == "Noisy"
        assert {tool.name for tool in (await client.list_tools()).tools} == {"add", "sleep"}
        first = await client.call_tool("add", {"amount": 2})
        assert first.structured_content["total"] == 5
        assert first.structured_content["read"] == ""  # of what was meant for the wire
        assert '"read":"hello"' in first.content[1].text
        assert first.meta["openenv/result"]["reward"] == 5.0
        last = await client.call_tool("add", {"amount": 6})
        assert last.meta["openenv/result"]["done"]
        assert "begins another one" in last.content[-1].text
        again = await client.call_tool("add", {"amount": 1})
        assert again.structured_content["total"] == 4
        wrong = await client.call_tool("add", {"amount": "many"})
        assert wrong.is_error
    said = written_to(log)
    for words in (
        "imported\n",
        "imported by a child\n",
        "made\n",
        "reset\n",
        "raw\n",
        "buffered",
        "from a child\n",
    ):
        assert words in said
    assert said.endswith("closed\n")


async def test_the_client_of_fastmcp_plays_it(log):
    import fastmcp
    from fastmcp.client.transports import StdioTransport

    transport = StdioTransport(
        sys.executable, command(), env=VARIABLES, cwd=str(HERE), keep_alive=False, log_file=Path(log.name)
    )
    async with fastmcp.Client(transport) as client:
        assert [tool.name for tool in await client.list_tools()] == ["add", "sleep"]
        assert (await client.call_tool("add", {"amount": 2})).structured_content["total"] == 2


async def test_an_agent_in_production_sees_no_rewards(log):
    async with official(log, NOISY, "--mode", "production") as client:
        result = await client.call_tool("add", {"amount": 2})
        assert result.meta["openenv/result"] == {"done": False}


async def test_a_folder_is_served(log, make_environment):
    async with official(log, str(make_environment())) as client:
        assert (await client.call_tool("add", {"amount": 2})).structured_content["total"] == 2


# --- its end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
def test_it_ends_with_all_it_has_started(how):
    with by_hand() as server:
        ask(server, "initialize", **HELLO)
        child = ask(server, "tools/call", name="add", arguments={"amount": 1})["result"]["structuredContent"][
            "child"
        ]
        assert child
        if how == "end of input":
            server.stdin.close()
        else:
            server.send_signal(getattr(signal, how))
        assert server.wait(10) == (-signal.SIGKILL if how == "SIGKILL" else 0)
        assert server.stdout.read() == b""
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_what_is_under_way_when_the_input_ends_is_still_answered():
    messages = [
        {"id": 1, "method": "initialize", "params": HELLO},
        {"id": 2, "method": "tools/call", "params": {"name": "sleep", "arguments": {"seconds": 0.1}}},
    ]
    lines = "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)
    with by_hand() as server:
        answers = [json.loads(line) for line in server.communicate(lines.encode(), timeout=10)[0].splitlines()]
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["total"] == 0


def test_a_hung_step_does_not_keep_it_from_ending_nor_its_children():
    with by_hand() as server:
        ask(server, "initialize", **HELLO)
        added = ask(server, "tools/call", name="add", arguments={"amount": 1})
        child = added["result"]["structuredContent"]["child"]
        call = {"name": "sleep", "arguments": {"seconds": 600}}
        server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).encode())
        server.stdin.close()
        assert server.wait(10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_client_that_is_gone_ends_it():
    with by_hand() as server:
        ask(server, "initialize", **HELLO)
        server.stdout.close()
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 2, "method": "ping"}\n')
        server.stdin.flush()
        assert wait_until(lambda: server.poll() is not None)


# --- what is no message ----------------------------------------------------------------------------------------


def test_what_is_no_message_is_refused_and_the_next_one_is_answered():
    with by_hand() as server:
        for line, code in [(b"what?", -32700), (b"5", -32600), (b"[]", -32600), (b"x" * 1_500_000, -32000)]:
            server.stdin.write(b"\n" + line + b"\n")
            server.stdin.flush()
            assert json.loads(server.stdout.readline())["error"]["code"] == code
        assert ask(server, "initialize", **HELLO)["result"]["serverInfo"]["name"] == "Noisy"
        server.stdin.write(b'[{"jsonrpc": "2.0", "id": 7, "method": "ping"}]\n')
        assert ask(server, "ping", 8)["id"] == 7
        assert json.loads(server.stdout.readline())["id"] == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "No environment at 'nowhere'"),
        ([NOISY, "--reset", "seed"], "KEY=VALUE"),
        ([NOISY, "--mode", "test"], "simulation"),
        (["openenv.cli.mcp:click.echo"], "was not made by openenv.server.create_app"),
    ],
)
def test_what_can_not_be_served_is_a_plain_sentence_and_nothing_on_the_wire(arguments, words):
    done = subprocess.run(
        [sys.executable, *command(*arguments)], cwd=HERE, env={**os.environ, **VARIABLES}, capture_output=True
    )
    assert done.returncode != 0
    assert done.stdout == b""
    assert words in done.stderr.decode()


def test_its_help_has_what_goes_into_the_configuration_of_an_agent():
    shown = CliRunner().invoke(mcp, ["--help"]).output
    written = shown[shown.index("{") : shown.rindex("}") + 1]
    assert json.loads(written)["mcpServers"]["my_env"]["command"] == "openenv"
