"""What the shape of an environment class means, decided once.

People write `reset`, `step` and `state` sync or async, as property or method, with or without `seed`, returning
an observation or a `StepResult`, typed by `Environment[A, O, S]` or by annotations alone. `Shape.of` reads all of
that from the class; `Adapter` binds it to one instance and offers three calls of one form. Nothing is inspected
while messages flow.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from openenv.environment.base import Environment, non_blocking
from openenv.environment.views import has_views, view_of
from openenv.errors import ConfigurationError, ExecutionError, InvalidRequestError
from openenv.models import Action, EnvironmentMetadata, Observation, State, StepResult
from openenv.protocol.generics import type_arguments
from openenv.protocol.unions import members

logger = logging.getLogger("openenv.environment")

_GENERIC_PARAMETERS = ("action", "observation", "state")

_INQUIRIES = {"tools": "list_tools", "prompts": "list_prompts", "prompt": "get_prompt"}
"""The methods that an environment may have, by what they tell."""


@dataclass(frozen=True)
class Signature:
    """Which keyword arguments a method takes."""

    named: frozenset[str]
    any_keyword: bool

    @staticmethod
    def of(function: Callable[..., Any], given: int = 1) -> Signature:
        """Read it from a function whose first parameters, `self` at least, are given by position."""
        parameters = list(inspect.signature(function).parameters.values())
        taken = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD][:given]
        parameters = [p for p in parameters if p not in taken]
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return Signature(
            named=frozenset(p.name for p in parameters if p.kind in by_name),
            any_keyword=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
        )

    def accepts(self, name: str) -> bool:
        """Return whether passing the keyword would work."""
        return self.any_keyword or name in self.named


@dataclass(frozen=True)
class Shape:
    """Everything about an environment class that does not change from message to message.

    Attributes:
        cls: The class.
        reset_name: `reset`, or `reset_async` where the class overrides that.
        step_name: `step`, or `step_async` where the class overrides that.
        coroutines: Which of `reset`, `step`, `state` and `close` are coroutine functions.
        non_blocking: Which of them return at once, as the class says.
        tells_long: It says of a reset or step whether that takes long after all.
        reset: Which keyword arguments `reset` takes.
        step: Which keyword arguments `step` takes.
        types: Declared `action`, `observation` and `state` types, as far as they are declared.
    """

    cls: type
    reset_name: str
    step_name: str
    coroutines: frozenset[str]
    non_blocking: frozenset[str]
    tells_long: bool
    reset: Signature
    step: Signature
    types: Mapping[str, Any]

    @staticmethod
    def of(environment_class: type) -> Shape:
        """Read the shape of a class.

        Raises:
            ConfigurationError: A verb is missing, or what it says of itself makes no sense.
        """
        for verb in ("reset", "step"):
            if not callable(getattr(environment_class, verb, None)):
                raise ConfigurationError(
                    f"{environment_class.__name__} has no {verb}(); an environment needs reset and step"
                )
        reset_name, step_name = _preferred(environment_class, "reset"), _preferred(environment_class, "step")
        reset, step = getattr(environment_class, reset_name), getattr(environment_class, step_name)
        return Shape(
            cls=environment_class,
            reset_name=reset_name,
            step_name=step_name,
            coroutines=_coroutines(environment_class, reset=reset, step=step),
            non_blocking=non_blocking(environment_class),
            tells_long=getattr(environment_class, "takes_long", None) not in (None, Environment.takes_long),
            reset=Signature.of(reset),
            step=Signature.of(step, given=2),
            types=_declared_types(environment_class, reset, step),
        )

    @cached_property
    def action(self) -> Any:
        """The declared action type or union; `Action` if none is declared."""
        return self.types.get("action", Action)

    @cached_property
    def observation(self) -> Any:
        """The declared observation type; `Observation` if none is declared."""
        return self.types.get("observation", Observation)

    @cached_property
    def state(self) -> Any:
        """The declared state type; `State` if none is declared."""
        return self.types.get("state", State)


def _preferred(cls: type, verb: str) -> str:
    """Return the spelling of a verb that the author wrote last; of those in one class, the most telling.

    `step_async` beside `step` means that the sync one is a fallback. `_serve_step` is for classes of this project
    whose step is sync or async as the action will have it: it returns an observation or a coroutine of one.
    """
    spellings = (f"_serve_{verb}", f"{verb}_async", verb)
    for base in cls.__mro__:
        if base is Environment:
            break
        for name in spellings:
            if name in vars(base):
                return name
    return verb


def _coroutines(cls: type, **verbs: Any) -> frozenset[str]:
    verbs |= {name: inspect.getattr_static(cls, name, None) for name in ("state", "close")}
    return frozenset(name for name, function in verbs.items() if inspect.iscoroutinefunction(function))


def _declared_types(cls: type, reset: Any, step: Any) -> dict[str, Any]:
    arguments = zip(_GENERIC_PARAMETERS, type_arguments(cls, Environment), strict=False)
    found = {name: given for name, given in arguments if given is not None}
    returned = _hints(reset).get("return")
    parameters = [p for p in inspect.signature(step).parameters if p != "self"]
    annotated = {
        "action": _hints(step).get(parameters[0]) if parameters else None,
        "observation": _observation_of(_hints(step).get("return")) or _observation_of(returned),
        "state": _state_of(cls),
    }
    for name, annotation in annotated.items():
        if annotation is not None and annotation is not Any and not isinstance(annotation, typing.TypeVar):
            found.setdefault(name, annotation)
    return found


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation only a type checker can resolve is no annotation to us
        return {}


def _observation_of(annotation: Any) -> Any:
    """Return the observation type a return annotation names: `Obs`, or the argument of `StepResult[Obs]`."""
    for member in members(annotation):
        arguments = getattr(member, "__pydantic_generic_metadata__", {}).get("args")
        if isinstance(member, type) and issubclass(member, StepResult):
            return arguments[0] if arguments else None
    is_model = [isinstance(mem, type) and issubclass(mem, Observation) for mem in members(annotation)]
    return annotation if is_model and all(is_model) else None


def _state_of(cls: type) -> Any:
    attribute = inspect.getattr_static(cls, "state", None)
    function = attribute.fget if isinstance(attribute, property) else attribute
    annotation = _hints(function).get("return") if callable(function) else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, State) else None


def describe_class(cls: Any) -> EnvironmentMetadata:
    """Return what a class says about itself by its name and docstring."""
    name = getattr(cls, "__name__", type(cls).__name__)
    own_doc = cls.__dict__.get("__doc__") if isinstance(cls, type) else getattr(cls, "__doc__", None)
    summary = inspect.cleandoc(own_doc or "").partition("\n")[0]
    return EnvironmentMetadata(
        name=name,
        description=summary or f"{name} environment",
        version="1.0.0",
        readme_content=_readme(cls),
    )


def _readme(cls: Any) -> str | None:
    """Return the README of the package that a class comes from: the one beside its `openenv.yaml`."""
    file = getattr(sys.modules.get(getattr(cls, "__module__", "")), "__file__", None)
    for folder in list(Path(file).parents)[:_README_ABOVE] if file else ():
        if (folder / "openenv.yaml").is_file():
            with contextlib.suppress(OSError, UnicodeDecodeError):
                return _FRONT_MATTER.sub("", (folder / "README.md").read_text(encoding="utf-8"))
    return None


_FRONT_MATTER = re.compile(r"\A---\n.*?^---\n\s*", re.DOTALL | re.MULTILINE)
"""What a README begins with that is for the service which shows it."""

_README_ABOVE = 3
"""Folders above a module in which its package's manifest is looked for."""


