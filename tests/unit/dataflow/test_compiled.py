"""The compiled buffer of pairs against plain Python."""

from __future__ import annotations

import random
import runpy
import sys
from array import array
from collections import ChainMap, Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.dataflow.pairs.hashing import partition_one
from gomr_runtime.dataflow.pairs.keys import Kind, kind_of, payload
from gomr_runtime.model.monitor import SLOTS, TICKS
from gomr_runtime.system import compiled
from tests.unit.support.compiled_buffer import ANY_KEY, Buffer, Pair

native: Any = compiled.load()
pytestmark = pytest.mark.skipif(native is None, reason="gomr-native is not built")

# Few letters, NUL among them, and long shared starts: what sorting by 8 bytes at a time meets.
TEXT = st.text("a\0é", max_size=20) | st.integers(0, 40).map(
    lambda n: "shared start " * 3 + "\0" * n
)
INT64 = st.integers(-(2**63), 2**63 - 1)
PAIRS = st.one_of(
    st.lists(st.tuples(TEXT, INT64), max_size=150),
    st.lists(st.tuples(INT64, TEXT), max_size=150),
    st.lists(st.tuples(st.binary(max_size=12), st.floats()), max_size=150),
    st.lists(st.tuples(st.integers(-3, 3), st.binary(max_size=9)), max_size=150),
)


def encoded(pair: Pair) -> bytes:
    return payload(kind_of(pair[0]), pair[0])


def same(a: list[list[Pair]], b: list[list[Pair]]) -> bool:
    return repr(a) == repr(b)  # NaN equals nothing


@settings(deadline=None)
@given(PAIRS, st.integers(1, 4))
def test_rows_come_sorted_by_partition_and_key_equal_keys_as_emitted(
    pairs: list[Pair], partitions: int
) -> None:
    buffer = Buffer()
    for key, value in pairs:
        buffer.pairs.emit(key, value)
    keys, values = buffer.pairs.lists(0, buffer.pairs.rows)
    assert same([list(zip(keys, values, strict=True))], [pairs])
    expected: list[list[Pair]] = [[] for _ in range(partitions)]
    for pair in sorted(pairs, key=encoded):
        expected[partition_one(kind_of(pair[0]), encoded(pair), partitions)].append(pair)
    assert same(buffer.sorted_rows(partitions), expected)
    assert not buffer.others


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, st.integers(-9, 9)), max_size=150))
def test_summing_keeps_a_row_a_key(pairs: list[tuple[str, int]]) -> None:
    buffer = Buffer("sum")
    buffer.pairs.emit_many(iter(pairs))
    buffer.pairs.count([key for key, _ in pairs])
    expected: Counter[str] = Counter()
    for key, value in pairs:
        expected[key] += value + 1
    assert buffer.pairs.taken == 2 * len(pairs)
    assert buffer.sorted_rows(1) == [sorted(expected.items(), key=encoded)]


def test_many_rows_are_sorted_and_summed() -> None:
    chance = random.Random(5)
    words = [f"user-{chance.randrange(10**6):07}" for _ in range(60_000)]
    buffer, sums = Buffer(), Buffer("sum")
    for i, word in enumerate(words):
        buffer.pairs.emit(word, i)
        sums.pairs.emit(word, 1)
    assert buffer.sorted_rows(1) == [sorted(zip(words, range(len(words)), strict=True))]
    assert sums.sorted_rows(1) == [sorted(Counter(words).items())]


def test_summing_ends_when_it_saves_nothing() -> None:
    buffer = Buffer("sum", trial=100)
    for i in range(300):
        buffer.pairs.emit(f"k{i % 250}", 1)
    assert not buffer.pairs.summing
    (rows,) = buffer.sorted_rows(1)
    totals: Counter[str] = Counter()
    for key, value in rows:
        totals[key] += value
    assert totals == Counter(f"k{i % 250}" for i in range(300))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, 1), (True, 1), (1.5, 1), (("t",), 1), ("\ud800", 1), (2**63, 1), ("a", 2**63),
        ("a", None), ("a", True), ("a", [1]), ("a", "\ud800"), ("a", 1.5), ("a", "x"), (1, 1),
        (type("Text", (str,), {})("a"), 1), ("a", type("Int", (int,), {})(1)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["plain", "sum"])
