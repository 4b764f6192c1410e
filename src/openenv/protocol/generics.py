"""Reading the type arguments a class was subclassed with, as in `EnvClient[EchoAction, EchoObservation, State]`."""

from __future__ import annotations

from typing import Any, get_args, get_origin


def type_arguments(cls: type, base: type) -> tuple[Any, ...]:
    """Return the concrete arguments that `cls`, or a class it derives from, gave to the generic `base`.

    Arguments that are still type variables are None; no arguments at all give an empty tuple.
    """
    arguments = tuple(None if _is_variable(a) else a for a in _arguments(cls, base))
    return arguments if any(a is not None for a in arguments) else ()


def _arguments(cls: type, base: type) -> tuple[Any, ...]:
    """Return the arguments in terms of the parameters of `cls`."""
    for parent in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = get_origin(parent) or parent
        if origin is base:
            return get_args(parent)
        if isinstance(origin, type) and issubclass(origin, base) and (inherited := _arguments(origin, base)):
            given = dict(zip(getattr(origin, "__parameters__", ()), get_args(parent), strict=False))
            return tuple(_filled(argument, given) for argument in inherited)
    return ()


def _filled(argument: Any, given: dict[Any, Any]) -> Any:
    """Return an argument with the type variables in it replaced by what was given for them."""
    if _is_variable(argument):
        return given.get(argument, argument)
    if inner := getattr(argument, "__parameters__", ()) if get_origin(argument) else ():
        return argument[tuple(given.get(variable, variable) for variable in inner)]
    return argument


def _is_variable(annotation: Any) -> bool:
    return hasattr(annotation, "__bound__") and hasattr(annotation, "__constraints__")
