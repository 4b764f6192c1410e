"""Solves a task of terminal_env: python examples/terminal.py [--no-sandbox]

The server runs in a sandbox, the agent's shells in a smaller one within, and the task's tests in one more.
"""

import argparse

from openenv.providers import ProcessProvider, SandboxProvider
from terminal_env import ReadFile, RunCommand, SendKeys, Submit, TerminalEnv, TerminalObservation, WriteFile

UNPACK = """
import base64, bz2, gzip, io, tarfile, zipfile

layer = base64.b64decode(gzip.decompress(open("parcel.bin", "rb").read()))
layer = bz2.decompress(zipfile.ZipFile(io.BytesIO(layer)).read("layer"))
layer = tarfile.open(fileobj=io.BytesIO(layer)).extractfile("inner/letter").read()
print(gzip.decompress(layer).decode())
"""

STEPS = (
    ("look around", RunCommand(command="ls; head -c 2 parcel.bin | od -An -tx1")),
    ("gzip, then; start a Python and leave it", RunCommand(command="python3 -q", leave_running=True, timeout_s=1)),
    ("type into it", SendKeys(keys="import gzip; gzip.open('parcel.bin').read(24)")),
    ("and end it", SendKeys(then="ctrl-d")),
    ("base64 of a zip; write a program for all layers", WriteFile(path="unpack.py", text=UNPACK)),
    ("run it", RunCommand(command="python3 unpack.py | tee letter")),
    ("keep the password", RunCommand(command="awk '/^password:/ { print $2 }' letter > password.txt")),
    ("look at it", ReadFile(path="password.txt")),
    ("a program that waits for ever is no harm", RunCommand(command="cat", timeout_s=0.5)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with TerminalEnv.with_provider(provider) as env:
        task = env.reset(task_id="nested-parcel").observation
        print(f"The task {task.task_id}:\n{task.instruction}\n")
        for what, action in STEPS:
            given = ", ".join(
                f"{name}={value!r}" for name, value in action.model_dump(exclude_defaults=True).items()
            )
            print(f"# {what}\n{type(action).__name__}({given})")
            show(env.step(action).observation)
        result = env.step(Submit())
        for test in result.observation.tests:
            print(f"{test.name}: {'passed' if test.passed else f'failed: {test.message}'}")
        print(f"Submitted: reward {result.reward}, done {result.done}")


def show(seen: TerminalObservation) -> None:
    for line in (seen.error or seen.output).splitlines():
        print(f"    {line}")
    print("    ... and still runs\n" if seen.running else "")


if __name__ == "__main__":
    main()
