"""What jupyter_env promises: the contract of every environment, a kernel that is one of Jupyter, fair grades."""

import asyncio
import contextlib
import json
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from jupyter_env import Cell, JupyterAction, JupyterEnv, JupyterObservation
from jupyter_env.policies import MAX_RETURN, MIN_RETURN, SOLUTIONS, null, oracle
from jupyter_env.server import kernel
from jupyter_env.server.jupyter_environment import JupyterEnvironment
from jupyter_env.server.kernel import MAX_PRINTED
from jupyter_env.server.picture import MAGIC, PictureError, grey
from jupyter_env.server.tasks import SHIPPED
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workspaces are held by Linux"),
    pytest.mark.skipif(find_spec("ipykernel") is None, reason="ipykernel is not installed: pip install ipykernel"),
]

PATIENT_S = 20.0
"""What an interrupted cell has to come back, on a machine that is busy."""


class TestContract(EnvironmentContract):
    environment = JupyterEnvironment
    actions = (
        JupyterAction(code="6 * 7"),
        JupyterAction(cells=["1 / 0", "2"]),
        JupyterAction(restart=True),
        JupyterAction(code="answer = 1"),
    )
    bad_actions = (
        {"code": 5},
        {"code": "1", "timeout_s": 0},
        {"code": "1", "timeout_s": 601},
        {"cells": "1"},
        {"cells": [""] * 101},
        {"code": "1", "no_such_field": True},
    )
    volatile = ("cells",)  # durations
    longest_episode = 40


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = JupyterEnvironment
    actions = (JupyterAction(code="6 * 7"),)
    steps = 1
    episodes = 120  # each has a kernel of its own
    patience_s = 300


def episode(*actions: JupyterAction | str, **reset: object) -> list[StepResult]:
    """Play an episode without a server; a text is a cell."""

    async def play() -> list[StepResult]:
        environment = JupyterEnvironment(interrupt_grace_s=PATIENT_S)
        try:
            await environment.reset(**(reset or {"seed": 0}))
            made = [JupyterAction(code=one) if isinstance(one, str) else one for one in actions]
            return [await environment.step(action) for action in made]
        finally:
            await environment.close()

    return asyncio.run(play())


def cells(*actions: JupyterAction | str) -> list[Cell]:
    return [cell for result in episode(*actions) for cell in result.observation.cells]


def cell(code: str) -> Cell:
    return cells(code)[0]


# --- what a cell shows -------------------------------------------------------------------------------


def test_printed_text_and_the_last_value_are_shown_in_order_and_cells_are_counted():
    first, second = cells("x = 6\nprint('hi')\nx", "x * 7")
    assert [(one.type, one.name, one.text) for one in first.outputs] == [
        ("stream", "stdout", "hi\n"),
        ("execute_result", "", "6"),
    ]
    assert (first.status, first.execution_count, second.execution_count) == ("ok", 1, 2)
    assert second.outputs[0].text == "42"


def test_an_error_has_its_name_its_message_and_a_traceback_that_shows_the_line():
    failed = cell("def f():\n    return 1 / 0\nf()")
    (error,) = failed.outputs
    assert (failed.status, error.type, error.name, error.text) == (
        "error",
        "error",
        "ZeroDivisionError",
        "division by zero",
    )
    assert "return 1 / 0" in error.traceback
    assert "\x1b" not in error.traceback


def test_a_syntax_error_and_an_exit_are_errors_after_which_the_kernel_goes_on():
    results = cells("x = 5", "def f(:", "raise SystemExit(3)", "x")
    assert [one.status for one in results] == ["ok", "error", "error", "ok"]
    assert results[1].outputs[0].name == "SyntaxError"


def test_rich_values_come_in_all_their_forms():
    (shown,) = cell("from IPython.display import HTML, JSON\nHTML('<b>x</b>')").outputs
    assert (shown.type, shown.data) == ("execute_result", {"text/html": "<b>x</b>"})
    (shown,) = cell("from IPython.display import JSON, display\ndisplay(JSON({'a': [1]}))").outputs
    assert shown.type == "display_data"
    assert json.loads(shown.data["application/json"]) == {"a": [1]}


def test_an_image_comes_as_bytes():
    png = picture([[0, 255], [255, 0]])
    (shown,) = cell(f"from IPython.display import Image\nImage({png!r})").outputs
    assert shown.images == {"image/png": png}


