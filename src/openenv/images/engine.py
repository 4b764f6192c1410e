"""Docker's and Podman's command lines, as far as images need them.

The commands are used and not the API behind them: only they have the engine's modern builder, and a registry's
logins are theirs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from openenv import settings
from openenv.errors import ConfigurationError, EngineUnavailableError, ImageBuildError
from openenv.providers.redaction import redact

__all__ = ["ENGINES", "Engine", "find_engine"]

ENGINES = ("docker", "podman")
ANSWER_S = 30.0
LINES_IN_ERROR = 25

# What the three builders write when a step begins: `Step 3/9 : RUN ...` (Docker without BuildKit),
# `[1/2] STEP 3/9: RUN ...` (Podman) and `#7 [build 3/5] RUN ...` (BuildKit).
_STEPS = (
    re.compile(r"^(?:\[\d+/\d+\] )?S(?:tep|TEP) (?P<step>\d+/\d+) ?: (?P<what>.*)"),
    re.compile(r"^#\d+ \[(?P<step>(?:[\w.-]+ )?\d+/\d+)\] (?P<what>.*)"),
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WORTH_TELLING = ("FROM", "RUN", "COPY", "ADD")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """One engine that has answered.

    Attributes:
        name: `docker` or `podman`.
        program: Path of its command.
        arguments: Arguments before every subcommand, such as `("-H", "unix:///run/docker.sock")`.
    """

    name: str
    program: str
    arguments: tuple[str, ...] = ()

    def build(
        self,
        context: Path,
        *,
        tag: str,
        dockerfile: str,
        labels: Mapping[str, str],
        build_args: Mapping[str, str],
        no_cache: bool,
        tell: Tell,
        verbose: bool,
    ) -> None:
        """Build an image.

        Args:
            context: The folder to build from.
            tag: The image's name.
            dockerfile: The Dockerfile's path in it.
            labels: The image's labels.
            build_args: Values for `ARG` of the Dockerfile; those with a secret's name are hidden in errors.
            no_cache: Do every step again.
            tell: Called with a line for each step.
            verbose: Call it with every line that the engine writes.

        Raises:
            ImageBuildError: A step failed; the message has its last lines.
        """
        command = ["build", "--tag", tag, "--file", str(context / dockerfile)]
        command += [f"--label={key}={value}" for key, value in labels.items()]
        command += [f"--build-arg={key}={value}" for key, value in build_args.items()]
        if no_cache:
            command.append("--no-cache")
        steps = _Steps(tell, verbose)
        code, tail = self._follow([*command, str(context)], steps.take)
        if code:
            raise ImageBuildError(
                redact(f"{self.name} could not build {tag}: it failed at {steps.last}.", build_args),
                log_tail=redact(tail, build_args),
            )

    def tag(self, image: str, name: str) -> None:
        """Give an image one more name."""
        code, tail = self._follow(["tag", image, name], lambda _: None)
        if code:
            raise ImageBuildError(f"{self.name} could not call {image} {name!r}.", log_tail=redact(tail))

    def push(self, name: str, *, tell: Tell, verbose: bool) -> None:
        """Push an image to the registry its name begins with.

        Raises:
            ImageBuildError: The registry is not there or does not take it.
        """
        code, tail = self._follow(["push", name], tell if verbose else lambda _: None)
        if code:
            raise ImageBuildError(
                f"{self.name} could not push {name}. Is the registry's name right, and are you logged in "
                f"({self.name} login)?",
                log_tail=redact(tail),
            )

    def inspect(self, image: str) -> tuple[str, int]:
        """Return an image's id and its size in bytes, the base image's layers included."""
        answer = self._ask(["image", "inspect", "--format", "{{.Id}} {{.Size}}", image])
        identity, _, size = answer.rpartition(" ")
        return identity, int(size)

    def _ask(self, command: Sequence[str]) -> str:
        try:
            ran = subprocess.run(
                [self.program, *self.arguments, *command],
                check=False,
                capture_output=True,
                text=True,
                timeout=ANSWER_S,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineUnavailableError(f"{self.name} did not answer within {ANSWER_S:g} s.") from error
        if ran.returncode:
            _unavailable(self.name, ran.stderr or ran.stdout)
        return ran.stdout.strip()

    def _follow(self, command: Sequence[str], take: Tell) -> tuple[int, str]:
        """Run a command, hand every line on, and return the exit status and the last lines."""
        tail: deque[str] = deque(maxlen=LINES_IN_ERROR)
        running = subprocess.Popen(
            [self.program, *self.arguments, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            # Lines instead of a picture that is drawn over and over.
            env={**settings.inherited_environment(), "BUILDKIT_PROGRESS": "plain"},
        )
        assert running.stdout is not None
        try:
            for line in running.stdout:
                shown = _COLOUR.sub("", line.rstrip())
                tail.append(shown)
                take(shown)
            return running.wait(), "\n".join(line for line in tail if line)
        finally:  # Ctrl+C, or an error while telling
            running.stdout.close()
            if running.poll() is None:
                running.terminate()
                running.wait()


class _Steps:
    """Picks the beginnings of steps out of what a builder writes."""

    def __init__(self, tell: Tell, verbose: bool) -> None:
        self.last = "the start"
        self._tell = tell
        self._verbose = verbose
        self._told: set[str] = set()

    def take(self, line: str) -> None:
        found = next((match for pattern in _STEPS if (match := pattern.match(line))), None)
        if found is not None:
            self.last = f"step {found['step']}: {found['what']}"
        if self._verbose:
            self._tell(line)
        elif found is not None and found["what"].startswith(_WORTH_TELLING) and found[0] not in self._told:
            self._told.add(found[0])  # BuildKit writes it again after a pause
            self._tell(f"  [{found['step']}] {' '.join(found['what'].split())}")


def find_engine(name: str | None = None, *, url: str | None = None) -> Engine:
    """Return an engine that answers.

    Args:
        name: `docker` or `podman`; None takes the first of them that answers.
        url: Where it listens, such as `unix:///run/docker.sock`; None for the usual place.

    Raises:
        ConfigurationError: There is no engine of that name.
        EngineUnavailableError: None is installed, or none answers.
    """
    if name is not None and name not in ENGINES:
        raise ConfigurationError(f"There is no engine {name!r}; known are {' and '.join(ENGINES)}.")
    problems = []
    for each in [name] if name else ENGINES:
        program = shutil.which(each)
        if program is None:
            problems.append(f"{each} is not installed")
            continue
        where = () if url is None else ("-H" if each == "docker" else "--url", url)
        engine = Engine(each, program, where)
        try:
            engine._ask(["version"])
        except EngineUnavailableError as error:
            problems.append(error.message)
        else:
            return engine
    raise EngineUnavailableError(
        f"No engine can build an image here: {'; '.join(problems)}. Install Docker or Podman, or start it."
    )


def _unavailable(name: str, said: str) -> NoReturn:
    lines = [line for line in said.splitlines() if line.strip()]
    raise EngineUnavailableError(f"{name} cannot be used: {redact(lines[-1].strip()) if lines else 'no answer'}")
