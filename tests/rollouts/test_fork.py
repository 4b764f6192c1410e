"""A fork of the process, as the workers of trainers are made by, has episodes of its own."""

import subprocess
import sys

import pytest
from tests.servers import wait_until
from tests.toys import Counter

FORKING = """
import os, sys
from openenv.providers import Provider
from openenv.rollouts import Episodes

class Running(Provider):
    def launch(self, source):
        return [sys.argv[1]]

    def shutdown(self):
        pass

episodes = Episodes(sys.argv[1] if sys.argv[2] == "an address" else Running(), timeout_s=10)
(under_way, _), (over, _) = episodes.begin(), episodes.begin()
under_way.step({"amount": 3}).result()
over.end().result()
episodes._lock.acquire()  # as another thread may
child = os.fork()
if child == 0:
    try:
        turn = under_way.step({"amount": 1}).result(20)
        assert turn.done and "fork" in turn.error and under_way.reward is None, turn
        for episode, reset in (episodes.begin(), (under_way, under_way.reset())):
            assert reset.result(20).error == ""
            assert episode.step({"amount": 2}).result(20).reward == episode.reward == 2.0
        assert episodes.counts == {"episodes": 2}
        assert episodes.urls == [sys.argv[1]]
        episodes.close()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    sys.exit(7)  # the usual way, with all that is to be done at exit
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
episodes._lock.release()
assert under_way.step({"amount": 5}).result().observation["total"] == 8
assert episodes.begin()[1].result().error == ""
print(episodes.counts["episodes"], flush=True)
episodes.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("where", ["an address", "a provider"])
def test_a_fork_plays_in_sessions_of_its_own_and_leaves_the_parents_alone(serve, where):
    server = serve(Counter, max_concurrent_envs=8)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, server.url, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    assert wait_until(lambda: not server.manager.sessions())
