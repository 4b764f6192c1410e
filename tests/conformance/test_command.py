"""`openenv conformance` as a user runs it."""

import json
import socket
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from pydantic import Field
from tests.servers import Server
from tests.toys import Count, InlineCounter, Tally

from openenv.cli.conformance import conformance
from openenv.environment import Environment
from openenv.models import Action
from openenv.validation.conformance import checks_of


def command(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(conformance, arguments)


class Coded(Action):
    """An action of which a legal one can be made up, but not one that works."""

    code: str


class Picky(Environment[Coded, Count, Tally]):
    """Takes one word."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self) -> Count:
        self.tally = Tally()
        return Count(total=0)

    def step(self, action: Coded) -> Count:
        if action.code != "open sesame":
            raise LookupError(f"no such word: {action.code}")
        self.tally.step_count += 1
        return Count(total=1)

    def get_state(self) -> Tally:
        return self.tally

    def set_state(self, value: Tally) -> None:
        self.tally = value

    @property
    def state(self) -> Tally:
        return self.tally


class Plated(Action):
    """An action that the schema describes, but does not spell out."""

    plate: str = Field(pattern="^[A-Z]{2}[0-9]{3}$")


class Guarded(Environment[Plated, Count, Tally]):
    """Takes number plates."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Count:
        return Count(total=0)

    def step(self, action: Plated) -> Count:
        return Count(total=1)

    @property
    def state(self) -> Tally:
        return Tally()


def test_a_server_without_fault_is_a_table_of_ok_and_exit_status_0(shared: Callable[..., Server]):
    ran = command(shared(InlineCounter).url, "--version", "1")
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert lines[0] == "v1"
    assert "  ok       handshake" in lines
    assert "  ok       bad_frame (27 cases)" in lines
    assert "0 failed, 0 skipped" in lines[-1]


def test_a_failure_says_what_was_expected_and_what_came_and_exit_status_is_1(serve, monkeypatch):
    monkeypatch.setattr("openenv.server.sessions._REFUSED", {})
    ran = command(serve(InlineCounter).url, "--only", "v1.step_before_reset")
    assert ran.exit_code == 1
    assert ran.output.splitlines()[:2] == ["v1", "  failed   step_before_reset"]
    assert 'expected  {"type": "error", "data": {"code": "NOT_RESET"' in ran.output
    assert 'got       {"type": "error", "data": {"message": ' in ran.output


def test_the_result_as_json(shared):
    ran = command(shared(InlineCounter).url, "--only", "http.health", "--only", "v2.bad_frame", "--json")
    told = json.loads(ran.output)
    assert told["url"] == shared(InlineCounter).url
    assert (told["ok"], told["failed"], told["skipped"]) == (len(told["checks"]), 0, 0)
    assert {check["name"] for check in told["checks"]} >= {"http.health", "v2.bad_frame[null]"}


def test_checks_can_be_left_out(shared):
    ran = command(shared(InlineCounter).url, "--only", "http*", "--skip", "http.old_routes", "--json")
    names = [check["name"] for check in json.loads(ran.output)["checks"]]
    assert "http.health" in names
    assert "http.old_routes" not in names


def test_the_list_has_every_check_with_its_help():
    ran = command("--list")
    assert ran.exit_code == 0
    for check in checks_of():
        assert check.help, check.name
        assert check.help in ran.output
    assert "v2.exactly_once" in ran.output


def test_an_action_can_be_given_where_a_made_up_one_does_not_work(shared):
    url = shared(Picky).url
    made_up = command(url, "--only", "v1.step_and_state", "--only", "v2.step_and_state")
    given = command(url, "--version", "2", "--action", '{"code": "open sesame"}', "--bad-action", '{"code": 5}')
    assert given.exit_code == 0, given.output
    assert "0 skipped" in given.output
    assert "give --action one that works" in made_up.output


def test_an_address_where_nobody_answers_is_exit_status_2():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ran = command(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert ran.exit_code == 2
    assert "No server answers at http://127.0.0.1:" in ran.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'URL'"),
        (["ftp://somewhere"], "is not the address of a server"),
        (["http://127.0.0.1:1", "--action", "{"], "--action"),
        (["http://127.0.0.1:1", "--only", "no_such_check"], "No check is called 'no_such_check'"),
        (["http://127.0.0.1:1", "--timeout", "0"], "--timeout"),
    ],
)
def test_wrong_use_says_what_is_wrong(arguments: list[str], message: str):
    ran = command(*arguments)
    assert ran.exit_code == 2
    assert message in ran.output
    assert "Traceback" not in ran.output


def test_an_address_may_be_that_of_the_websocket(shared):
    url = shared(InlineCounter).url.replace("http", "ws", 1) + "/ws"
    assert command(url, "--only", "v2.handshake", "--only", "http.health").exit_code == 0


def test_checks_that_need_an_action_are_skipped_where_the_schema_does_not_tell_one(shared):
    ran = command(shared(Guarded).url, "--only", "v2.step_and_state", "--only", "v2.reset")
    assert ran.exit_code == 0
    assert "  ok       reset" in ran.output
    assert "  skipped  step_and_state: no legal action can be made up" in ran.output
    assert "give one with --action" in ran.output