def _tools_of(returned: Any) -> Any:
    """Return the tools in what a step returned that asked for them."""
    if inspect.isawaitable(returned):
        return _awaited_tools(returned)
    observation = returned.observation if isinstance(returned, StepResult) else returned
    return list(getattr(observation, "tools", ()))


async def _awaited_tools(returned: Any) -> Any:
    return _tools_of(await returned)


class Adapter:
    """One environment instance behind calls of one form.

    Args:
        environment: The instance.
        strict: Refuse arguments the environment does not declare, instead of warning about them.

    Attributes:
        warnings: What the next result has to say of the arguments it was asked for with.
    """

    def __init__(self, environment: Any, *, strict: bool = False) -> None:
        self.environment = environment
        self.shape = Shape.of(type(environment))
        self.strict = strict
        self._reset = getattr(environment, self.shape.reset_name)
        self._step = getattr(environment, self.shape.step_name)
        self.warnings: list[str] = []
        self._has_views = has_views(type(environment))
        self._seen: Any = None
        self.allows_step_without_reset = bool(getattr(environment, "ALLOWS_STEP_WITHOUT_RESET", False))

    def bind_reset(
        self, seed: int | None = None, episode_id: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Callable[[], Any]:
        """Return the call of the environment's reset with the arguments it takes.

        Raises:
            InvalidRequestError: Strict, and an argument is not declared.
        """
        self.warnings = []
        given = dict(options or {})
        if seed is not None:
            given["seed"] = seed
        if episode_id is not None:
            given["episode_id"] = episode_id
        return partial(self._reset, **self._accepted("reset", self.shape.reset, given)) if given else self._reset

    @property
    def plain_step(self) -> Callable[[Any], Any]:
        """The environment's step, for a call with the action alone."""
        return self._step  # type: ignore[no-any-return]

    def bind_step(
        self, action: Any, timeout_s: float | None = None, options: Mapping[str, Any] | None = None
    ) -> Callable[[], Any]:
        """Return the call of the environment's step with the arguments it takes.

        Raises:
            InvalidRequestError: Strict, and an argument is not declared.
        """
        self.warnings = []
        given = dict(options or {})
        if timeout_s is not None and self.shape.step.accepts("timeout_s"):
            given["timeout_s"] = timeout_s
        accepted = self._accepted("step", self.shape.step, given) if given else given
        return partial(self._step, action, **accepted)

    def takes_long(self, verb: str, call: Callable[[], Any]) -> bool:
        """Return whether the environment says that a call takes long; only resets and steps may.

        Args:
            verb: What is called.
            call: What `bind_reset` or `bind_step` returned.
        """
        given = call if isinstance(call, partial) else partial(call)
        if verb == "reset":
            return bool(self.environment.takes_long(verb, given.keywords))
        if verb == "step":
            return bool(self.environment.takes_long(verb, {"action": given.args[0], **given.keywords}))
        return False

    def state(self) -> Any:
        """Read the environment's state; what is returned may be awaitable."""
        # Not by a default of getattr: that would hide an AttributeError raised inside a property.
        state = self.environment.state if hasattr(self.shape.cls, "state") else vars(self.environment).get("state")
        return state() if callable(state) else state

    def inquire(self, what: str, arguments: dict[str, Any]) -> Any:
        """Return what the environment says of its tools, prompts or last observation; may be awaitable.

        Args:
            what: `tools`, `prompts`, or `prompt` for one of them; `view` for what people see, as `view_of` has it.
            arguments: Of `prompt`: its `name` and `arguments`.
        """
        if what == "view":
            return view_of(self.environment, self._seen) if self._seen is not None else {}
        method = getattr(self.environment, _INQUIRIES[what], None)
        if callable(method):
            return method(**arguments)
        if what == "tools" and (listing := self._listing_action()) is not None:
            return _tools_of(self._step(listing))
        if what == "prompt":
            raise InvalidRequestError(f"There is no prompt {arguments.get('name')!r}: this environment has none")
        return []

    def _listing_action(self) -> Any:
        """Return the action by which older environments are asked for their tools, if this one takes it."""
        for cls in members(self.shape.action):
            if getattr(getattr(cls, "model_fields", {}).get("type"), "default", None) == "list_tools":
                return cls()
        return None

    def be(self, mode: str) -> None:
        """Tell the environment whom it serves: a `simulation`, or agents in `production`."""
        if isinstance(self.environment, Environment):
            vars(self.environment)["_server_mode"] = mode

    def take_tools_changed(self) -> bool:
        """Return whether the environment's tools are others than before, once."""
        environment = self.environment
        if not getattr(environment, "_tools_changed", False):
            return False
        environment._tools_changed = False
        return True

    def listen(self, listener: Callable[[dict[str, Any]], None] | None) -> None:
        """Have the environment report its progress to a function, which may be called on any thread."""
        if isinstance(self.environment, Environment):
            vars(self.environment)["_listener"] = listener  # also where its class forbids to set attributes

    @property
    def has_close(self) -> bool:
        """Whether the environment has anything to close."""
        close = getattr(type(self.environment), "close", None)
        return close is not None and close is not Environment.close

    def close(self) -> Any:
        """Close the environment; what is returned may be awaitable."""
        close = getattr(self.environment, "close", None)
        return close() if callable(close) else None

    def metadata(self) -> EnvironmentMetadata:
        """Return what the environment says about itself, whatever it says wrongly left out."""
        get = getattr(self.environment, "get_metadata", None)
        try:
            found = get() if callable(get) else None
        except (Exception, SystemExit):  # a README that is missing is no reason not to be served
            logger.exception("%s.get_metadata() failed; its name and docstring are used", self.shape.cls.__name__)
            found = None
        return found if isinstance(found, EnvironmentMetadata) else describe_class(self.shape.cls)

    def result(self, returned: Any) -> StepResult[Any]:
        """Return what a reset or step returned as a `StepResult`, with any pending warnings in its `info`.

        Raises:
            ExecutionError: It is neither an observation nor a `StepResult`.
        """
        if isinstance(returned, StepResult):
            result = returned
        elif isinstance(returned, Observation):
            result = StepResult.make(returned, returned.reward, returned.done, metadata=returned.metadata)
        else:
            raise ExecutionError(
                f"{self.shape.cls.__name__} returned {type(returned).__name__}; "
                "return an Observation or a StepResult",
                exception="TypeError",
            )
        self.seen(result.observation)
        if self.warnings:
            warnings = [*result.info.get("warnings", ()), *self.warnings]
            # A copy, for the environment may give the same object again.
            result = result.model_copy(update={"info": {**result.info, "warnings": warnings}})
            self.warnings = []
        return result

    def seen(self, observation: Any) -> None:
        """Keep the last observation, where the environment shows people something of it."""
        if self._has_views:
            self._seen = observation

    def _accepted(self, verb: str, signature: Signature, given: dict[str, Any]) -> dict[str, Any]:
        """Keep what the method takes; say so of what it does not take, never drop it in silence."""
        name = self.shape.cls.__name__
        unknown = sorted(n for n in given if not signature.accepts(n))
        if unknown and self.strict:
            raise InvalidRequestError(
                f"{name}.{verb}() does not take {', '.join(unknown)}",
                errors=[
                    {"loc": [n], "msg": "not an argument of this environment", "type": "unexpected"}
                    for n in unknown
                ],
            )
        self.warnings = [
            f"{n} was not used: {name}.{verb}() does not declare it"
            + ("; this episode is not reproducible" if n == "seed" else "")
            for n in unknown
        ]
        if "seed" in given and "seed" not in signature.named and "seed" not in unknown:
            self.warnings.append(f"seed may not be used: {name}.{verb}() takes it only as part of **kwargs")
        return {n: value for n, value in given.items() if n not in unknown}