def test_a_figure_of_matplotlib_comes_as_a_picture():
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    shown = cell("import matplotlib.pyplot as plt\nplt.plot([3, 1, 2]);").outputs
    (png,) = [one.images["image/png"] for one in shown if one.images]
    assert png.startswith(MAGIC)
    assert len(png) > 1000


def test_a_display_is_updated_where_it_is():
    (shown,) = cell("h = display('one', display_id=True)\nh.update('two')").outputs
    assert (shown.type, shown.text) == ("display_data", "'two'")
    _, later = cells("h = display('one', display_id='d')", "h.update('two')")
    assert [(one.type, one.text, one.display_id) for one in later.outputs] == [
        ("update_display_data", "'two'", "d")
    ]


def test_what_is_cleared_is_gone_at_once_or_with_what_comes_next():
    clear = "from IPython.display import clear_output\nprint('old')\nclear_output(wait={})\n"
    assert cell(clear.format(False)).outputs == []
    assert [one.text for one in cell(clear.format(True)).outputs] == ["old\n"]
    assert [one.text for one in cell(clear.format(True) + "print('new')").outputs] == ["new\n"]


def test_commands_magics_awaits_and_help_work():
    assert cell("!echo hello; echo there >&2").outputs[0].text == "hello\nthere\n"
    assert cell("%%bash\necho hi").outputs[0].text == "hi\n"
    assert cell("import asyncio\nawait asyncio.sleep(0)\n5").outputs[0].text == "5"
    assert "Prints the values" in cell("print?").outputs[0].text


def test_what_programs_and_threads_write_is_seen():
    assert cell("import os; os.system('echo from a program');").outputs[0].text == "from a program\n"
    threaded = "import threading\nt = threading.Thread(target=print, args=('from a thread',))\nt.start(); t.join()"
    assert cell(threaded).outputs[0].text == "from a thread\n"


def test_nobody_answers_an_input():
    assert cell("input()").outputs[0].name == "StdinNotImplementedError"


def test_a_flood_of_output_is_cut_and_that_is_told():
    flooded = cell("for _ in range(1000): print('x' * 1000)")
    assert len(flooded.outputs[0].text) == MAX_PRINTED
    assert flooded.bytes_cut == 1_001_000 - MAX_PRINTED
    much = cell("from IPython.display import HTML\nHTML('x' * 10_000_000)")
    assert much.outputs == []
    assert much.bytes_cut > 10_000_000


# --- several cells, restarts, timeouts -----------------------------------------------------------------


def test_cells_of_one_action_run_until_one_fails():
    assert [one.status for one in cells(JupyterAction(code="a = 1", cells=["a / 0", "a"]))] == [
        "ok",
        "error",
        "skipped",
    ]


def test_a_restart_forgets_variables_counts_anew_and_keeps_files():
    results = episode(
        "x = 1\nopen('kept', 'w').close()", JupyterAction(restart=True, cells=["import os\nos.listdir()", "x"])
    )
    assert results[0].observation.cells[0].files_changed == ["kept"]
    seen = results[1].observation
    assert seen.kernel_restarted
    assert "kept" in seen.cells[0].outputs[0].text
    assert [one.execution_count for one in seen.cells] == [1, 2]
    assert seen.cells[1].outputs[0].name == "NameError"


def test_a_cell_that_takes_too_long_is_interrupted_and_variables_stay():
    late = JupyterAction(code="x = 7\nprint('so far')\nwhile True: pass", timeout_s=0.3)
    first, second = cells(late, "x")
    assert first.status == "timeout"
    assert [(one.type, one.name) for one in first.outputs] == [("stream", "stdout"), ("error", "KeyboardInterrupt")]
    assert "driver" not in first.outputs[1].traceback
    assert "Outbox" not in first.outputs[1].traceback
    assert second.outputs[0].text == "7"


def test_a_command_that_takes_too_long_is_ended():
    first, second = cells(JupyterAction(code="x = 7\n!sleep 600", timeout_s=0.3), "x")
    assert (first.status, second.status) == ("timeout", "ok")


DEAF = "import signal\nfor n in (signal.SIGALRM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"


