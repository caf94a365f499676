"""Keys and values: order, identity and their way through bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.dataflow.pairs.hashing import (
    hash_column,
    hash_one,
    partition_column,
    partition_one,
)
from gomr_runtime.dataflow.pairs.keys import KeyRefused, Kind, decode, encode, kind_of, payload
from gomr_runtime.dataflow.pairs.values import ValueRefused, freeze, pack, thaw, unpack
from tests.unit.support.dataflow_strategies import KEYS, VALUES, order_of, same

MANY = settings(max_examples=120, deadline=None)


@MANY
@given(KEYS, KEYS)
def test_encoded_keys_order_like_keys_and_only_equal_keys_are_equal(a: Any, b: Any) -> None:
    ordered = order_of(a)
    other = order_of(b)
    assert (encode(a) < encode(b)) == (ordered < other)
    assert (encode(a) == encode(b)) == (ordered == other)


@MANY
@given(KEYS)
def test_a_key_comes_back_with_its_type(key: Any) -> None:
    assert same(decode(encode(key)), key, zero_signs=False)


@MANY
@given(st.binary(max_size=40) | KEYS.map(encode), st.data())
def test_bytes_that_are_no_key_are_a_value_error(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    if damaged:
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= data.draw(st.integers(0, 255))
        damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        key = decode(bytes(damaged))
    except ValueError:
        return
    assert encode(key) == bytes(damaged)


def test_four_keys_that_python_takes_for_one() -> None:
    assert len({encode(key) for key in (1, 1.0, True, "1", (1,), (1.0,), (True,))}) == 7
    assert encode(0.0) == encode(-0.0)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (math.nan, "NaN"),
        ((1, math.nan), "NaN"),
        ("\ud800", "lone surrogate"),
        (("a", "\ud800"), "lone surrogate"),
        (Text("a"), r"subclass of str: emit str\(key\)"),
        (np.int64(1), "emit key.item()"),
        (np.float64(1), "float"),
        ([1], "list"),
        ((1, [2]), "list"),
        (bytearray(b"a"), "bytearray"),
    ],
    ids=repr,
)
def test_what_cannot_be_a_key_is_refused_by_name(key: Any, says: str) -> None:
    with pytest.raises(KeyRefused, match=says.replace("()", r"\(\)") if "item" in says else says):
        encode(key)


def test_nesting_without_end_is_refused_not_a_crash() -> None:
    key: Any = ()
    value: Any = []
    for _ in range(5_000):
        key, value = (key,), [value]
    with pytest.raises(KeyRefused, match="nested"):
        encode(key)
    with pytest.raises(ValueRefused, match="nested"):
        pack(value)


@MANY
@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(thaw(freeze(value)), value)
    assert same(unpack(pack(value)), value)


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**400, -(10**400)])
def test_ints_of_any_size_are_values(value: int) -> None:
    assert unpack(pack([value, (value,)])) == [value, (value,)]


@pytest.mark.parametrize(
    "value", [{1, 2}, {1: 2}, object(), Text("a"), [Text("a")], np.int64(1), "\ud800", ["\ud800"]]
)
def test_what_cannot_be_a_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueRefused):
        pack(value)


@MANY
@given(st.lists(st.binary(max_size=30), max_size=60), st.sampled_from(list(Kind)))
def test_a_column_hashes_like_its_keys_one_by_one(cells: list[bytes], kind: Kind) -> None:
    check_hashes(kind, cells)


@pytest.mark.parametrize("lengths", [[0], [8] * 20, [0, 7, 8, 9] * 9, [3] * 30 + [5_000, 4_097]])
def test_a_column_with_few_long_keys_hashes_alike(lengths: list[int]) -> None:
    check_hashes(
        Kind.STR, [bytes((i * 7 + j) % 256 for j in range(n)) for i, n in enumerate(lengths)]
    )


def check_hashes(kind: Kind, cells: list[bytes]) -> None:
    data = np.frombuffer(b"".join(cells), np.uint8)
    sizes = np.array([len(cell) for cell in cells], np.uint64)
    starts = (np.cumsum(sizes) - sizes).astype(np.int64)
    got = hash_column(kind, data, starts, sizes)
    assert got.tolist() == [hash_one(kind, cell) for cell in cells]
    for partitions in (1, 3, 70_000):
        ones = [partition_one(kind, cell, partitions) for cell in cells]
        assert partition_column(got, partitions).tolist() == ones
        assert all(0 <= one < partitions for one in ones)


def test_the_hash_never_changes() -> None:
    """Runs of an older version are resumed by a newer one."""
    keys = ["", "a", "hello world", 0, -1, 1.5, True, None, b"\x00", (1, "a"), 2**70]
    hashes = [hash_one(kind_of(key), payload(kind_of(key), key)) for key in keys]
    assert [f"{h:016x}" for h in hashes] == [
        "3e278dca88014e2a",
        "bf47630220200edb",
        "8e4c99bc7f4c63b6",
        "7bb0769f09ef3795",
        "21488371c7eb318a",
        "23d9ea417f211eaa",
        "eab95997a2a46fef",
        "9ca066f1a4ab2eea",
        "93c6676fede10a56",
        "8596afabe6a1fc04",
        "702d477207c25b17",
    ]


def test_partitions_fill_evenly() -> None:
    for keys in (
        [f"word{i}" for i in range(4_000)],
        list(range(4_000)),
        [(i, "x") for i in range(4_000)],
    ):
        where = [partition_one(kind_of(k), payload(kind_of(k), k), 4) for k in keys]
        assert all(900 < where.count(p) < 1_100 for p in range(4)), type(keys[0])
