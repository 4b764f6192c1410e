"""How browsers are kept: shared and warm, cut off from the network, never orphaned, and replaced when they end."""

import asyncio
import json
import os
import select
import signal
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("browsergym.miniwob", reason="BrowserGym is not installed")

from browsergym_env import BrowserGymAction, BrowserGymState
from browsergym_env.server import launching
from browsergym_env.server.browsergym_environment import BrowserGymEnvironment
from browsergym_env.server.browsers import BrowserPool
from browsergym_env.server.launching import Launch, find_browser
from openenv.errors import ConfigurationError, WorkspaceLostError

try:
    NO_BROWSER = find_browser() and ""
except ConfigurationError as error:
    NO_BROWSER = str(error)

slow_with_a_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(NO_BROWSER), reason=NO_BROWSER),
]
ROOT = Path(__file__).parents[3]


def play(story, **options):
    """Run a test with an environment that has browsers of its own."""

    async def bounded():
        environment = BrowserGymEnvironment(screenshot=False, **options)
        environment._pool = BrowserPool(environment._launch, 1)
        try:
            async with asyncio.timeout(120):
                await story(environment)
        finally:
            await environment.close()
            await asyncio.to_thread(environment._pool.close)

    asyncio.run(bounded())


async def step(environment, text):
    return await environment.step(BrowserGymAction(action_str=text))


async def in_page(environment, program):
    """Run a program in the page, as only a page itself could."""
    window = environment._episode.window
    return await asyncio.wrap_future(environment._browser.run(lambda _: window.page.evaluate(program)))


def crash(window):
    window.context.new_cdp_session(window.page).send("Page.crash")


def processes():
    """Return parents by process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = place.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(place.parent.name)] = int(parent)
    return found


def descendants(pid):
    parents, found = processes(), [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def await_end(pids, seconds=30):
    """Return which of some processes still run after a time."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
    return [pid for pid in pids if pid in processes()]


# --- shared and warm ---------------------------------------------------------------------------------


class TestWarm:
    pytestmark = slow_with_a_browser

    def test_episodes_and_sessions_share_a_browser_and_nothing_else(self):
        async def story(environment):
            other = BrowserGymEnvironment("click-test-2", screenshot=False)
            other._pool = environment._pool
            await environment.reset(seed=1)
            first = environment._browser
            await environment.reset(seed=2)
            await other.reset(seed=1)
            assert environment._browser is other._browser is first
            assert first.sessions == 2
            await in_page(environment, "document.cookie = 'a=1'; localStorage.setItem('b', '2')")
            assert await in_page(other, "document.cookie + localStorage.length") == "0"
            await environment.reset(seed=2)
            assert await in_page(environment, "document.cookie + localStorage.length") == "0"
            await other.close()
            assert (first.sessions, first.alive) == (1, True)

        play(story)

    def test_more_browsers_are_started_when_they_are_allowed_and_needed(self):
        pool = BrowserPool(Launch(find_browser()), 2)
        try:
            leased = [pool.lease() for _ in range(4)]
            assert len(set(leased)) == 2
            assert {browser.sessions for browser in leased} == {2}
            pool.release(leased[0])
            assert pool.lease() is leased[0]
        finally:
            pool.close()
        assert not any(browser.alive or browser.profile.exists() for browser in leased)

    def test_a_browser_that_cannot_be_started_is_a_fault_that_says_why(self):
        async def story(environment):
            for _ in range(2):
                with pytest.raises(WorkspaceLostError, match="does not start"):
                    await environment.reset()

        play(story, program="true")


# --- no network --------------------------------------------------------------------------------------


