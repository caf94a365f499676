"""What `ctx.emit`, `ctx.emit_many` and `ctx.count` are: a pair is checked, then held.

A pair that is refused raises at the user's line, and its record fails even where user code swallows
that: see `Emitter.refuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

from gomr_runtime.dataflow.pairs.conversions import conversion
from gomr_runtime.dataflow.pairs.keys import KeyRefused, PairRefused
from gomr_runtime.dataflow.pairs.values import ValueRefused

if TYPE_CHECKING:
    from gomr_runtime.dataflow.pairs.pair_law import PairLaw

Function = TypeVar("Function", bound=Callable[..., None])
SOME_KEYS: Final = 8_192
"""Keys of a counted iterable that are taken at once."""


class Emitting(Protocol):
    """Whatever holds the pairs that are emitted, as the calls of `ctx` see it."""

    keys: list[Any]
    values: list[Any]
    limit: int
    check_pair: Callable[[Any, Any], None] | None
    count_keys: Callable[[list[Any]], None] | None
    whole_records: bool

    def refuse(self, error: PairRefused) -> NoReturn: ...
    def overflow(self) -> None: ...
    def source(self, given: Iterable[Any], what: str, items: str) -> Iterator[Any]: ...
    def count_now(self, keys: list[Any]) -> None: ...


class NoPair(PairRefused):
    """Something that was to be a (key, value) pair, or an iterable of them."""


def emit_function(emitter: Emitting, law: PairLaw) -> Callable[[Any, Any], None]:
    """`ctx.emit`: two list appends, and a look at the types before."""
    keys, values = emitter.keys, emitter.values
    add_key, add_value = keys.append, values.append
    easy_keys, easy_values = law.easy_keys, law.easy_values
    text_key, text_value = (str if text else None for text in (law.text_keys, law.text_values))

    def check_key(key: Any) -> None:
        try:
            law.check_key(key)
        except KeyRefused as error:
            emitter.refuse(error)

    def settled(value: Any) -> Any:
        try:
            return law.value(value)
        except ValueRefused as error:
            emitter.refuse(error)

    def emit(key: Any, value: Any) -> None:
        kind = value.__class__
        if (kind is not text_value or not value.isascii()) and kind not in easy_values:
            value = settled(value)
        kind = key.__class__
        if (kind is not text_key or not key.isascii()) and kind not in easy_keys:
            check_key(key)
        add_key(key)
        add_value(value)
        if len(keys) > emitter.limit:
            emitter.overflow()

    def emit_for_part(key: Any, value: Any) -> None:
        held = value if value.__class__ in easy_values else settled(value)
        if key.__class__ not in easy_keys:
            check_key(key)
        _check_for_part(emitter, key, value)
        add_key(key)
        add_value(held)
        if len(keys) > emitter.limit:
            emitter.overflow()

    if emitter.check_pair is None:
        return named(emit)
    emit_for_part.__name__ = emit.__name__
    return named(emit_for_part)


def _check_for_part(emitter: Emitting, key: Any, value: Any) -> None:
    assert emitter.check_pair is not None
    try:
        emitter.check_pair(key, value)
    except PairRefused as error:
        emitter.refuse(error)


def emit_many_function(
    emitter: Emitting, emit: Callable[[Any, Any], None], tick: Callable[[], None]
) -> Callable[[Iterable[tuple[Any, Any]]], None]:
    """`ctx.emit_many`: one by one, for a generator may change what it has yielded, emit by itself,
    or raise."""

    def emit_many(pairs: Iterable[tuple[Any, Any]]) -> None:
        for pair in emitter.source(pairs, "ctx.emit_many", "pairs"):
            if pair.__class__ is not tuple or len(pair) != 2:
                check_pair(emitter, pair)
            key, value = pair
            emit(key, value)
        tick()

    return named(emit_many)


def count_function(emitter: Emitting, law: PairLaw) -> Callable[[Iterable[Any]], None]:
    """`ctx.count`: keys in bulk where what gives them does not emit by itself."""

    def count(keys: Iterable[Any]) -> None:
        source = emitter.source(keys, "ctx.count", "keys")
        try:
            one = law.value(1)
        except ValueRefused as error:
            emitter.refuse(error)
        if emitter.count_keys is not None and not emitter.whole_records:
            _count_by_the_way(emitter, law, source)
            return
        checking = emitter.check_pair is not None
        size = SOME_KEYS if type(keys) in (list, tuple) and not checking else 1
        while some := list(islice(source, size)):
            if checking:
                _check_for_part(emitter, some[0], one)
            bad = law.first_bad_key(some)
            emitter.keys.extend(some[:bad])
            emitter.values.extend(repeat(one, len(some) if bad is None else bad))
            if bad is not None:
                _refuse_key(emitter, law, some[bad])
            if len(emitter.keys) > emitter.limit:
                emitter.overflow()

    return named(count)


def _count_by_the_way(emitter: Emitting, law: PairLaw, source: Iterator[Any]) -> None:
    """Past the lists: a sum is the same in any order."""
    more = True
    while more:
        some: list[Any] = []
        try:
            some.extend(islice(source, SOME_KEYS))  # keeps what came before an error
        finally:
            more = len(some) == SOME_KEYS
            bad = law.first_bad_key(some)
            if good := some[:bad]:
                emitter.count_now(good)
            if bad is not None:
                _refuse_key(emitter, law, some[bad])


def _refuse_key(emitter: Emitting, law: PairLaw, key: Any) -> None:
    try:
        law.check_key(key)
    except KeyRefused as error:
        emitter.refuse(error)


def check_pair(emitter: Emitting, pair: object) -> None:
    """Refuse what is no tuple or list of two."""
    if isinstance(pair, tuple | list) and len(pair) == 2:
        return
    why = f"expected a (key, value) pair, got {pair!r:.80}"
    if pair is None:
        why += ": ctx.emit gives None, so write a for loop, or give the pairs themselves"
    elif written := _as_pair(pair):
        why += f": {written}"
    emitter.refuse(NoPair(why))


def _as_pair(given: object) -> str:
    """What to write for what is no pair; "" where nothing helps."""
    if hasattr(type(given), "__arrow_c_stream__") or hasattr(type(given), "__arrow_c_array__"):
        return "ctx.emit_batch takes columns"
    written = conversion(given, "value", "pair")
    return f"give {written}" if written.startswith("pair.") else ""


def refusal_of_source(given: object, what: str, items: str) -> NoPair | None:
    """Why something is no iterable of pairs, or of keys; None for one that may be.

    Args:
        given: what was given.
        what: what it was given to, such as `ctx.count`.
        items: what it holds, `pairs` or `keys`.
    """
    name = type(given).__name__
    if isinstance(given, str | bytes | bytearray):
        hint = f"{what}([{items[:-1]}]) takes one" if items == "keys" else "give (key, value) pairs"
    elif isinstance(given, Mapping):
        hint = "give its items(): ctx.emit_many(counts.items())"
    elif hasattr(type(given), "__arrow_c_stream__") and hasattr(given, "columns"):
        hint = "ctx.emit_batch takes columns"
    elif not hasattr(type(given), "__iter__") and not hasattr(type(given), "__getitem__"):
        hint = "give a list, or a generator"
    else:
        return None
    return NoPair(f"{what} takes an iterable of {items}, not {name}: {hint}")


def named(function: Function) -> Function:
    """The function with the name that user code calls it by, which Python's own errors show."""
    name = f"ctx.{getattr(function, '__name__')}"  # noqa: B009  (no Callable is known to have one)
    for attribute in ("__name__", "__qualname__"):
        setattr(function, attribute, name)
    return function
