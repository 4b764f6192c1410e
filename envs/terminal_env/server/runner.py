"""Runs a task's tests, as source that is sent to a workspace of their own: nothing of the agent's runs there.

A test is a function `test_...` in a file `tests/test_*.py`, with plain assertions, as pytest has it; pytest runs
them where it is installed, and a few lines here where not. They begin in a copy of the agent's work folder. A test
that has to run what the agent wrote takes the argument `run`: that runs it elsewhere, out of reach of the tests.

What a test has to say goes to the server by `planned` and `ended`, functions of the server, with a word that
nothing the agent left behind can know.
"""

import ctypes
import importlib.util
import inspect
import os
import sys
from types import SimpleNamespace

PR_SET_DUMPABLE = 4


def prepare(work):
    """Keep what tests may start from this process's memory and descriptors, and imports from the agent's folder."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for descriptor in range(3, 256):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            pass
    sys.path[:] = [entry for entry in sys.path if entry]
    os.chdir(work)


def runner(run_elsewhere):
    """Return the `run` that tests are given."""

    def run(command, stdin="", timeout_s=10.0):
        return SimpleNamespace(**run_elsewhere(command, stdin, timeout_s))

    return run


def run_plainly(files, word, run, planned, ended):
    """Run the tests of some files one after the other."""
    tests = []
    for file in files:
        name = os.path.basename(file)[:-3]
        try:
            spec = importlib.util.spec_from_file_location(name, file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        except BaseException as error:
            tests.append((f"{name}.py", failing(error)))
            continue
        found = [(key, value) for key, value in vars(module).items() if key.startswith("test") and callable(value)]
        tests += [(f"{name}.py::{key}", value) for key, value in found]
    planned(word, [name for name, _ in tests])
    for name, test in tests:
        try:
            test(**{"run": run} if "run" in inspect.signature(test).parameters else {})
        except BaseException as error:
            ended(word, name, False, f"{type(error).__name__}: {error}"[:500])
        else:
            ended(word, name, True, "")


def failing(error):
    """Return a test that raises an error."""

    def test():
        raise error

    return test


def run_by_pytest(pytest, folder, word, run, planned, ended):
    """Run the tests of a folder as pytest does."""

    def why(report):
        crash = getattr(report.longrepr, "reprcrash", None)
        return (crash.message if crash else str(report.longrepr).strip().rpartition("\n")[2])[:500]

    class Told:
        def __init__(self):
            self.failed = {}

        @pytest.fixture(name="run")
        def _run(self):
            return run

        def pytest_collection_finish(self, session):
            planned(word, [*self.failed, *(item.nodeid for item in session.items)])
            for name, why in self.failed.items():
                ended(word, name, False, why)

        def pytest_collectreport(self, report):
            if report.failed:
                self.failed[report.nodeid] = why(report)

        def pytest_runtest_logreport(self, report):
            if report.failed or report.when == "call":
                ended(word, report.nodeid, report.passed, "" if report.passed else why(report))
            elif report.skipped:
                ended(word, report.nodeid, False, "it was skipped")

    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--import-mode=importlib"]
    options += ["--continue-on-collection-errors", f"--rootdir={folder}", f"--confcutdir={folder}"]
    pytest.main([*options, folder], plugins=[Told()])


def main(work, folder, files, word, run_elsewhere, planned, ended):
    """Run the tests of a task."""
    prepare(work)
    run = runner(run_elsewhere)
    try:
        import pytest
    except ImportError:
        run_plainly(files, word, run, planned, ended)
    else:
        run_by_pytest(pytest, folder, word, run, planned, ended)