def test_what_does_not_fit_goes_elsewhere(key: Any, value: Any, mode: str) -> None:
    buffer = Buffer(mode)
    buffer.pairs.emit("first", 1)
    buffer.pairs.emit(key, value)
    buffer.pairs.emit_many([(key, value)])
    assert buffer.others == [(key, value), (((key, value),),)]
    assert buffer.pairs.lists(0, buffer.pairs.rows) == (["first"], [1])


def test_pairs_that_are_none_and_wrong_calls_go_elsewhere() -> None:
    buffer = Buffer()
    buffer.pairs.emit("a")
    buffer.pairs.emit(key="a", value=1)
    buffer.pairs.emit_many(["ab", ("a", 1, 2), ["a", 1]])
    many = [(("ab",),), ((("a", 1, 2),),), ((["a", 1],),)]
    assert buffer.others == [("a",), (), *many]
    buffer.pairs.close()
    buffer.pairs.emit("a", 1)
    buffer.pairs.count(["b"])
    assert buffer.others[5:] == [("a", 1), ("b", 1)]
    buffer.pairs.open()
    buffer.pairs.emit("a", 1)
    assert buffer.pairs.taken == 1


def test_a_sum_beyond_64_bits_keeps_what_it_has() -> None:
    buffer = Buffer("sum")
    buffer.pairs.emit("a", 2**63 - 1)
    buffer.pairs.emit("a", 1)
    assert buffer.others == [("a", 1)]
    assert buffer.pairs.lists(0, 1) == (["a"], [2**63 - 1])


def test_counting_takes_any_plain_value_as_one() -> None:
    buffer = Buffer("count")
    for value in (5, 2.5, None, True):
        buffer.pairs.emit("a", value)
    buffer.pairs.emit("a", "text")
    assert buffer.pairs.lists(0, 1) == (["a"], [4])
    assert buffer.others == [("a", "text")]


def test_only_the_annotated_type_is_taken() -> None:
    buffer = Buffer(only=Kind.FLOAT)
    buffer.pairs.emit("a", 1)
    buffer.pairs.count(["a"])
    buffer.pairs.emit("a", 1.0)
    assert buffer.others == [("a", 1), ("a", 1)]
    assert buffer.pairs.lists(0, 1) == (["a"], [1.0])


def test_partitions_may_be_given_and_are_checked() -> None:
    buffer = Buffer()
    for key in "cab":
        buffer.pairs.emit(key, key)
    with pytest.raises(ValueError, match="a partition for each row"):
        buffer.pairs.sort(2, array("I", [0, 1]))
    with pytest.raises(ValueError, match="a partition for each row"):
        buffer.pairs.sort(2, array("I", [0, 1, 2]))
    assert buffer.sorted_rows(2, array("I", [1, 0, 1])) == [[("a", "a")], [("b", "b"), ("c", "c")]]


def test_lower_counts_keys_below() -> None:
    buffer = Buffer()
    with pytest.raises(ValueError, match="sorted rows"):
        buffer.pairs.lower(b"a")
    for key in ["b", "a", "c", "b"]:
        buffer.pairs.emit(key, 1)
    buffer.pairs.sort(1)
    assert [buffer.pairs.lower(cut) for cut in (b"", b"b", b"ba", b"d")] == [0, 1, 3, 4]


def test_sorted_rows_take_no_pair_until_cleared() -> None:
    buffer = Buffer()
    buffer.pairs.emit("a", 1)
    buffer.pairs.sort(1)
    calls: list[Callable[[], None]] = [
        lambda: buffer.pairs.emit("b", 1),
        lambda: buffer.pairs.emit_many([("b", 1)]),
        lambda: buffer.pairs.count(["b"]),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="while pairs are being stored"):
            call()
    buffer.pairs.clear()
    buffer.pairs.emit(7, b"other kinds")
    assert buffer.pairs.lists(0, 1) == ([7], [b"other kinds"])


