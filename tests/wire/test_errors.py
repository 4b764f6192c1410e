"""What an error tells whom: the class and message to the trainer, the traceback to the log under the same id."""

import logging
import re

import httpx
import pytest
from tests.toys import Counter
from tests.wire.conftest import Connect, Serve
from tests.wire.environments import Moody, Talkative, Unbuildable
from tests.wire.raw import RESET, step

RAISES = step(trouble="raise")


def logged(caplog: pytest.LogCaptureFixture, error_id: str) -> str:
    """Return what the log has under an error id."""
    (record,) = [r for r in caplog.records if error_id in r.getMessage()]
    assert record.levelno == logging.ERROR
    return logging.Formatter().format(record)


def test_a_traceback_is_in_the_log_and_not_on_the_wire(
    serve_on: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
):
    ws = connect(serve_on(Moody))
    ws.ask(RESET)
    error = ws.refused(RAISES)
    assert error["message"] == "LookupError: no such key: 'x'"
    assert error["exception"] == "LookupError"
    assert error.keys() == {"message", "code", "exception", "error_id"}
    log = logged(caplog, error["error_id"])
    assert "Traceback (most recent call last)" in log
    assert "make_trouble" in log


def test_the_same_holds_over_http(serve, http: httpx.Client, caplog: pytest.LogCaptureFixture):
    url = serve(Moody).url
    http.post(f"{url}/reset")
    response = http.post(f"{url}/step", json={"action": {"trouble": "raise"}})
    error = response.json()
    assert (response.status_code, error["exception"]) == (500, "LookupError")
    assert error.keys() == {"detail", "message", "code", "exception", "error_id"}
    assert "Traceback" not in response.text
    assert "make_trouble" in logged(caplog, error["error_id"])


def test_each_error_has_an_id_of_its_own(serve_on: Serve, connect: Connect):
    ws = connect(serve_on(Moody))
    ws.ask(RESET)
    ids = {ws.refused(RAISES)["error_id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9a-f]{12}", error_id) for error_id in ids)


def test_what_was_sent_does_not_come_back_in_a_validation_error(serve_on: Serve, connect: Connect):
    ws = connect(serve_on(Moody))
    error = ws.refused(step(amount="hunter2 is my password"))
    assert "hunter2" not in str(error)
    assert error["errors"][0]["loc"] == ["amount"]


def test_a_constructor_that_fails_leaves_its_traceback_in_the_log(
    serve_on: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
):
    error = connect(serve_on(Unbuildable)).error()
    assert "environments.py" in logged(caplog, error["error_id"])


def test_an_environment_that_cannot_describe_itself_is_described_by_its_class(
    serve, http: httpx.Client, caplog: pytest.LogCaptureFixture
):
    server = serve(Talkative)
    for _ in range(2):
        response = http.get(f"{server.url}/metadata")
        assert (response.status_code, response.json()["name"]) == (200, "Talkative")
        assert "secret" not in response.text
    assert "/secret/place" in caplog.text
    assert http.get(f"{server.url}/capacity").json()["active_sessions"] == 0


def test_an_unknown_address_is_a_plain_404(shared, http: httpx.Client):
    response = http.get(shared(Counter).url + "/nothing/here")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
