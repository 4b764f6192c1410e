"""The typed things an agent and an environment exchange: actions, observations, states, step results.

All are pydantic models, so a schema, validation and JSON come with the class. One metaclass lets the
oldest way of writing them, `@dataclass class MyAction(Action)`, mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from openenv import values
from openenv.outcomes import ORDINARY, Cause, Outcome, Status

__all__ = [
    "Action",
    "Cause",
    "CodeExecResult",
    "EnvironmentMetadata",
    "Observation",
    "Outcome",
    "Reward",
    "State",
    "Status",
    "StepResult",
    "unchecked",
]

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelMeta
else:
    _ModelMeta = type(BaseModel)  # its public name, at run time

_DATACLASS_METHODS = frozenset(
    {
        "__init__",
        "__repr__",
        "__eq__",
        "__hash__",
        "__setattr__",
        "__delattr__",
        "__match_args__",
        "__replace__",
        "__doc__",
    }
)


class _DataclassTolerantMeta(_ModelMeta):
    """Makes `@dataclass` on a model keep the model, adding only its positional arguments.

    The decorator runs after the class is made and assigns `__dataclass_fields__`, then the methods it
    generated. Those would bypass validation, so they are not taken; an `__init__` that accepts the fields
    in their order of definition is put in their place. A `__post_init__` runs after validation, wherever the
    values come from.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> type:
        if "__post_init__" in namespace:
            namespace.setdefault("model_post_init", _run_post_init)
        return super().__new__(mcs, name, bases, namespace, **options)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "__dataclass_fields__":
            super().__setattr__(name, value)
            if "__init__" in cls.__dict__:  # the author's own
                return
            own = [f.name for f in value.values() if f.name in vars(cls)["__pydantic_fields__"] and not f.kw_only]
            super().__setattr__("__init__", _positional_init(own))
        elif name in _DATACLASS_METHODS and "__dataclass_fields__" in cls.__dict__:
            return
        else:
            super().__setattr__(name, value)


def _run_post_init(self: Any, _context: Any) -> None:
    self.__post_init__()


def _positional_init(names: list[str]) -> Callable[..., None]:
    def __init__(self: BaseModel, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if len(args) > len(names):
            raise TypeError(
                f"{type(self).__name__}() takes {len(names)} positional arguments but {len(args)} were given"
            )
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{type(self).__name__}() got multiple values for argument {min(twice)!r}")
        BaseModel.__init__(self, **given, **kwargs)

    # pydantic looks at this mark to tell its own constructor from a user's; this one only reorders.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]
    return __init__


class Model(BaseModel, metaclass=_DataclassTolerantMeta):
    """What all messages share: bytes and arrays survive, equality compares arrays by content."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",  # so that the encoder sees them and refuses
        protected_namespaces=(),
        populate_by_name=True,  # a field with an alias is sent by its name, as ever, and read by either
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Give every array field and every `Any` field its wire form (see `openenv.values`)."""
        return values.adapt(handler(source), handler.resolve_ref_schema)  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        """Compare by class and content; arrays are equal when dtype, shape and elements are."""
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, BaseModel)
        return _same(self.__dict__, other.__dict__) and _same(self.__pydantic_extra__, other.__pydantic_extra__)

    __hash__ = None  # type: ignore[assignment]


class Settled:
    """Awaitable, giving itself at once.

    A client's methods return a coroutine in an `async with` and the result itself otherwise. With results that
    can be awaited, one annotation is true of both: `reset() -> StepResult[EchoObservation]`.
    """

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield  # type: ignore[unreachable]  # makes it a generator


class Nothing(Settled):
    """What a call without a result gives, where its caller may await it. False, and equal to None."""

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Nothing)

    __hash__ = None  # type: ignore[assignment]


def _same(a: Any, b: Any) -> bool:
    if values.is_array(a) or values.is_array(b):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(item, b[key]) for key, item in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _plain_number(value: Any) -> Any:
    """Turn NumPy and torch scalars into Python numbers; leave the rest to the validator."""
    if value is None or type(value) in (float, int, bool):
        return value
    item = getattr(value, "item", None)
    return item() if callable(item) else value


Finite = Annotated[float, Field(allow_inf_nan=False)]