@contextmanager
def website():
    """Serve a page and yield the port, and the requests that came."""
    came = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            came.append(self.rfile.readline().decode())
            body = b"<title>Outside</title><button>There</button>"
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n")
            self.wfile.write(b"Access-Control-Allow-Origin: *\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], came
        finally:
            server.shutdown()
            thread.join()


class TestNetwork:
    pytestmark = slow_with_a_browser

    def test_a_page_reaches_nothing_but_packaged_pages(self):
        async def story(environment):
            await environment.reset(seed=1)
            for kind in ("fetch('http://{}/')", "new Promise((_, no) => new WebSocket('ws://{}/').onerror = no)"):
                for host in ("127.0.0.1", "localhost", "0x7f000001", "miniwob.localhost.", "a.localhost", "[::1]"):
                    program = kind.format(f"{host}:{port}")
                    tried = f"Promise.race([{program}.then(() => 'reached', () => 'refused')])"
                    assert await in_page(environment, tried) == "refused"
            await in_page(environment, f"new Image().src = 'http://127.0.0.1:{port}/i'")
            assert "not allowed" in (await step(environment, f"goto('{outside}')")).observation.last_action_error
            result = await step(environment, "goto('http://miniwob.localhost/../../__init__.py')")
            assert "import" not in result.observation.axtree_txt

        with website() as (port, came):
            outside = f"http://127.0.0.1:{port}/"
            play(story)
            assert came == []

    def test_a_link_to_elsewhere_leads_nowhere(self):
        async def story(environment):
            await environment.reset(seed=1)
            await in_page(
                environment, f"document.getElementById('area').innerHTML = '<a href=\"{outside}\">go</a>'"
            )
            seen = (await step(environment, "noop(0)")).observation
            bid = seen.axtree_txt.partition("link 'go'")[0].rpartition("[")[2].rstrip("] ")
            result = await step(environment, f"click('{bid}')")
            assert not result.done
            assert result.observation.url.startswith("http://miniwob.localhost/")

        with website() as (port, came):
            outside = f"http://127.0.0.1:{port}/"
            play(story)
            assert came == []

    def test_hosts_that_are_allowed_are_reached(self):
        async def story(environment):
            await environment.reset(seed=1)
            result = await step(environment, f"goto('http://127.0.0.1:{port}/')")
            assert "There" in result.observation.axtree_txt
            assert (result.reward, result.terminated) == (0.0, True)  # for the task was elsewhere

        with website() as (port, came):
            play(story, allow=["127.0.0.1"])
            assert came[0].startswith("GET / ")


# --- ends --------------------------------------------------------------------------------------------


class TestEnds:
    pytestmark = slow_with_a_browser

    def test_a_browser_that_is_killed_in_a_step_is_a_fault_and_reset_begins_with_a_new_one(self):
        async def story(environment):
            await environment.reset(seed=1)
            first, guardian = environment._browser, environment._browser.guardian
            (root,) = (pid for pid, parent in processes().items() if parent == guardian)
            stepping = asyncio.create_task(step(environment, "noop(5000)"))
            await in_page(environment, "1")  # it is under way
            os.kill(root, signal.SIGKILL)
            with pytest.raises(WorkspaceLostError, match="Reset begins with a new one"):
                await stepping
            seen = await environment.reset(seed=1)
            assert seen.goal == "Click the button."
            assert environment._browser is not first
            assert (await step(environment, "click('13')")).reward == 1.0

        play(story)

    def test_a_page_that_crashes_or_hangs_is_given_up_alone(self):
        async def story(environment):
            other = BrowserGymEnvironment("click-test-2", screenshot=False)
            other._pool = environment._pool
            for program in ("setTimeout(() => { while (true); })", None):
                await other.reset(seed=1)
                await environment.reset(seed=1)
                if program:
                    await in_page(environment, program)
                else:
                    environment._browser.run(lambda _: crash(environment._episode.window))
                with pytest.raises(WorkspaceLostError):
                    await step(environment, "noop(0)")
                assert (await step(other, "noop(0)")).observation.last_action_error == ""
                assert (await environment.reset(seed=1)).goal == "Click the button."
            await other.close()

        play(story, limit_s=3)

    def test_a_step_that_is_cancelled_gives_its_page_up(self):
        async def story(environment):
            await environment.reset(seed=1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await step(environment, "noop(5000)")
            assert (await environment.reset(seed=1)).goal == "Click the button."
            assert environment._browser.sessions == 1

        play(story)

    @pytest.mark.parametrize("victim", ["server", "driver", "guardian"])
    def test_nothing_is_left_when_a_process_is_killed(self, victim):
        server, told = start_a_server()
        try:
            all_of_it = descendants(server.pid)
            assert {told["guardian"], told["driver"]} <= set(all_of_it)
            os.kill({"server": server.pid, **told}[victim], signal.SIGKILL)
            left = [pid for pid in all_of_it if victim == "server" or pid != told["driver"]]
            if victim == "guardian":  # the driver is of no use then, but belongs to a server that lives
                left = [pid for pid in left if pid != told["driver"]]
            assert await_end(left) == []
            if victim != "guardian":
                assert not Path(told["profile"]).exists()
        finally:
            server.kill()
            server.communicate()
        assert await_end(all_of_it) == []

    def test_nothing_is_left_when_the_server_ends(self):
        server, told = start_a_server()
        all_of_it = descendants(server.pid)
        server.communicate("")
        assert server.returncode == 0
        assert await_end(all_of_it) == []
        assert not Path(told["profile"]).exists()


SERVER = """
import asyncio, json, sys
from browsergym_env.server.browsergym_environment import BrowserGymEnvironment

async def main():
    environment = BrowserGymEnvironment(screenshot=False)
    await environment.reset(seed=1)
    guardian = environment._browser.guardian
    driver = int(open(f"/proc/{guardian}/stat").read().rpartition(")")[2].split()[1])
    profile = str(environment._browser.profile)
    print(json.dumps({"guardian": guardian, "driver": driver, "profile": profile}), flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def start_a_server():
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "envs")])
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return server, json.loads(server.stdout.readline())


# --- how it is started -------------------------------------------------------------------------------


def test_a_browser_is_cut_off_unless_it_is_told_otherwise(tmp_path):
    line = Launch("chromium").line(tmp_path)
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in line
    assert "--no-proxy-server" in line
    line = Launch("chromium", ("a.org", "b.org")).line(tmp_path)
    assert "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE a.org, EXCLUDE b.org" in line
    assert not any("--host-resolver-rules" in switch for switch in Launch("chromium", ("*",)).line(tmp_path))


def test_its_own_sandbox_is_on_where_it_can_be(monkeypatch, tmp_path):
    assert "--no-sandbox" in Launch("chromium").line(tmp_path)
    assert "--no-sandbox" not in Launch("chromium", sandbox=True).line(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    launching.may_make_namespaces.cache_clear()
    assert launching.may_make_namespaces() is False
    launching.may_make_namespaces.cache_clear()
    assert BrowserGymState().browser_sandbox is False