def test_a_cell_that_ignores_interruptions_is_killed_with_the_kernel_within_its_time():
    async def play() -> tuple[float, StepResult, StepResult]:
        environment = JupyterEnvironment()
        try:
            await environment.reset(seed=0)
            started = time.monotonic()
            killed = await environment.step(JupyterAction(code=DEAF, timeout_s=0.3))
            return time.monotonic() - started, killed, await environment.step(JupyterAction(code="1"))
        finally:
            await environment.close()

    seconds, killed, after = asyncio.run(play())
    assert killed.observation.cells[0].status == "timeout"
    assert "died" in killed.observation.message
    assert 0.3 < seconds < PATIENT_S
    assert (after.observation.kernel_restarted, after.observation.cells[0].status) == (True, "ok")


@pytest.mark.parametrize(
    "code",
    [
        "print('last words', flush=True)\nimport os; os._exit(3)",
        "print('last words', flush=True)\nimport ctypes; ctypes.string_at(0)",
        "print('last words', flush=True)\nimport os; os.kill(os.getpid(), 9)",
    ],
)
def test_a_kernel_that_dies_says_what_it_has_shown_and_the_next_cell_gets_a_new_one(code):
    died, after = episode(code, "1")
    assert died.observation.cells[0].status == "died"
    assert died.observation.cells[0].outputs[0].text.startswith("last words")
    assert after.observation.kernel_restarted
    assert after.observation.cells[0].outputs[0].text == "1"


def test_a_kernel_that_cannot_be_started_again_is_told_and_a_reset_mends_it(monkeypatch):
    async def play() -> tuple[Cell, Cell]:
        environment = JupyterEnvironment()
        try:
            await environment.reset(seed=0)
            with monkeypatch.context() as broken:
                broken.setattr(kernel, "DRIVER", "raise OSError('no room')")
                result = await environment.step(JupyterAction(restart=True, code="1"))
            await environment.reset(seed=0)
            return result.observation.cells[0], (await environment.step(JupyterAction(code="1"))).observation.cells[
                0
            ]
        finally:
            await environment.close()

    dead, after = asyncio.run(play())
    assert dead.status == "died"
    assert "no room" in dead.outputs[0].text
    assert after.status == "ok"


# --- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "\0",
        "x = 1\0",
        "'\udc80'",
        "\N{SNOWMAN}",
        pytest.param("x = '" + "y" * 10_000_000 + "'", marks=pytest.mark.slow, id="10 MB"),
        "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})",
        "class R:\n    def __repr__(self): raise SystemExit\nR()",
        pytest.param("def f(): f()\nf()", marks=pytest.mark.slow),
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; sys.stdout.write(b'bytes')",
        "print('\\udc80')",
        "from IPython.display import publish_display_data as p\np({'image/png': 'no base64!', 'text/plain': 5})",
        "exit()",
        "get_ipython().kernel.session.send(None, 'display_data', {'data': None})",
        "import __main__, gc\n[o for o in gc.get_objects() if type(o).__name__ == 'Outbox'][0].send('stream', 'x')",
        "import os\nfor n in range(3, 99):\n    try: os.close(n)\n    except OSError: pass",
        "%reset -f",
        "import shutil, os; shutil.rmtree(os.environ['TMPDIR'])",
    ],
)
def test_whatever_is_run_the_next_cell_runs(code):
    (first, second) = episode(code, "6 * 7")
    assert first.reward is None
    assert second.observation.cells[0].outputs[-1].text == "42"
    JupyterObservation.model_validate_json(first.observation.model_dump_json())


def test_what_claims_to_be_a_message_of_the_kernel_is_checked():
    forge = "publish = get_ipython().kernel.session.send.__globals__['publish']\n"
    forge += "publish('nonsense', True); publish('[]', True); publish('[\"stream\", {}]', True)\n"
    forge += 'publish(\'["display_data", {"data": {"image/png": 5}}]\', True)\nprint(\'done\')'
    forged = cell(forge)
    assert [one.text for one in forged.outputs] == ["done\n"]
    assert forged.bytes_cut > 0


# --- tasks and grades --------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", sorted(SHIPPED))
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_each_task_is_solved_by_its_solution_and_by_nothing_less(task_id, seed):
    solved = episode(JupyterAction(cells=SOLUTIONS[task_id], submit=True), task_id=task_id, seed=seed)[0]
    assert (solved.reward, solved.terminated) == (MAX_RETURN, True)
    empty = episode(JupyterAction(submit=True), task_id=task_id, seed=seed)[0]
    assert (empty.reward, empty.terminated) == (MIN_RETURN, True)


