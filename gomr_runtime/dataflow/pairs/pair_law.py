"""What the pairs of a job may be: which keys and values are taken, and as what.

A pair is checked when it is emitted, so that an error shows the line that emitted it. `PairLaw`
says which types need no look at all; the compiled part takes those by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from gomr_runtime.dataflow.input.digits import check_digits
from gomr_runtime.dataflow.pairs.conversions import refusal
from gomr_runtime.dataflow.pairs.keys import KeyRefused, Kind, kind_of, payload
from gomr_runtime.dataflow.pairs.values import PLAIN, Packed, ValueRefused, freeze

CONTAINERS: Final = frozenset({list, tuple, dict})
_TYPES: Final[dict[str, type]] = {
    "None": type(None),
    **{kind.__name__: kind for kind in (bool, int, float, str, bytes, list, tuple, dict)},
}
_EASY: Final = frozenset({type(None), bool, int, bytes})
"""Types of which every object is a key, or a value."""


@dataclass(frozen=True)
class PairLaw:
    """Which pairs a task takes.

    keys: the types that keys have to be of, None for any. values: the types that values are
    converted to, or have to be of; None for any. summed_by: the built-in that adds the values up,
    so that they must be ints or floats.
    """

    keys: frozenset[type] | None = None
    values: frozenset[type] | None = None
    summed_by: str = ""

    @cached_property
    def easy_keys(self) -> frozenset[type]:
        """Types of keys that are taken without a look. A str has to be valid Unicode."""
        return _EASY if self.keys is None else _EASY & self.keys

    @cached_property
    def easy_values(self) -> frozenset[type]:
        """The same for values."""
        easy = _EASY | {float}
        if self.values is not None:
            easy &= self.values
        return easy & {int, float} if self.summed_by else easy

    @cached_property
    def takes_frozen(self) -> bool:
        """Whether a value may be a container."""
        return not self.summed_by and (self.values is None or bool(self.values & CONTAINERS))

    @cached_property
    def text_keys(self) -> bool:
        """Whether a key may be a str."""
        return self.keys is None or str in self.keys

    @cached_property
    def text_values(self) -> bool:
        """Whether a value may be a str as it is."""
        return not self.summed_by and (self.values is None or str in self.values)

    def check_key(self, key: Any) -> None:
        """Raise KeyRefused for what is no key."""
        kind = kind_of(key)
        if self.keys is not None and type(key) not in self.keys:
            raise KeyRefused(
                f"key {key!r:.80} is {type(key).__name__}, the annotation says {names(self.keys)}"
            )
        if kind is Kind.STR or (kind is Kind.TUPLE and not all(map(_is_easy, key))):
            payload(kind, key)

    def value(self, value: Any) -> Any:
        """The value as it goes on: converted, and frozen where it could change.

        Raises:
            ValueRefused: it is no value, or none of the annotated type.
        """
        kind = type(value)
        if kind is Packed:  # frozen, and so checked, before
            return value
        if kind not in PLAIN and kind not in CONTAINERS:
            raise ValueRefused(refusal(value, "value"))
        if self.values is not None and kind not in self.values:
            value = converted(value, self.values)
            kind = type(value)
        if self.summed_by and kind not in (int, float):
            raise ValueRefused(
                f"{self.summed_by} needs int or float values, got {kind.__name__}: "
                "convert it before emit"
            )
        if kind is str and not is_unicode(value):
            raise ValueRefused(f"value {value!r:.80} holds a lone surrogate; encode it first")
        return freeze(value)

    def first_bad_key(self, keys: Sequence[Any]) -> int | None:
        """The index of the first key that `check_key` refuses."""
        types = set(map(type, keys))
        if types <= self.easy_keys or (types == {str} and self.text_keys and encodable(keys)):
            return None
        for i, key in enumerate(keys):
            try:
                self.check_key(key)
            except KeyRefused:
                return i
        return None


def types_named(value_type: str) -> frozenset[type] | None:
    """The types of values that a job's description names; None for any."""
    if value_type in ("", "number"):
        return None
    return frozenset(_TYPES[name] for name in value_type.split("|"))


def names(types: Iterable[type]) -> str:
    """Types as messages list them."""
    known = set(types)
    return " or ".join(name for name, kind in _TYPES.items() if kind in known)


def converted(value: Any, types: frozenset[type]) -> Any:
    """The value as one of the types, by the conversions that there are: str to int, str to float,
    int to float. Raises ValueRefused."""
    given = type(value)
    targets: list[type] = [
        kind
        for kind, sources in ((int, (str,)), (float, (str, int)))
        if kind in types and given in sources
    ]
    for target in targets:
        try:
            if target is int:
                check_digits(value)
            return target(value)
        except (ValueError, OverflowError) as error:
            if target is targets[-1]:
                raise ValueRefused(
                    f"value {value!r:.80} is no {target.__name__}: {error}"
                ) from None
    raise ValueRefused(
        f"value {value!r:.80} is {given.__name__}, the annotation says {names(types)}"
    )


def _is_easy(item: Any) -> bool:
    """Whether what a tuple holds can be told to be a key by its type."""
    kind = type(item)
    return kind in _EASY or (kind is str and item.isascii())


def is_unicode(text: str) -> bool:
    """Whether a str holds no lone surrogate."""
    return text.isascii() or encodable([text])


def encodable(texts: Iterable[str]) -> bool:
    """Whether no str holds a lone surrogate."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
