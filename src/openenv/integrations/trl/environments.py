"""TRL's `environment_factory`: objects whose public methods are the tools of an environment.

```python
with environment_factory("http://localhost:8000", MyEnv) as factory:
    trainer = GRPOTrainer(model=..., train_dataset=dataset, environment_factory=factory, args=...)
    trainer.train()
```

TRL makes tools of all public functions of a class. So a class is made for each environment, which has nothing
public but `reset`, `get_reward` and the tools.

TRL calls one environment after another and waits for each. The first call of a batch therefore begins those of all
others, as far as it can see them coming (`ahead`); each is only ever used by a call that asks for exactly the same.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.util import Finalize
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from openenv.errors import ConfigurationError, OpenEnvError
from openenv.integrations.trl.ahead import calls_ahead, resets_ahead, same
from openenv.integrations.trl.functions import ToolFunction
from openenv.integrations.trl.rows import sent
from openenv.mcp.types import Tool
from openenv.outcomes import Cause
from openenv.rollouts import Episode, Episodes, Turn, text_of

if TYPE_CHECKING:
    from openenv.client import EnvClient
    from openenv.providers import Provider

__all__ = ["EnvironmentFactory", "ToolError", "environment_factory"]

_OVER = "The episode is over."
_EXIT_PRIORITY = 100
"""Among what multiprocessing does when a process ends: before anything of its own."""


class ToolError(Exception):
    """A call has failed, in words for the model: TRL shows it `{"error": ...}`."""


def environment_factory(
    where: str | Provider | Sequence[str | Provider],
    client_class: type[EnvClient[Any, Any, Any]] | None = None,
    *,
    rows: Sequence[Mapping[str, Any]] = (),
    tell: Callable[[Any], str] = text_of,
    unfinished: float | None = None,
    overlap: bool = True,
    name: str | None = None,
    **options: Any,
) -> EnvironmentFactory:
    """Return what `GRPOTrainer(environment_factory=...)` takes, of `AsyncGRPOTrainer`, too.

    Each row of the dataset is one episode: its columns are the arguments of the environment's `reset`, but for
    `prompt` and images, and those that hold None. The first observation is put at the end of the prompt.

    The environment's tools are the model's. One without tools gets a tool for each of its action classes.

    Args:
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types.
        rows: Arguments of resets whose tools are looked at, before the first batch: one for each kind of task, if
            the tools depend on it. By default one reset without arguments.
        tell: Makes words of the first observation, and of what tools return.
        unfinished: Reward of an episode that nothing has graded because the model stopped before its end, or made
            no call at all. By default it is left out, so that the model learns nothing from it.
        overlap: Begin the resets of a batch, and the calls of a turn, all at once.
        name: Under which TRL logs the rewards; by default that of the client class, or `Environment`.
        **options: Of `Episodes`, such as `timeout_s` or `headers`.

    Raises:
        ConfigurationError: `where` is empty, or an option is wrong.
    """
    name = name or (client_class.__name__ if client_class else "Environment")
    episodes = Episodes(where, client_class, **options)
    return EnvironmentFactory(episodes, rows=rows, tell=tell, unfinished=unfinished, overlap=overlap, name=name)


class EnvironmentFactory:
    """What `environment_factory` returns; TRL calls it. It can be pickled if `tell` can.

    Its sessions are closed by `close()`, at the end of a `with` block, and when the process ends.

    Args:
        episodes: Where episodes come from.
        tools: The environment's; None if they are to be looked up with the first call.
        **how: As of `environment_factory`.
    """

    def __init__(
        self,
        episodes: Episodes,
        tools: Sequence[Tool] | None = None,
        *,
        rows: Sequence[Mapping[str, Any]],
        tell: Callable[[Any], str],
        unfinished: float | None,
        overlap: bool,
        name: str,
    ) -> None:
        self.episodes = episodes
        self._tools = tools
        self._how: dict[str, Any] = {
            "rows": rows,
            "tell": tell,
            "unfinished": unfinished,
            "overlap": overlap,
            "name": name,
        }
        self._class: type[_Environment] | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.episodes, self._tools, self._how)

    @property
    def __name__(self) -> str:
        return str(self._how["name"])

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that models are told of.

        Raises:
            ConfigurationError: There are none, or no episode could begin.
        """
        with self._lock:
            if self._tools is None:
                self._tools = self._looked_up()
            return self._tools

    def metrics(self) -> dict[str, int]:
        """Return how many episodes have begun (`episodes`), and how many broke, by cause."""
        return self.episodes.counts

    def close(self) -> None:
        """End all sessions, and the servers that were started for it. It can be used again afterwards."""
        self.episodes.close()

    def __call__(self) -> Any:
        """Return an environment for one rollout after another.

        Raises:
            ConfigurationError: It has no tools, or no episode could begin.
        """
        tools = self.tools
        with self._lock:
            if self._class is None:
                self._class = _class_of(self.__name__, tools, self.episodes, self._how)
                _close_at_exit(self.episodes)
        return self._class()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _looked_up(self) -> list[Tool]:
        found: dict[str, Tool] = {}
        for row in self._how["rows"] or [{}]:
            try:
                found |= {tool.name: tool for tool in self.episodes.tools(**sent(row)) if tool.name not in found}
            except OpenEnvError as error:
                why = error.message.rstrip(".")
                raise ConfigurationError(
                    f"No episode could begin to see which tools there are: {why}. If the reset needs arguments, "
                    "say which by rows=[{...}]."
                ) from error
        if not found:
            raise ConfigurationError("The environment has no tools, and without a tool TRL cannot play it")
        return list(found.values())


