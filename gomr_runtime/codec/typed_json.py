"""JSON that is received, as values of the types in which it is declared: nothing else comes in.

`take(kind, value)` gives a value of `kind` for decoded JSON, or raises Mismatch: one line that says
where, what was there, and what belongs there. A kind is a dataclass, or any annotation that is made
of those, str, bool, int, float, None, `Literal`, `tuple[X, ...]`, `dict[str, X]` and unions with
None. Every number has a range, every text and every list a largest size: they are part of the
annotation (`wire_types`), and a kind without them is refused. A bool is no int, an int is a float.

A dataclass takes every field that has no default, and none that it does not know. What its fields
must agree on is said by its method `violation`, if it has one: words, or "".
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from gomr_runtime.codec.wire_types import SUM_DIGITS, AtMost, Between, Like

T = TypeVar("T")
Taker = Callable[[Any], Any]

_SHOWN = 60  # characters of a value that does not fit
_JSON = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


class Mismatch(ValueError):
    """What was received is not of its type. `path` leads to it, the outermost first."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{''.join(self.path).lstrip('.')}: {self.words}" if self.path else self.words

    def inside(self, step: str) -> Mismatch:
        """The same, seen from one level further out."""
        self.path.insert(0, step)
        return self


def parse(data: bytes | str) -> Any:
    """Decoded JSON.

    Raises:
        Mismatch: It is none, is nested too deep, or has a number that is none: NaN, infinities, or
            an int of more than 4,300 digits.
    """
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    try:
        return _decode(text)
    except RecursionError:
        raise Mismatch("nested too deep") from None
    except Mismatch:
        raise
    except ValueError as error:
        raise Mismatch(f"not JSON: {error}") from None


def from_json(kind: type[T], data: bytes | str) -> T:
    """The value of `kind` that is in `to_json`'s bytes. Raises Mismatch for anything else."""
    return take(kind, parse(data))


def take(kind: type[T], value: Any) -> T:
    """The value of `kind` that `value`, decoded JSON, stands for. Raises Mismatch."""
    return cast(T, taker(cast(Any, kind))(value))


