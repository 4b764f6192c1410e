"""Reading type arguments from class definitions."""

from typing import Any, Generic, TypeVar

import pytest

from openenv.protocol.generics import type_arguments

A = TypeVar("A")
B = TypeVar("B")


class Base(Generic[A, B]):
    pass


class Full(Base[int, str]):
    pass


class Child(Full):
    pass


class Mixin:
    pass


class Mixed(Mixin, Base[int, list[str]]):
    pass


class Open(Base[A, B]):
    pass


class Half(Base[int, B]):
    pass


class Unspecified(Base):
    pass


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Full, (int, str)),
        (Child, (int, str)),
        (Mixed, (int, list[str])),
        (Half, (int, None)),
        (Open, ()),
        (Unspecified, ()),
        (Base, ()),
        (int, ()),
    ],
)
def test_the_arguments_a_class_gave_its_generic_base(cls: type, arguments: tuple[Any, ...]):
    assert type_arguments(cls, Base) == arguments


class Swapped(Base[B, A], Generic[A, B]):
    pass


class Lists(Base[list[A], A]):
    pass


class Numbers(Open[int, str]):
    pass


class Reordered(Swapped[int, str]):
    """A is int and B is str, and the base was given B first."""


class Completed(Half[bytes]):
    pass


class Nested(Lists[int]):
    pass


class Below(Completed):
    pass


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Numbers, (int, str)),
        (Swapped, ()),
        (Reordered, (str, int)),
        (Completed, (int, bytes)),
        (Nested, (list[int], int)),
        (Below, (int, bytes)),
    ],
)
def test_arguments_given_by_way_of_a_generic_class_in_between(cls: type, arguments: tuple[Any, ...]):
    assert type_arguments(cls, Base) == arguments
