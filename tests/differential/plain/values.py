"""What a value may be, and what annotations make of it."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tests.differential.plain.keys import Refused

NAMED = (int, float, str, bytes, bool, list, tuple, dict)


def taken(value: Any) -> Any:
    """A copy of the value as it is now. Refused for what is none."""
    kind = type(value)
    if kind is str:
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise Refused("value_surrogate")
        return value
    if value is None or kind in (bool, int, float, bytes):
        return value
    if kind is list or kind is tuple:
        return kind(map(taken, value))
    if kind is dict:
        if any(type(name) is not str for name in value):
            raise Refused("value_kind")
        return {taken(name): taken(inner) for name, inner in value.items()}
    raise Refused("value_kind")


@lru_cache(16)
def annotation(function: Callable[..., Any]) -> tuple[bool, type | None]:
    """Of the parameter `values`: whether it streams, and the type of a value where it is named."""
    name = list(inspect.signature(function).parameters)[2]
    while hasattr(function, "func"):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    hint = typing.get_type_hints(function).get(name)
    origin = typing.get_origin(hint) or hint
    streams = origin in (collections.abc.Iterator, collections.abc.Iterable)
    if hint not in (None, Any, list) and not streams and origin is not list:
        raise Refused("annotation")
    inner = (typing.get_args(hint) or (None,))[0]
    inner = typing.get_origin(inner) or inner
    if inner not in (None, Any, *NAMED):
        raise Refused("annotation")
    return streams, inner if inner in NAMED else None


def converted(value: Any, wanted: type | None) -> Any:
    """str to int, str to float and int to float; anything else is of that type already."""
    if wanted is None or type(value) is wanted:
        return value
    if (type(value), wanted) in ((str, int), (str, float), (int, float)):
        try:
            return wanted(value)
        except (ValueError, OverflowError):
            raise Refused("value_type") from None
    raise Refused("value_type")


class OnePass:
    """Values to be read once."""

    def __init__(self, values: list[Any]) -> None:
        self._values = iter(values)
        self._begun = False

    def __iter__(self) -> OnePass:
        if self._begun:
            raise Refused("second_pass")
        self._begun = True
        return self

    def __next__(self) -> Any:
        return next(self._values)