@cache
def taker(kind: Any) -> Taker:
    """What takes values of `kind`.

    Raises:
        TypeError: The kind is not made for what is received: it has no ranges, for one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1:])
    if origin in {typing.Union, types.UnionType}:
        [inner] = [taker(each) for each in arguments if each is not types.NoneType]
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return _one_of(arguments)
    if kind is bool:
        return _bool
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _fields(kind)
    raise TypeError(f"{kind} is no type for what is received: has it a range?")


def shown(value: object) -> str:
    """A received value for people, of bounded length."""
    if isinstance(value, dict | list):
        return f"{_JSON[type(value)]} of {len(value):,}"
    if value is None:
        return "null"
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        return f"a number of {value.bit_length():,} bits"
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _bounded(kind: Any, bounds: tuple[object, ...]) -> Taker:
    """Of an annotation with a range."""
    [bound] = bounds
    if isinstance(bound, Between) and kind in {int, float}:
        return _int(bound) if kind is int else _float(bound)
    if isinstance(bound, Like) and kind is str:
        return _like(bound)
    if isinstance(bound, AtMost):
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is str:
            return _text(bound.size)
        if (origin is tuple and arguments[1:] == (...,)) or origin is Sequence:
            return _several(taker(arguments[0]), bound.size)
        if origin is dict:
            return _mapping(taker(arguments[0]), taker(arguments[1]), bound.size)
    raise TypeError(f"{kind} cannot be bounded by {bounds}")


def _int(bound: Between) -> Taker:
    low, high = bound.low, bound.high

    def take_int(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(
                f"{shown(value)} is no whole number from {_limit(low)} to {_limit(high)}"
            )
        return value

    return take_int


def _limit(number: float) -> str:
    """A limit in words; of very large ones only how large."""
    if abs(number) < 10**20:
        return f"{number:,}"
    return f"{'-' if number < 0 else ''}2^{int(number).bit_length() - 1}"


def _float(bound: Between) -> Taker:
    low, high = bound.low, bound.high

    def take_float(value: Any) -> float:
        if type(value) not in {int, float} or not low <= value <= high:
            raise Mismatch(f"{shown(value)} is no number from {low:g} to {high:g}")
        return float(value)

    return take_float


def _text(size: int) -> Taker:
    def take_text(value: Any) -> str:
        if type(value) is not str:
            raise Mismatch(f"{shown(value)} is no text")
        if len(value) > size:
            raise Mismatch(f"a text of {len(value):,} characters, at most {size:,} belong there")
        return value

    return take_text


def _like(bound: Like) -> Taker:
    matches, words = bound.pattern.fullmatch, bound.words

    def take_like(value: Any) -> str:
        if type(value) is not str or not matches(value):
            raise Mismatch(f"{shown(value)} is not {words}")
        return value

    return take_like


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise Mismatch(f"{shown(value)} is neither true nor false")
    return value


def _one_of(choices: tuple[Any, ...]) -> Taker:
    known = frozenset(choices)

    def take_choice(value: Any) -> str:
        if type(value) is not str or value not in known:
            names = ", ".join(repr(choice) for choice in choices)
            raise Mismatch(f"{shown(value)} is none of {names}")
        return value

    return take_choice


def _several(take_one: Taker, size: int) -> Taker:
    def take_several(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Mismatch(f"{shown(value)} is no list")
        if len(value) > size:
            raise Mismatch(f"a list of {len(value):,}, at most {size:,} belong there")
        taken: list[Any] = []
        try:
            for item in value:
                taken.append(take_one(item))  # noqa: PERF401  (its length is the place of a refusal)
        except Mismatch as error:
            raise error.inside(f"[{len(taken)}]") from None
        return tuple(taken)

    return take_several


def _mapping(take_key: Taker, take_value: Taker, size: int) -> Taker:
    def take_mapping(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Mismatch(f"{shown(value)} is no object")
        if len(value) > size:
            raise Mismatch(f"an object of {len(value):,}, at most {size:,} belong there")
        with suppress(Mismatch):
            return {take_key(key): take_value(item) for key, item in value.items()}
        for key, item in value.items():  # once more, to say where
            try:
                take_key(key), take_value(item)
            except Mismatch as error:
                raise error.inside(f"[{shown(key)}]") from None
        raise AssertionError("the second look sees what the first one saw")

    return take_mapping


def _fields(kind: type) -> Taker:
    """Of a dataclass."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    # Made on first use: kinds may hold each other.
    takers: dict[str, Taker] = {field.name: taker(hints[field.name]) for field in fields}
    none = dataclasses.MISSING
    required = {f.name for f in fields if f.default is none and f.default_factory is none}
    violation: Callable[[Any], str] | None = getattr(kind, "violation", None)

    def take_fields(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(f"{shown(value)} is no object: {kind.__name__}")
        if unknown := value.keys() - takers.keys():
            raise Mismatch(f"{kind.__name__} has no field {shown(min(unknown))}")
        if missing := required - value.keys():
            raise Mismatch(f"{kind.__name__} lacks {min(missing)}")
        taken = _taken(takers, value)
        found = kind(**taken)
        if violation is not None and (words := violation(found)):
            raise Mismatch(words)
        return found

    return take_fields


def _taken(takers: Mapping[str, Taker], value: dict[str, Any]) -> dict[str, Any]:
    name, taken = "", {}
    try:
        for name, item in value.items():
            taken[name] = takers[name](item)
    except Mismatch as error:
        raise error.inside(f".{name}") from None
    return taken


def _int_of(text: str) -> int:
    """Bounded, since the time to read an int grows with the square of its digits."""
    if len(text) > SUM_DIGITS + 1:
        raise Mismatch(f"an int of {len(text):,} digits, at most {SUM_DIGITS:,} belong there")
    return int(text)


def _no_number(text: str) -> float:
    raise Mismatch(f"{text} is no number in JSON")


_decode = json.JSONDecoder(parse_int=_int_of, parse_constant=_no_number).decode
