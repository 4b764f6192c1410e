"""`openenv dev`: the page, and another server whenever a file changes."""

import signal
import socket
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from tests.cli.running import ask, served

pytestmark = pytest.mark.slow


def page_of(server) -> str:
    """Return the address that was announced, of the page."""
    line = server.stdout.readline()
    assert "Ctrl+C stops it" in line, server.communicate(timeout=5)
    return next(word for word in line.split() if word.startswith("http://"))


def total_after_a_step(page: str) -> int:
    """Ask over the same address; whoever comes while the server starts anew waits."""
    ask(page.replace("/web", "/reset"), {})
    return ask(page.replace("/web", "/step"), {"action": {"amount": 3}})["observation"]["total"]


def test_an_environment_is_served_with_its_page_and_anew_when_a_file_changes(make_environment):
    folder = make_environment()
    source = folder / "server" / "environment.py"
    with served(str(folder), "--port", "0", command="dev") as server:
        page = page_of(server)
        with urlopen(page, timeout=15) as response:
            assert b"<html" in response.read()
        assert total_after_a_step(page) == 3
        source.write_text(source.read_text().replace("+= action", "+= 10 * action"))
        assert "server/environment.py has changed" in server.stdout.readline()
        assert total_after_a_step(page) == 30
    assert server.returncode == 0
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((urlsplit(page).hostname, urlsplit(page).port)),
    ):
        pass


def test_a_server_that_does_not_come_up_is_started_again_when_its_source_is_right(make_environment):
    folder = make_environment()
    source = folder / "server" / "app.py"
    right = source.read_text()
    source.write_text("raise RuntimeError('broken on purpose')")
    with served(str(folder), "--port", "0", command="dev") as server:
        page = page_of(server)
        told = server.stderr.readline() + server.stderr.readline()
        assert "RuntimeError: broken on purpose (server/app.py, line 1)" in told
        assert "starts again when a file changes" in server.stdout.readline()
        source.write_text(right)
        assert "server/app.py has changed" in server.stdout.readline()
        assert total_after_a_step(page) == 3
    assert server.returncode == 0


def test_an_interrupt_ends_it_also_where_its_starter_ignores_them(make_environment):
    """As a shell does for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with served(str(make_environment()), "--port", "0", command="dev") as server:
            page_of(server)
    finally:
        signal.signal(signal.SIGINT, before)
    assert server.returncode == 0
