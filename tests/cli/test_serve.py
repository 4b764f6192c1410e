"""`openenv serve` as a person runs it: a real server, and a plain sentence when there can be none."""

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.running import ask, served, url_of

from openenv.cli.serve import announce, serve
from openenv.cli.target import Target


def test_a_folder_is_served_and_announced_and_ends_with_ctrl_c(make_environment):
    with served(str(make_environment()), "--port", "0") as server:
        url = url_of(server)
        assert url.startswith("http://127.0.0.1:")
        assert ask(f"{url}/health") == {"status": "healthy"}
        ask(f"{url}/reset", {})
        assert ask(f"{url}/step", {"action": {"amount": 3}})["observation"]["total"] == 3
    assert server.returncode == 0


def test_a_folder_of_another_name_than_its_package_is_served_without_being_installed(make_environment):
    with served(str(make_environment("counter-env")), "--port", "0") as server:
        url = url_of(server)
        ask(f"{url}/reset", {})
        assert ask(f"{url}/step", {"action": {"amount": 3}})["observation"]["total"] == 3


def test_an_open_socket_can_be_handed_over(make_environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        fd = listener.fileno()
        with served(str(make_environment()), "--fd", str(fd), fds=(fd,)):
            assert ask(f"http://127.0.0.1:{listener.getsockname()[1]}/health") == {"status": "healthy"}


@pytest.mark.slow
@pytest.mark.parametrize("option", [["--workers", "2"], ["--reload"]])
def test_worker_processes_find_a_folder_that_is_not_installed(make_environment, option):
    with served(str(make_environment()), "--port", "0", *option) as server:
        url = url_of(server)
        assert ask(f"{url}/health") == {"status": "healthy"}


def test_a_taken_port_is_told_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = CliRunner().invoke(serve, ["no/such/folder", "--port", str(port)])
    assert result.exit_code == 1
    assert f"Port {port} of 127.0.0.1 is taken" in result.output


def test_an_unknown_host_is_told():
    result = CliRunner().invoke(serve, ["--host", "no host at all", "--port", "0"])
    assert result.exit_code == 1
    assert "no host 'no host at all'" in result.output


@pytest.mark.usefixtures("clean_imports")
def test_an_import_error_is_one_sentence_and_a_traceback_only_when_asked_for(make_environment):
    folder = str(make_environment(files={"server/app.py": "raise RuntimeError('broken on purpose')"}))
    short = CliRunner().invoke(serve, [folder, "--port", "0"])
    assert short.exit_code == 1
    assert "RuntimeError: broken on purpose (server/app.py, line 1)" in short.output
    assert "Traceback" not in short.output
    long = CliRunner().invoke(serve, [folder, "--port", "0", "--log-level", "debug"])
    assert "Traceback" in long.output


@pytest.mark.usefixtures("clean_imports")
def test_workers_need_an_app_that_they_can_import(make_environment, monkeypatch):
    monkeypatch.chdir(make_environment().parent)
    result = CliRunner().invoke(serve, ["counter_env.server.environment:Counter", "--port", "0", "--workers", "2"])
    assert result.exit_code == 1
    assert "create_app" in result.output


@pytest.mark.usefixtures("clean_imports")
def test_workers_need_a_folder_of_another_name_to_be_installed(make_environment):
    result = CliRunner().invoke(serve, [str(make_environment("counter-env")), "--port", "0", "--workers", "2"])
    assert result.exit_code == 1
    assert "pip install -e" in result.output


class Bound:
    """What a listening socket says of itself; binding all interfaces for a test would be too open."""

    def __init__(self, *address: object) -> None:
        self.getsockname = lambda: address


@pytest.mark.parametrize(
    ("address", "shown", "reachable"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80 ", False),
        (("::1", 80, 0, 0), "http://[::1]:80 ", False),
        (("0.0.0.0", 80), "http://127.0.0.1:80 ", True),
        (("192.0.2.7", 80), "http://192.0.2.7:80 ", True),
    ],
)
def test_a_server_that_others_can_reach_says_so(capsys, address, shown, reachable):
    announce(Target("counter_env", "m", "a"), Bound(*address))
    printed = capsys.readouterr()
    assert shown in printed.out
    assert ("Other machines" in printed.err) is reachable


def test_reload_and_workers_exclude_each_other():
    result = CliRunner().invoke(serve, ["--reload", "--workers", "2"])
    assert result.exit_code == 2


def test_an_mcp_server_is_served_as_an_environment():
    odd_server = Path(__file__).parents[1] / "mcp" / "odd_server.py"
    with served("--mcp-server", f"{sys.executable} {odd_server}", "--port", "0") as server:
        url = url_of(server)
        names = [tool["name"] for tool in ask(f"{url}/reset", {})["observation"]["tools"]]
        assert {"say", "server_reset"} <= set(names)
        action = {"type": "call_tool", "tool_name": "say", "arguments": {"text": "hello"}}
        assert ask(f"{url}/step", {"action": action})["observation"]["result"] == "hello"
        listed = ask(f"{url}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})["result"]["tools"]
        assert [tool["name"] for tool in listed] == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mcp-server", "x", "--workers", "2"], "neither --workers nor --reload"),
        (["--mcp-server", "ftp://x", "--port", "0"], "http:// or https://"),
    ],
)
def test_what_is_no_mcp_server_is_a_plain_sentence(arguments, words):
    result = CliRunner().invoke(serve, arguments)
    assert result.exit_code != 0
    assert words in f"{result.output}{result.exception}"