@pytest.mark.parametrize(
    "code",
    [
        "answer = float('nan')",
        "answer = float('inf')",
        "answer = 10 ** 400",
        "answer = True",
        "answer = [20.9]",
        "class Always(float):\n    def __le__(self, _): return True\n    __ge__ = __le__\nanswer = Always()",
        "answer = type('A', (), {'item': lambda self: 1 / 0})()",
    ],
)
def test_no_trick_is_the_right_answer(code):
    assert episode(JupyterAction(code=code, submit=True), task_id="sensor", seed=3)[0].reward == 0.0


def test_numbers_of_numpy_are_numbers():
    if find_spec("pandas") is None:
        pytest.skip("pandas is not installed")
    code = "import pandas\nt = pandas.read_csv('readings.csv').celsius\n"
    code += "answer = t[t.abs() <= 100].to_numpy().mean()\ntype(answer)"
    (result,) = episode(JupyterAction(code=code, submit=True), task_id="sensor", seed=3)
    assert "numpy" in result.observation.cells[0].outputs[0].text
    assert result.reward == 1.0


def test_the_last_step_hands_in():
    async def play() -> list[StepResult]:
        environment = JupyterEnvironment(max_steps=2)
        try:
            await environment.reset(task_id="regions", seed=0)
            return [await environment.step(JupyterAction(cells=SOLUTIONS["regions"])) for _ in range(2)]
        finally:
            await environment.close()

    first, last = asyncio.run(play())
    assert (first.reward, first.done) == (None, False)
    assert (last.reward, last.truncated, last.terminated) == (1.0, True, False)


def test_an_unknown_task_and_a_step_before_the_reset_are_refused():
    with pytest.raises(InvalidRequestError, match="regions"):
        episode(task_id="nope")
    with pytest.raises(NotResetError):
        asyncio.run(JupyterEnvironment().step(JupyterAction()))


