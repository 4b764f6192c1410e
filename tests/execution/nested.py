"""What workspaces have to do in a server that is held itself, as tests to inherit."""

from pathlib import Path

import pytest

from openenv.client import GenericEnvClient
from openenv.providers import Provider

NESTED_ENV = Path(__file__).with_name("nested_env")
PATIENCE_S = 120.0

AT_ONCE = 8
BOMB = """
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made < 2000)
"""


class Came:
    """An observation by its names."""

    def __init__(self, found: dict) -> None:
        self.layers: list[str] = found["layers"]
        self.absent: dict[str, str] = found["absent"]
        self.weaknesses: list[str] = found["weaknesses"]
        self.python: list[list] = found["python"]
        self.shell: list[list] = found["shell"]
        self.folders: list[str] = found["folders"]


class Nested:
    """Inherit it, and have a fixture `provider` return one that serves `NESTED_ENV`."""

    @pytest.fixture
    def play(self, provider: Provider):
        with GenericEnvClient(provider.base_url, message_timeout_s=PATIENCE_S).sync() as client:
            client.reset()

            def step(**given) -> Came:
                return Came(client.step({"backend": "WarmFork", **given}).observation)

            yield step

    def test_what_holds_them_is_told(self, play):
        came = play(code="print(1)")
        assert {"landlock", "seccomp", "rlimits"} <= set(came.layers)
        assert came.python == [["1\n", "", 0, None, False, ""]]

    def test_a_backend_is_found_by_itself(self, play):
        assert play(backend="", code="print(1)").python[0][0] == "1\n"

    def test_programs_are_run(self, play):
        came = play(command="echo 1 > one; python3 -c 'print(2)' | cat - one; ls")
        assert came.shell[0][0].startswith("2\n1\none\n"), came.shell

    def test_a_shell_stays_though_it_is_interrupted(self, play):
        came = play(before="A=5; mkdir d; cd d; sleep 600", command='echo $A; basename "$PWD"; echo err >&2')
        assert came.shell == [["5\nd\nerr\n", "", 0, None, False, ""]]

    def test_many_at_once_do_not_take_processes_from_one_another(self, play):
        line = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; echo a | cat | cat; wait"
        came = play(code="x = 1\nprint(x)", command=line, workspaces=AT_ONCE)
        assert came.python == [["1\n", "", 0, None, False, ""]] * AT_ONCE
        assert [told[0].count("a\n") for told in came.shell] == [1] * AT_ONCE, came.shell
        assert not [told for told in came.shell if "fork" in told[0]], came.shell

    def test_a_bomb_does_not_go_off(self, play):
        came = play(code=BOMB, reset=True, command="echo on | cat")
        assert came.shell[0][0].endswith("on\n"), came.shell
        assert play(code="print(1)").python[0][0] == "1\n"

    def test_time_memory_and_disk_are_limited(self, play):
        assert play(code="while True: pass", timeout_s=0.5).python[0][4]
        assert play(code="x = bytearray(2 * 2**30)").python[0][2] != 0
        line = "for i in $(seq 100); do head -c 4000000 /dev/zero > f$i || break; done; sleep 3; echo end"
        came = play(command=line)
        assert came.shell[0][5] == "disk" or "No space left" in came.shell[0][0], came.shell

    def test_they_do_not_see_the_server(self, play):
        look = """
import os
for path in (f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}/mem", "/tmp", "/proc/1/environ"):
    try:
        print(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100))
    except OSError as error:
        print(type(error).__name__)
"""
        found = play(code=look).python[0][0].split()
        assert set(found) <= {"PermissionError", "OSError", "FileNotFoundError"}, found
