"""`python -m tests.readmes`: do what the README of each environment says, each in a virtual environment of its own.

Each is installed with its development extra, nothing is taken from the checkout by a path, and three things are
done: its Python blocks are run, which start it in a sandboxed process; its tests are; and it is served and asked
how it is. The images are another matter: `make test-engines` builds and plays each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST_S = 900
"""Seconds for one step, of which the installation of a browser environment's tests is the longest."""
READY_S = 60


def main() -> int:
    """Do it for the environments that are named, or for all; return how many of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.readmes", description=__doc__)
    parser.add_argument("names", nargs="*", help="environments, such as echo_env; all by default")
    names = parser.parse_args().names or [folder.name for folder in sorted((ROOT / "envs").glob("*_env"))]
    failed = 0
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="openenv-readme-") as place:
            why = _told(lambda name=name, place=place: _try(name, Path(place)))
        failed += bool(why)
        print(f"{'FAILED' if why else 'ok':7} {name:18} {time.monotonic() - began:5.0f} s", flush=True)
        if why:
            print(why, flush=True)
    return failed


def _told(function) -> str:
    try:
        function()
    except subprocess.CalledProcessError as error:
        return f"{error.cmd[:6]} ended with {error.returncode}:\n{(error.stdout or '')[-3000:]}{error.stderr or ''}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _try(name: str, place: Path) -> None:
    folder, bin_ = ROOT / "envs" / name, place / "venv" / "bin"
    here = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    here["PATH"] = f"{bin_}:{here['PATH']}"

    def run(*command: str | Path, cwd: Path = place) -> None:
        subprocess.run(
            [str(part) for part in command], cwd=cwd, env=here, check=True, timeout=LONGEST_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    run(sys.executable, "-m", "venv", place / "venv")
    pip = (bin_ / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q")
    run(*pip, "--constraint", ROOT / "constraints.txt", ROOT, "-e", f"{folder}[dev]")
    for code in _programs(folder / "README.md", place):
        run(bin_ / "python", "-c", code)
    run(bin_ / "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", cwd=folder)
    with _served(bin_ / "openenv", folder, here) as url, urllib.request.urlopen(f"{url}/health") as answer:
        assert json.load(answer)["status"] == "healthy"


def _programs(page: Path, place: Path) -> Iterator[str]:
    from tests.snippets.pages import blocks

    for block in blocks(page):
        if block.file is None:
            yield block.code
        else:
            file = place / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")


@contextmanager
def _served(openenv: Path, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Serve the environment as its README does, at a port that is free."""
    server = subprocess.Popen(
        [str(openenv), "serve", "--port", "0"], cwd=folder, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield _address(server)
    finally:
        server.terminate()
        server.communicate(timeout=READY_S)


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        words = [word for word in line.split() if word.startswith("http://127.0.0.1:")]
        if words:
            return words[0].rstrip("/.,")
    raise RuntimeError("the server ended before it said where it is")


if __name__ == "__main__":
    sys.exit(main())