class _Environment:
    """One environment as TRL uses it, for one rollout after another. Subclasses have the tools."""

    _episodes: Episodes
    _tell: Callable[[Any], str]
    _unfinished: float | None
    _overlap: bool
    _functions: Mapping[str, ToolFunction]

    def __init__(self) -> None:
        self._episode = Episode(self._episodes)
        self._resetting: tuple[dict[str, Any], Future[Turn]] | None = None
        self._calling: deque[tuple[str, dict[str, Any], Future[Turn]]] = deque()
        self._reward: float | None = None
        self._is_scored = self._is_logged = False

    def reset(self, /, **row: Any) -> str | None:
        """Begin an episode; what is returned is put at the end of the prompt."""
        begun, self._resetting = self._resetting, None
        if begun is None or not same(begun[0], row):
            if self._overlap:
                for other, its_row in resets_ahead(sys._getframe(1), self, row):
                    if isinstance(other, _Environment):
                        other._resetting = its_row, other._begin(its_row)
            begun = row, self._begin(row)
        turn = begun[1].result()
        said = "" if self._episode.fault else self._tell(turn.observation)
        return _after(row.get("prompt"), said) or None

    def get_reward(self) -> float | None:
        """Return the reward of the episode; None if there is nothing to be learned from it."""
        if not self._is_scored:
            self._is_scored = True
            if self._calling:
                self._own_up()
            episode = self._episode
            self._reward = episode.reward
            if self._reward is None and not episode.done:
                self._reward = self._unfinished
            episode.end()  # somebody else may have the session now
        self._is_logged = self._is_logged or _log(sys._getframe(1), self._episodes, self._episode)
        return self._reward

    def _begin(self, row: Mapping[str, Any]) -> Future[Turn]:
        self._calling.clear()
        self._is_scored = self._is_logged = False
        return self._episode.reset(**sent(row))

    def _call(self, name: str, arguments: dict[str, Any], frame: FrameType) -> str:
        turn = self._turn(name, arguments, frame).result()
        if turn.error:
            raise ToolError(turn.error)
        return self._tell(turn.value) or (_OVER if turn.done else "")

    def _turn(self, name: str, arguments: dict[str, Any], frame: FrameType) -> Future[Turn]:
        if self._calling:
            begun_name, begun_arguments, begun = self._calling.popleft()
            if begun_name == name and same(begun_arguments, arguments):
                return begun
            self._own_up()
        elif self._overlap:
            ahead = [one for one in calls_ahead(frame, self, name, arguments) if _has_begun_nothing(one[0])]
            for other, its_name, its_arguments in ahead:
                other._calling.append((its_name, its_arguments, other._begin_call(its_name, its_arguments)))
        return self._begin_call(name, arguments)

    def _begin_call(self, name: str, arguments: Mapping[str, Any]) -> Future[Turn]:
        function = self._functions[name]
        return self._episode.call_tool(function.tool.name, function.own(arguments))

    def _own_up(self) -> None:
        """Say that the environment has taken a step that the model has not."""
        self._calling.clear()
        self._episode.fail(Cause.OUT_OF_TURN, "A tool call was begun that was then not asked for").result()


def _has_begun_nothing(other: Any) -> bool:
    return isinstance(other, _Environment) and not other._calling


def _class_of(name: str, tools: Sequence[Tool], episodes: Episodes, how: Mapping[str, Any]) -> type[_Environment]:
    functions = {function.name: function for function in map(ToolFunction.of, tools)}
    members: dict[str, Any] = {name: one.method(_Environment._call) for name, one in functions.items()}
    members |= {
        "_episodes": episodes,
        "_functions": functions,
        "_tell": staticmethod(how["tell"]),
        "_unfinished": how["unfinished"],
        "_overlap": how["overlap"],
    }
    return type(name, (_Environment,), members)


def _again(episodes: Episodes, tools: Sequence[Tool] | None, how: dict[str, Any]) -> EnvironmentFactory:
    return EnvironmentFactory(episodes, tools, **how)


def _after(prompt: Any, said: str) -> str:
    """Return what TRL is to put directly behind the last message of a prompt."""
    last = prompt[-1].get("content") if isinstance(prompt, list) and prompt else None
    return f"\n{said}" if said and isinstance(last, str) and last else said


def _log(frame: FrameType | None, episodes: Episodes, episode: Episode) -> bool:
    """Tell TRL whether an episode broke, and why; return whether there was a way to in the function that asks.

    It logs the mean of what it is told in a step, which is a share.
    """
    for _ in range(2):  # a comprehension has a frame of its own before Python 3.12
        log_metric = (frame.f_locals.get("kwargs") or {}).get("log_metric") if frame is not None else None
        if callable(log_metric):
            broke = episode.outcome.cause.value if episode.fault else ""
            log_metric("env/faults", float(bool(broke)))
            for cause in episodes.counts.keys() - {"episodes"}:
                log_metric(f"env/faults/{cause}", float(cause == broke))
            return True
        frame = frame.f_back if frame is not None else None
    return False


def _close_at_exit(episodes: Episodes) -> None:
    # Unlike atexit, it is heeded in the processes that multiprocessing starts, such as AsyncGRPOTrainer's.
    Finalize(None, _close, args=(weakref.ref(episodes),), exitpriority=_EXIT_PRIORITY)


def _close(reference: weakref.ref[Episodes]) -> None:
    episodes = reference()
    if episodes is not None:
        episodes.close()