class _PythonFloat:
    """A finite float that is one already; strictness alone would take whatever has a `__float__`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.float_schema(strict=True, allow_inf_nan=False)
        python = core_schema.chain_schema([core_schema.is_instance_schema(float), number])
        return core_schema.json_or_python_schema(json_schema=number, python_schema=python)


_Exact = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, _PythonFloat] | None
_Converted = Annotated[bool | int | Finite | None, BeforeValidator(_plain_number)]
# Plain numbers, nearly all there are, are told from one another in Rust.
Reward = Annotated[
    _Exact | _Converted,
    Field(union_mode="left_to_right"),
    WithJsonSchema({"anyOf": [{"type": t} for t in ("boolean", "integer", "number", "null")]}),
]
"""A reward: a finite number, or None when nothing graded the step. NumPy scalars are accepted."""


class Action(Model):
    """What an agent sends to `step`. Subclass it and declare the fields.

    Unknown fields are refused and assignment is validated.

    Attributes:
        metadata: Free-form extras that are not part of the action itself.
    """

    # 1e999 is valid JSON and infinite; no action means that.
    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    metadata: dict[str, Any] = Field(default_factory=dict)


class Observation(Model):
    """What an environment answers. Subclass it and declare the fields.

    Unknown fields are refused and assignment is validated.

    Attributes:
        done: Whether the episode has ended.
        reward: The reward of the step that led here; None when nothing graded it.
        metadata: Free-form extras for debugging and logging.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    done: bool = False
    reward: Reward = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class State(Settled, Model):
    """Where an episode stands. Subclass it, or just set more attributes: extra fields are kept.

    Attributes:
        episode_id: The id of the episode; None before the first reset.
        step_count: Steps taken in this episode.
        elapsed_time: Seconds since the episode's reset, filled in by the server.
    """

    model_config = ConfigDict(extra="allow", validate_assignment=True)

    episode_id: str | None = None
    step_count: int = Field(default=0, ge=0)
    elapsed_time: float | None = None


_new = object.__new__
# The slots of every model, set past `BaseModel.__setattr__`, which looks for them among the fields.
_set_fields = BaseModel.__dict__["__dict__"].__set__
_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__

ObservationT_co = TypeVar("ObservationT_co", covariant=True)


@cache
def _all_fields(cls: type[BaseModel]) -> set[str]:
    """Return the names of all fields: one set for all results, of which each has every field set."""
    return set(cls.model_fields)


ModelT = TypeVar("ModelT", bound=Model)


def unchecked(cls: type[ModelT], **fields: Any) -> ModelT:
    """Build an observation of values that are right already, in a fraction of the time that its constructor takes.

    For environments that are asked tens of thousands of times a second. Nothing is validated, converted or copied,
    and nothing of the author's runs; what is wrong is first seen by the client.

    Args:
        cls: The class of a model without private attributes.
        **fields: Its fields; those that are left out have their defaults.
    """
    self = _new(cls)
    given = _all_fields(cls)
    if len(fields) < len(given):
        given = set(fields)
        for name, field in cls.__pydantic_fields__.items():
            if name not in fields:
                fields[name] = field.get_default(call_default_factory=True, validated_data=fields)
    _set_fields(self, fields)
    _set_fields_set(self, given)
    _set_extra(self, None)
    _set_private(self, None)
    return self