def test_tasks_of_a_folder_are_played_beside_those_that_are_shipped(tmp_path):
    place = tmp_path / "sum_it"
    (place / "files" / "deep").mkdir(parents=True)
    (place / "files" / "deep" / "numbers.txt").write_text("1\n2\n")
    (place / "instructions.md").write_text("Add the numbers.")
    (place / "answer.json").write_text('{"answer": [3, "three"], "tolerance": 0.5}')

    async def play(answer: str) -> StepResult:
        environment = JupyterEnvironment(tmp_path)
        try:
            seen = await environment.reset(task_id="sum_it")
            assert (seen.instructions, seen.files) == ("Add the numbers.", ["deep/numbers.txt"])
            code = f"n = sum(map(int, open('deep/numbers.txt')))\nanswer = {answer}"
            return await environment.step(JupyterAction(code=code, submit=True))
        finally:
            await environment.close()

    assert asyncio.run(play("(n + .4, 'three')")).reward == 1.0
    assert asyncio.run(play("(n + .6, 'three')")).reward == 0.0
    (place / "answer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        JupyterEnvironment(tmp_path)


# --- pictures ----------------------------------------------------------------------------------------


def picture(rows: list[list[int]], channels: int = 1, filtered: int = 0) -> bytes:
    """Return a grey PNG, with 1 to 4 channels, all of whose lines have one of the simple filters."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines, above = b"", bytes(len(rows[0]) * channels)
    for row in rows:
        plain = b"".join(
            bytes([v] * (channels - 1) + [255]) if channels in (2, 4) else bytes([v] * channels) for v in row
        )
        left = bytes(channels) + plain[:-channels]
        guess = {
            0: bytes(len(plain)),
            1: left,
            2: above,
            3: bytes((a + b) // 2 for a, b in zip(left, above, strict=True)),
        }
        lines += bytes([filtered]) + bytes((a - b) & 255 for a, b in zip(plain, guess[filtered], strict=True))
        above = plain
    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, colour, 0, 0, 0)
    return MAGIC + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("filtered", [0, 1, 2, 3])
def test_a_picture_is_read_whatever_its_channels_and_filters(channels, filtered):
    rows = [[0, 7, 255], [9, 100, 3]]
    assert grey(picture(rows, channels, filtered)) == rows


def test_a_picture_that_another_program_has_drawn_is_read(tmp_path):
    numpy = pytest.importorskip("numpy")
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pixels = numpy.random.default_rng(0).integers(0, 256, (30, 40), dtype="uint8")
    smooth = numpy.add.outer(numpy.arange(30), numpy.arange(40)).astype("uint8")
    for rows in (pixels, smooth):
        for mode in ("L", "RGB", "RGBA"):
            image.fromarray(rows).convert(mode).save(tmp_path / "p.png")
            assert grey((tmp_path / "p.png").read_bytes()) == rows.tolist()


GOOD = picture([[1, 2]])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        MAGIC,
        GOOD[:20],
        GOOD.replace(b"IDAT", b"IDOT"),
        GOOD.replace(struct.pack(">II", 2, 1), struct.pack(">II", 2, 2)),
        GOOD.replace(struct.pack(">II", 2, 1), struct.pack(">II", 1 << 30, 1 << 30)),
        GOOD.replace(struct.pack(">II", 2, 1), struct.pack(">II", 1, 1)),
        GOOD.replace(b"\x08\x00\x00\x00\x00", b"\x08\x03\x00\x00\x00"),
        picture([[1, 2]], 3).replace(b"IHDR", b"IHDR"[:3] + b"Q"),
        MAGIC + b"\xff\xff\xff\xffIDAT",
    ],
)
def test_what_is_no_picture_is_told(data):
    with pytest.raises(PictureError):
        grey(data)


# --- served ------------------------------------------------------------------------------------------


def test_two_sessions_do_not_see_one_another():
    async def session(server: LocalServer, number: int) -> str:
        async with server.client(JupyterEnv) as env:
            await env.reset(seed=number)
            await env.step(JupyterAction(code=f"secret = {number}\nopen('{number}', 'w').close()"))
            look = "import os\nsecret, sorted(name for name in os.listdir() if name.isdigit())"
            return (await env.step(JupyterAction(code=look))).observation.cells[0].outputs[0].text

    async def play() -> list[str]:
        async with LocalServer(JupyterEnvironment) as server:
            return await asyncio.gather(*(session(server, number) for number in range(4)))

    assert asyncio.run(play()) == [f"({number}, ['{number}'])" for number in range(4)]


def test_a_close_leaves_no_process_and_no_folder():
    seconds = f"9{os.getpid():07}"  # tells the process from all others
    code = f"import os, subprocess\nsubprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\nos.getcwd()"

    async def play() -> str:
        environment = JupyterEnvironment()
        await environment.reset(seed=0)
        result = await environment.step(JupyterAction(code=code))
        end = time.monotonic() + 20
        while not processes(f"sleep {seconds}"):  # for a moment a program has no arguments yet
            assert time.monotonic() < end
        await environment.close()
        return result.observation.cells[0].outputs[-1].text.strip("'")

    place = asyncio.run(play())
    assert processes(f"sleep {seconds}") == []
    assert not Path(place).parent.exists()


def processes(command: str) -> list[str]:
    """Return the processes of this machine that were started by a command."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += (
                [file.parent.name] if file.read_bytes().replace(b"\0", b" ").decode().startswith(command) else []
            )
    return found


def test_the_server_and_its_answers_are_out_of_reach():
    look = "import importlib.util, os\nos.path.exists({!r}), importlib.util.find_spec('jupyter_env')"
    here = str(Path(__file__).resolve())
    _, last = cells(f"open({here!r})", look.format(here))
    assert last.outputs[0].text.endswith("None)")
    assert cell(f"open({here!r})").outputs[0].name in ("PermissionError", "FileNotFoundError")
    socket = cell("import socket\nsocket.create_connection(('127.0.0.1', 80))")
    assert socket.outputs[0].name in ("PermissionError", "OSError")


def test_an_episode_against_a_server():
    with JupyterEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "jupyter_env"
        assert oracle(env) == MAX_RETURN
        assert null(env) == MIN_RETURN


@pytest.mark.slow
@pytest.mark.parametrize("play", [oracle, null])
def test_every_task_is_played_in_a_sandbox(play: Callable[..., float]):
    best = {oracle: MAX_RETURN, null: MIN_RETURN}[play]
    try:
        provider = SandboxProvider("jupyter_env.server.app:app")
        with JupyterEnv.with_provider(provider) as env:
            assert [play(env, task_id=task, seed=7) for task in sorted(SHIPPED)] == [best] * len(SHIPPED)
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
