"""Random keys and values of every kind, and what equal and ordered mean for them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gomr_runtime.dataflow.pairs.keys import Kind, kind_of

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_INTS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63) - 2, -(2**63) + 2),
    st.integers(2**63 - 2, 2**63 + 2),
    st.integers(-(2**200), 2**200),
)
_BYTES = st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"\x00", b"\x00\xff", b"\xff"]))
SCALAR_KEYS = st.one_of(
    st.none(), st.booleans(), _INTS, st.floats(allow_nan=False), _TEXT, _BYTES,
    st.sampled_from(["", "a", "a\x00", "a\x00b", "\uffff", "\U00010000"]),
)  # fmt: skip
KEYS = st.recursive(SCALAR_KEYS, lambda keys: st.lists(keys, max_size=3).map(tuple), max_leaves=6)
SCALARS = st.one_of(st.none(), st.booleans(), _INTS, st.floats(), _TEXT, st.binary(max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=3)
        | st.lists(values, max_size=3).map(tuple)
        | st.dictionaries(_TEXT, values, max_size=3)
    ),
    max_leaves=6,
)


def order_of(key: Any) -> Any:
    """Something that Python compares as keys are ordered: by kind, then by value."""
    kind = kind_of(key)
    if kind is Kind.NONE:
        return (kind,)
    if kind is Kind.STR:
        return (kind, [ord(c) for c in key])
    if kind is Kind.TUPLE:
        return (kind, [order_of(item) for item in key])
    return (kind, key)


def same(a: Any, b: Any, *, zero_signs: bool = True) -> bool:
    """Equal, and of the same types all the way down; NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(
            same(x, y, zero_signs=zero_signs) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k], zero_signs=zero_signs) for k in a)
    if isinstance(a, float) and zero_signs:
        return repr(a) == repr(b)
    return bool(a == b)
