"""Keys that are chosen so that one place of a table has to hold them all, or that sort badly.

The hash that assigns keys to partitions never changes, so anybody can choose keys for which it is
the same. What holds keys in a table must not depend on it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.dataflow.emit.emit_columns import column_of
from gomr_runtime.dataflow.pairs.hashing import _MIX1, _MIX2, _SEED, _STEP, _absorb, hash_one
from gomr_runtime.dataflow.pairs.keys import Kind, encode
from tests.unit.support.compiled_buffer import Buffer, native

pytestmark = pytest.mark.skipif(native is None, reason="gomr-native is not built")

MASK = 2**64 - 1
TEXT = st.text("a\0é", max_size=20) | st.text("a", max_size=70)


def unmixed(h: int) -> int:
    """The number whose fixed hash, as 8 bytes of an int, is `h`."""
    for step in (_MIX2, _MIX1):
        h = (h ^ h >> 33) * pow(step, -1, 2**64) & MASK
    h ^= h >> 33
    h = (h ^ h >> 29 ^ h >> 58) * pow(_STEP, -1, 2**64) & MASK
    return h ^ (int(Kind.INT) * _SEED & MASK) ^ 8


def chosen_ints(count: int) -> list[int]:
    """Ints whose fixed hashes agree in all bits but the highest, so that tables confuse them."""
    words = [unmixed((n << 40) | 12_345) for n in range(count)]
    return [int.from_bytes(word.to_bytes(8, "little"), "big") - 2**63 for word in words]


def chosen_words(count: int) -> list[bytes]:
    """Words of 16 bytes with one fixed hash: the second half takes back what the first one does."""
    found = []
    for n in range(count):
        first = n.to_bytes(8, "little")
        state = _absorb((int(Kind.BYTES) * _SEED & MASK) ^ 16, first)
        found.append(first + (state ^ 0xABCDEF).to_bytes(8, "little"))
    return found


@pytest.mark.parametrize("choose", [chosen_ints, chosen_words])
def test_keys_that_are_chosen_for_the_fixed_hash_are_found_as_fast_as_others(choose: Any) -> None:
    keys = choose(4_000)
    hashes = [hash_one(raw[0], raw[1:]) for raw in map(encode, keys)]
    assert len({h % 2**40 for h in hashes}) == 1, "or they prove nothing"
    for take in (Buffer("sum").pairs, Buffer("count").pairs):
        take.count(keys)
        take.emit_many((key, 1) for key in keys)
        assert take.rows == len(set(keys)) == 4_000
        assert take.misses < 4 * len(keys)


def test_columns_of_chosen_keys_too() -> None:
    words = chosen_words(4_000)
    buffer = Buffer("sum")
    column = column_of(pa.array(words, pa.binary()))
    assert column is not None
    ones = column_of(pa.array([1] * len(words)))
    assert buffer.pairs.columns(column, ones, 0, len(words)) == len(words)
    buffer.pairs.count(words)  # a key hashes alike whatever way it comes
    assert buffer.pairs.rows == len(words)
    assert buffer.pairs.misses < 4 * len(words)


@settings(max_examples=30)
@given(st.lists(TEXT, max_size=200), st.binary(min_size=32, max_size=32))
def test_nothing_that_is_written_depends_on_the_secret(keys: list[str], secret: bytes) -> None:
    made = []
    for some in (bytes(32), secret, os.urandom(32)):
        buffer = Buffer("sum", secret=some)
        buffer.pairs.count(keys)
        column, ones = (
            column_of(pa.array(keys, pa.string())),
            column_of(pa.array([1] * len(keys), pa.int64())),
        )
        buffer.pairs.columns(column, ones, 0, len(keys))
        made.append((buffer.pairs.lists(0, buffer.pairs.rows), buffer.sorted_rows(3)))
    assert made[0] == made[1] == made[2]
    assert dict(zip(*made[0][0], strict=True)) == {k: 2 * n for k, n in Counter(keys).items()}


def test_a_secret_has_32_bytes() -> None:
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            Buffer(secret=wrong)


SORTED: list[Callable[[int], list[str]]] = [
    lambda n: ["a" * (8 * k - 1) + "z" for k in range(n, 0, -1)],
    lambda n: ["a" * (8 * k - 1) + "z" for k in range(1, n)],
    lambda n: ["a" * 8 * k for k in range(n, 0, -1)],
    lambda n: ["a" * (8 * n - k) for k in range(n)],
    lambda n: ["a" * 8 * k + "b" * 8 * (n - k) for k in range(n)],
    lambda n: ["ab" * (4 * (k // 2)) + "ab"[k % 2] * 8 for k in range(n)],
    lambda n: ["a" * 8 * n] * n,
]


@pytest.mark.parametrize("keys_of", SORTED, ids=range(len(SORTED)))
def test_sorting_looks_at_each_byte_a_few_times(keys_of: Callable[[int], list[str]]) -> None:
    """Also where each eight bytes tell one key from all the others."""
    keys = keys_of(400)
    buffer = Buffer()
    buffer.pairs.emit_many((key, n) for n, key in enumerate(keys))
    (rows,) = buffer.sorted_rows(1)
    assert rows == sorted(((key, n) for n, key in enumerate(keys)), key=lambda row: row[0])
    assert buffer.pairs.work < 8 * sum(map(len, keys))