class StepResult(Settled, Model, Generic[ObservationT_co]):
    """What `reset` and `step` return to a trainer; an environment may return it too.

    Takes its first three fields by position: `StepResult(observation, 1.0, False)`. How the step came out may be
    said by the three flags or by the outcome; each follows from the other, and a contradiction is refused.

    Attributes:
        observation: The typed observation (a dict from an untyped client).
        reward: Reward of the step; None when nothing graded it.
        done: The episode is over, for whatever reason.
        terminated: It ended by the rules of the task.
        truncated: It was cut off by a limit of the task, such as a step count.
        outcome: How it came out, and whether the reward is to be trained on.
        info: Extras beside the observation, for debugging; `warnings` lists what the server wants noticed.
        metadata: The observation's metadata.

    Raises:
        ValueError: The outcome says something else than the flags.
    """

    observation: ObservationT_co
    reward: Reward = None
    done: bool = False
    terminated: bool = False
    truncated: bool = False
    outcome: Outcome = Outcome(Status.OK)
    info: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def make(
        cls,
        observation: Any,
        reward: bool | float | None,
        done: bool,
        truncated: bool = False,
        info: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> StepResult[Any]:
        """Build a result of values that have been validated already; several times as fast as the constructor."""
        self = _new(cls)
        fields = {
            "observation": observation,
            "reward": reward,
            "done": done,
            "terminated": done and not truncated,
            "truncated": truncated,
            "outcome": ORDINARY[done, truncated, reward is not None],
            "info": info or {},
            "metadata": metadata or {},
        }
        _set_fields(self, fields)
        _set_fields_set(self, _all_fields(cls))
        _set_extra(self, None)
        _set_private(self, None)
        return self

    def __init__(
        self,
        observation: ObservationT_co,
        reward: bool | float | None = None,
        done: bool = False,
        *,
        terminated: bool = False,
        truncated: bool = False,
        outcome: Outcome | None = None,
        info: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if outcome is None:
            done = done or terminated or truncated
            terminated = terminated or (done and not truncated)
            outcome = Outcome.of(done, truncated, reward is not None)
        else:
            done, terminated, truncated = _agreeing(outcome, done, terminated, truncated)
        super().__init__(
            observation=observation,
            reward=reward,
            done=done,
            terminated=terminated,
            truncated=truncated,
            outcome=outcome,
            info=info or {},
            metadata=metadata or getattr(observation, "metadata", None) or {},
        )


def _agreeing(outcome: Outcome, done: bool, terminated: bool, truncated: bool) -> tuple[bool, bool, bool]:
    """Return the flags that go with an outcome, given those that are set."""
    status = outcome.status
    if status == Status.OK and (done or terminated or truncated):
        raise ValueError(
            "The outcome says that the episode goes on (ok), and done, terminated or truncated that not"
        )
    if status == Status.TERMINATED and truncated:
        raise ValueError("The outcome says terminated, and truncated=True says something else")
    return (
        status != Status.OK,
        terminated or status == Status.TERMINATED,
        truncated or status == Status.TRUNCATED,
    )


class EnvironmentMetadata(Settled, Model):
    """What an environment says about itself, served at `/metadata`.

    Attributes:
        name: Its name, as in `echo_env`.
        description: One or two sentences.
        readme_content: The README as Markdown.
        version: The version of the environment package.
        author: Who wrote it.
        documentation_url: Where its documentation is.
        capabilities: What can be done with its episodes, as far as the server that serves it can: `snapshot`,
            `restore`, `fork`, `reseed`.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    description: str = ""
    readme_content: str | None = None
    version: str | None = None
    author: str | None = None
    documentation_url: str | None = None
    capabilities: list[str] = Field(default_factory=list)


class SnapshotInfo(Settled, Model):
    """What a server says of a snapshot it keeps.

    Attributes:
        snapshot_id: Its id, which `restore` and `drop_snapshot` take.
        episode_id: The episode it was taken in; None if it was taken where there was none.
        step_count: How many steps that had.
        size: Bytes it takes; None for a process that is kept, whose memory is shared with others.
        age_s: Seconds since it was taken.
        expires_s: Seconds until it is dropped, unless it is used.
    """

    model_config = ConfigDict(extra="ignore")

    snapshot_id: str
    episode_id: str | None = None
    step_count: int = 0
    size: int | None = None
    age_s: float = 0.0
    expires_s: float = 0.0


class EpisodePoint(Settled, Model):
    """The point in an episode at which a session stands after a restore or a fork.

    Attributes:
        episode_id: The id that the episode has from here on.
        parent_id: The id of the episode it was forked from; None where it is that episode.
        seed: What the episode was reset with.
        step_count: Steps taken up to here.
        done: Whether the episode is over.
    """

    model_config = ConfigDict(extra="ignore")

    episode_id: str | None = None
    parent_id: str | None = None
    seed: int | None = None
    step_count: int = 0
    done: bool = False


class CodeExecResult(Model):
    """What a piece of code did that was run to its end.

    Attributes:
        stdout: What it wrote.
        stderr: What it wrote there.
        exit_code: Its exit code; 0 if all went well.
    """

    model_config = ConfigDict(extra="forbid")

    stdout: str
    stderr: str
    exit_code: int
