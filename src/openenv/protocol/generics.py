"""Reading the type arguments a class was subclassed with, as in `EnvClient[EchoAction, EchoObservation, State]`."""

from __future__ import annotations

from typing import Any, get_args, get_origin


def type_arguments(cls: type, base: type) -> tuple[Any, ...]:
    """Return the concrete arguments that `cls`, or a class it derives from, gave to the generic `base`.

    Arguments that are still type variables are None; no arguments at all give an empty tuple.
    """
    for klass in cls.__mro__:
        for generic in getattr(klass, "__orig_bases__", ()):
            origin = get_origin(generic)
            if isinstance(origin, type) and issubclass(origin, base):
                arguments = tuple(None if _is_variable(a) else a for a in get_args(generic))
                if any(a is not None for a in arguments):
                    return arguments
    return ()


def _is_variable(annotation: Any) -> bool:
    return hasattr(annotation, "__bound__") and hasattr(annotation, "__constraints__")
