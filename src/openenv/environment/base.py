"""`Environment`: the one class an author subclasses.

The base does no work that an author could forget to call: a subclass need not call `super().__init__()`, and
may write `reset`, `step` and `state` sync or async (see `openenv.environment.adapter`).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypedDict, runtime_checkable

from typing_extensions import TypeVar

from openenv.errors import ConfigurationError
from openenv.models import Action, EnvironmentMetadata, Observation, State

ActionT = TypeVar("ActionT", default=Action)
ObservationT = TypeVar("ObservationT", default=Observation)
StateT = TypeVar("StateT", default=State)


class Transform(ABC, Generic[ObservationT]):
    """A function on observations that an environment applies before it answers, to add a reward for example."""

    @abstractmethod
    def __call__(self, observation: ObservationT) -> ObservationT:
        """Return the observation to send."""


VERBS = frozenset(("reset", "step", "state", "close"))
"""What is asked of an environment."""


def non_blocking(cls: type) -> frozenset[str]:
    """Return which of the verbs return at once, as a class says by `NON_BLOCKING`.

    Raises:
        ConfigurationError: It names something else.
    """
    said = getattr(cls, "NON_BLOCKING", False)
    named = frozenset(said) if isinstance(said, Collection) else VERBS if said else frozenset()
    if not named <= VERBS:
        raise ConfigurationError(
            f"NON_BLOCKING of {cls.__name__} is {said!r}: True, or a tuple of reset, step, state, close"
        )
    return named


class Environment(ABC, Generic[ActionT, ObservationT, StateT]):
    """An environment: `reset`, `step` and `state` over typed actions and observations.

    ```python
    class Counter(Environment[Add, Count, State]):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def reset(self, seed: int | None = None) -> Count:
            self.total = 0
            return Count(total=0)

        def step(self, action: Add) -> Count:
            self.total += action.amount
            return Count(total=self.total, reward=1.0, done=self.total > 10)

        @property
        def state(self) -> State:
            return State(step_count=self.total)
    ```

    `reset` and `step` may be `async def`, may return an observation (with `reward` and `done` on it) or a
    `StepResult`, and take only the keyword arguments they declare: `seed` and `episode_id` for `reset`,
    `timeout_s` for `step`, and whatever else a trainer passes by name. `state` may be a property, a method or
    a coroutine.

    Args:
        transform: Applied to observations by `_apply_transform`.
        rubric: Grades steps in `_apply_rubric`; any callable `(action, observation) -> reward`.

    Attributes:
        SUPPORTS_CONCURRENT_SESSIONS: Several instances may live in one process. Without it a server holds one.
        REQUIRES_SINGLE_THREAD_EXECUTOR: Every call must come from the same thread, the one that constructed it.
        NON_BLOCKING: Sync methods return at once, within a millisecond at most: they are called on the event loop
            directly, where nothing else goes on meanwhile. True for all of them, or the names of those that do, as
            in `("step", "state")` for an environment that takes its time to be reset. Where it depends on the call,
            `takes_long` says so.
        ALLOWS_STEP_WITHOUT_RESET: A step before the first reset, and after `done`, is part of the task.
        INSTANCES_MEET: Instances of the class play with one another, so all of them have to be in one process.
    """

    SUPPORTS_CONCURRENT_SESSIONS: ClassVar[bool] = False
    REQUIRES_SINGLE_THREAD_EXECUTOR: ClassVar[bool] = False
    NON_BLOCKING: ClassVar[bool | Collection[str]] = False
    ALLOWS_STEP_WITHOUT_RESET: ClassVar[bool] = False
    INSTANCES_MEET: ClassVar[bool] = False

    transform: Transform[Any] | None = None
    rubric: Any = None
    _listener: Callable[[dict[str, Any]], None] | None = None
    # Of environments with tools. The server sets the mode it serves in, and reads and clears the other after each
    # operation: whether its tools are others now, which clients of MCP are told.
    _server_mode: str = "simulation"
    _tools_changed: bool = False

    def __init__(self, transform: Transform[ObservationT] | None = None, rubric: Any = None) -> None:
        self.transform = transform
        self.rubric = rubric

    @abstractmethod
    def reset(self, *args: Any, **kwargs: Any) -> Any:
        """Start a new episode and return its first observation.

        Declare what you take by name: `seed: int | None = None` (the same seed gives the same episode),
        `episode_id: str | None = None` (the id the episode shall have), and whatever else, such as a task. What
        is not declared is not passed; the trainer is warned about it.
        """

    @abstractmethod
    def step(self, action: ActionT, *args: Any, **kwargs: Any) -> Any:
        """Execute one action and return what the agent sees next, with reward and done.

        Args:
            action: A validated action.
            *args: Not used; declare by name what you take.
            **kwargs: `timeout_s: float | None = None` (seconds the step may take), and whatever else is declared.

        Raises:
            InvalidRequestError: The action is refused, such as an illegal move: the episode stands where it stood,
                and the agent's side sees this very error. `reset` refuses its arguments in the same way. Whatever
                else is raised is a fault of the environment.
        """

    def progress(self, fraction: float | None = None, message: str = "", **data: Any) -> None:
        """Tell whoever waits for the running `reset` or `step` how far it is.

        May be called as often as one likes and from any thread: what is told too fast is left out, the latest goes
        on its way. Where nobody listens nothing happens, so an environment need not know how it is served.

        Args:
            fraction: How much is done, from 0 to 1; None if that is not known.
            message: What is being done.
            **data: Anything else of interest: plain values, which are not to be changed afterwards.
        """
        tell = self._listener
        if tell is not None:
            tell({"fraction": fraction, "message": message, **data})

    def takes_long(self, verb: str, arguments: Mapping[str, Any]) -> bool:
        """Say whether a call blocks after all, of those that `NON_BLOCKING` says do not.

        A server asks before each of these resets and steps, on the event loop, so the answer comes at once; a class
        that does not override it is never asked. A call that takes long runs on a thread, like one that
        `NON_BLOCKING` does not name.

        Args:
            verb: `reset` or `step`.
            arguments: What the call is given, by name; that of a step has its `action`.
        """
        return False

    async def reset_async(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `reset` does, async. Overriding it makes it the one that is called."""
        return await _resolved(self.reset(*args, **kwargs))

    async def step_async(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `step` does, async. Overriding it makes it the one that is called."""
        return await _resolved(self.step(*args, **kwargs))

    @property
    @abstractmethod
    def state(self) -> Any:
        """Where the episode stands: its id, its step count and whatever the environment adds."""

    def close(self) -> Any:
        """Release what the environment holds. Called once, when its session ends. May be async."""

    def get_metadata(self) -> EnvironmentMetadata:
        """Return what the environment says about itself; by default its class name and docstring."""
        from openenv.environment.adapter import describe_class

        return describe_class(type(self))

    def render_web(self, observation: Any) -> Any:
        """Return what a person sees of an observation on the web page: by default nothing beside its fields.

        May be async. It is called after each reset and step there, and nowhere else.

        Args:
            observation: What the reset or step has just returned.

        Returns:
            Text, HTML (text that begins with `<`; no script in it is run) or the bytes of a PNG, JPEG or GIF.
        """
        return None

    def web_actions(self, observation: Any) -> Any:
        """Return the actions that the web page offers as buttons; by default none beside the legal ones.

        May be async.

        Args:
            observation: What the reset or step has just returned.

        Returns:
            A list of actions, as objects or dictionaries, or of pairs of a label and an action; None is none.
        """
        return None

    def _apply_transform(self, observation: Any) -> Any:
        return self.transform(observation) if self.transform is not None else observation

    def _apply_rubric(self, action: Any, observation: Any) -> Any:
        """Return the rubric's reward; None without a rubric, so that nothing is graded 0 by default."""
        return self.rubric(action, observation) if self.rubric is not None else None

    async def _apply_rubric_async(self, action: Any, observation: Any) -> Any:
        return await _resolved(self._apply_rubric(action, observation))

    def _reset_rubric(self) -> None:
        reset = getattr(self.rubric, "reset", None)
        if callable(reset):
            reset()

    async def _reset_rubric_async(self) -> None:
        reset = getattr(self.rubric, "reset", None)
        if callable(reset):
            await _resolved(reset())


async def _resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@runtime_checkable
class KeepsState(Protocol):
    """An environment whose episodes can be kept and brought back: it has both of these, sync or async.

    With them its episodes can be kept, restored and forked however it is served. A rubric with `state_dict` and
    `load_state_dict` is kept along with it.
    """

    def get_state(self) -> Any:
        """Return all that makes up the episode, the states of random generators among it.

        Text, bytes, plain values, arrays, or a model of pydantic. It is written down at once, so it may refer to
        what changes later.
        """

    def set_state(self, value: Any) -> Any:
        """Go on from what `get_state` returned, on this or another instance.

        Args:
            value: The same value; of the type that the parameter is annotated with, where it is. What is not
                annotated comes as JSON has it: a list in place of a tuple.
        """


class Message(TypedDict):
    """One message of a conversation."""

    role: str
    content: str


@runtime_checkable
class ModelTokenizer(Protocol):
    """What an environment that speaks in tokens needs of a tokenizer."""

    def apply_chat_template(
        self,
        conversation: list[Message],
        tokenize: bool = True,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the conversation as token ids."""

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """Return the text of token ids."""


@runtime_checkable
class TaskProvider(Protocol):
    """An environment that has tasks, listed by split."""

    def list_splits(self) -> Sequence[str]:
        """Return the names of the splits, such as `train` and `test`."""

    def list_tasks(self, split: str) -> Sequence[Any]:
        """Return the tasks of a split."""

    def num_tasks(self, split: str) -> int:
        """Return how many tasks a split has."""

    def get_task(self, split: str, index: int) -> Any:
        """Return one task."""

    def get_task_range(self, split: str, start: int, stop: int) -> Sequence[Any]:
        """Return the tasks from `start` up to, not including, `stop`."""