def test_full_is_called_past_the_limit_and_its_error_reaches_the_caller() -> None:
    def full() -> None:
        raise OSError("no space")

    pairs = native.Pairs(
        other=print, other_many=print, other_count=print, full=full, limit=200, mode="plain",
        keys=ANY_KEY, only=0, trial=0, ticks=None, secret=bytes(32),
    )  # fmt: skip
    with pytest.raises(OSError, match="no space"):
        pairs.emit_many((f"key {i}", "value") for i in range(100))
    assert 0 < pairs.rows < 20


def test_an_error_of_the_source_passes_through() -> None:
    def source() -> Any:
        yield "a", 1
        raise KeyError("mine")

    buffer = Buffer()
    with pytest.raises(KeyError, match="mine"):
        buffer.pairs.emit_many(source())
    assert buffer.pairs.rows == 1


class Broken:
    def __iter__(self) -> Any:
        raise TypeError("mine")


@pytest.mark.parametrize("given", ["ab", b"ab", bytearray(b"ab"), {"a": 1}, ChainMap(), 5, print])
def test_what_is_no_iterable_of_pairs_or_keys_goes_elsewhere(given: Any) -> None:
    buffer = Buffer()
    buffer.pairs.emit_many(given)
    buffer.pairs.count(given)
    assert buffer.others == [(given,), (given,)]
    buffer.pairs.count()
    buffer.pairs.count(keys=given)
    assert buffer.others[2:] == [(), ()]
    for call in (buffer.pairs.emit_many, buffer.pairs.count):
        with pytest.raises(TypeError, match="mine"):
            call(Broken())


@pytest.mark.parametrize("given", [["a"], ("a",), {"a"}, iter(["a"]), {"a": 1}.keys(), deque("a")])
def test_keys_come_from_iterables_of_any_kind(given: Any) -> None:
    buffer = Buffer()
    buffer.pairs.count(given)
    assert buffer.pairs.lists(0, 1) == (["a"], [1])
    assert buffer.others == []


def test_keys_of_other_kinds_than_are_wanted_go_elsewhere() -> None:
    buffer = Buffer(keys=1 << Kind.STR | 1 << Kind.BYTES)
    buffer.pairs.emit(1, 1)
    buffer.pairs.count([2])
    buffer.pairs.emit("a", 1)
    assert buffer.others == [(1, 1), (2, 1)]
    assert buffer.pairs.lists(0, 1) == (["a"], [1])


def test_every_pair_is_a_tick() -> None:
    words = array("q", [0] * SLOTS)
    pairs = native.Pairs(
        other=print, other_many=print, other_count=print, full=print, limit=1 << 30, mode="plain",
        keys=ANY_KEY, only=0, trial=0, ticks=memoryview(words)[TICKS:], secret=bytes(32),
    )  # fmt: skip
    pairs.emit("a", 1)
    pairs.count(["a", "b"])
    assert {slot: count for slot, count in enumerate(words) if count} == {TICKS: 3}
    with pytest.raises(ValueError, match="a word to count ticks in"):
        native.Pairs(
            other=print, other_many=print, other_count=print, full=print, limit=1, mode="plain",
            keys=ANY_KEY, only=0, trial=0, ticks=memoryview(words)[SLOTS:], secret=bytes(32),
        )  # fmt: skip


def test_the_kinds_have_the_numbers_of_python() -> None:
    found = runpy.run_path(str(Path(__file__).parents[3] / "native" / "kinds.py"))
    assert found["HEADER"].read_text() == found["text"](), "run make kinds"


def test_a_range_that_no_column_has_is_refused() -> None:
    lines = native.Lines(other=print, other_many=print, full=print, limit=10)
    column = (int(Kind.STR), 4, array("i", [0, 1]), b"a", 0)
    for start, end in ((-1, 1), (1, 0)):
        with pytest.raises(ValueError, match="no such rows"):
            lines.columns(column, column, start, end)


def test_nothing_of_a_pair_stays_a_python_object() -> None:
    key, value = f"key {random.random()}", f"value {random.random()}"
    buffer = Buffer()
    before = sys.getrefcount(key), sys.getrefcount(value)
    for _ in range(10):
        buffer.pairs.emit(key, value)
        buffer.pairs.emit_many([(key, value)])
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
