"""The compiled merge and the compiled text lines against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.dataflow.output.part import PartWriter
from gomr_runtime.dataflow.pairs.frames import encode_keys, encode_values
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.values import freeze, thaw, unpack
from gomr_runtime.dataflow.shuffle.lists import column_kind
from gomr_runtime.system import compiled

native: Any = compiled.load()
pytestmark = pytest.mark.skipif(native is None, reason="gomr-native is not built")

Pair = tuple[Any, Any]
VALUES = st.one_of(
    st.lists(st.integers(-9, 9), min_size=1),
    st.lists(st.text(max_size=5), min_size=1),
    st.lists(st.none() | st.booleans() | st.floats(allow_nan=False) | st.just([1]), min_size=1),
)
KEYS: dict[Kind, Any] = {
    Kind.NONE: st.none(),
    Kind.BOOL: st.booleans(),
    Kind.INT: st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    Kind.FLOAT: st.floats(allow_nan=False).map(lambda x: x + 0.0) | st.integers(-2, 2).map(float),
    Kind.STR: st.text("a\0é", max_size=12),
    Kind.TUPLE: st.binary(max_size=10),
}


def rank(key: Any) -> Any:
    return 0 if key is None else key


@st.composite
def runs_of(draw: Any) -> tuple[Kind, list[list[list[Pair]]]]:
    """A key kind and up to four sorted runs of frames."""
    kind = draw(st.sampled_from(list(KEYS)))
    runs = []
    for _ in range(draw(st.integers(1, 4))):
        values = draw(VALUES)
        rows = sorted(
            [(draw(KEYS[kind]), value) for value in values], key=lambda pair: rank(pair[0])
        )
        size = draw(st.integers(1, 4))
        runs.append([rows[i : i + size] for i in range(0, len(rows), size)])
    return kind, runs


def feed(merge: Any, kind: Kind, run: int, frame: list[Pair]) -> None:
    keys, values = [key for key, _ in frame], [freeze(value) for _, value in frame]
    value_kind = column_kind(values)
    merge.feed(
        run, value_kind, len(frame), encode_keys(kind, keys), encode_values(value_kind, values)
    )


def fill(merge: Any, kind: Kind, waiting: list[list[list[Pair]]], most_rows: int) -> bool:
    """True when every row is in the window."""
    while (wanted := merge.step(most_rows, 1 << 20)) >= 0:
        if waiting[wanted]:
            feed(merge, kind, wanted, waiting[wanted].pop(0))
        else:
            merge.end()
    return bool(wanted == -2)


@settings(deadline=None)
@given(runs_of(), st.integers(1, 9))
def test_groups_come_whole_in_key_order_with_values_in_run_order(
    given_runs: tuple[Kind, list[list[list[Pair]]]], most_rows: int
) -> None:
    kind, runs = given_runs
    rows = [pair for run in runs for frame in run for pair in frame]
    expected = [
        (key, [value for _, value in group])
        for key, group in groupby(
            sorted(rows, key=lambda pair: rank(pair[0])), key=lambda pair: pair[0]
        )
    ]
    merge = native.Merge(len(runs), kind)
    waiting = [list(run) for run in runs]
    for i, run in enumerate(waiting):
        feed(merge, kind, i, run.pop(0))
    found: list[tuple[Any, list[Any]]] = []
    goes_on = done = False
    while not done:
        done = fill(merge, kind, waiting, most_rows)
        whole = merge.groups if done else max(1, merge.groups - 1)
        lists = merge.lists(whole, unpack)
        assert sum(map(len, lists)) == merge.rows(whole)
        for i, (key, values) in enumerate(zip(merge.keys(whole), lists, strict=True)):
            if i or not goes_on:
                found.append((key, []))
            found[-1][1].extend(values)
        goes_on = not done and merge.groups == 1
        merge.drop(0 if goes_on else whole)
    assert repr(found) == repr(expected)


def merge_of(*frames: list[Pair], kind: Kind = Kind.STR) -> Any:
    """One run a frame, all in the window."""
    merge = native.Merge(len(frames), kind)
    for i, frame in enumerate(frames):
        feed(merge, kind, i, frame)
    assert fill(merge, kind, [[] for _ in frames], 1 << 20)
    return merge


def test_sums_stay_ints_of_64_bits_or_are_left_to_python() -> None:
    assert merge_of([("a", 1), ("b", 2)], [("a", 5)]).sums(2) == [6, 2]
    assert merge_of([("a", 2**63 - 1)], [("a", 1)]).sums(1) is None
    assert merge_of([("a", 1.5)]).sums(1) is None
    assert merge_of([("a", True)]).sums(1) is None


def rendered(pairs: list[Pair]) -> bytes:
    written: list[bytes] = []

    class Sink:
        def write(self, data: bytes, /) -> None:
            written.append(data)

        def set_aside(self) -> Path:
            raise NotImplementedError

    part = PartWriter("text", "part", Sink())
    part.add([key for key, _ in pairs], [freeze(value) for _, value in pairs])
    part.finish()
    return b"".join(written)


TEXT = st.text("ab\\\t\n\ré\U0001f600", max_size=9)
INTS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT | INTS, TEXT | INTS), max_size=30))
def test_lines_are_those_of_the_part_writer(pairs: list[Pair]) -> None:
    others: list[Any] = []
    lines = native.Lines(
        other=lambda *pair: others.append(pair), other_many=print, full=print, limit=1 << 20
    )
    for pair in pairs[::2]:
        lines.emit(*pair)
    assert lines.take() == (len(pairs[::2]), rendered(pairs[::2]))
    lines.emit_many(iter(pairs))
    assert lines.take() == (len(pairs), rendered(pairs))
    assert lines.take() == (0, b"")
    assert not others


@settings(deadline=None)
@given(
    st.sampled_from([(Kind.STR, TEXT), (Kind.INT, INTS)]).flatmap(
        lambda of: st.tuples(
            st.just(of[0]), st.lists(st.tuples(of[1], TEXT | INTS), min_size=1, max_size=20)
        )
    )
)
def test_text_of_a_window_is_that_of_the_part_writer(given_rows: tuple[Kind, list[Pair]]) -> None:
    kind, pairs = given_rows
    pairs = sorted(pairs, key=lambda pair: pair[0])
    frames = [[pair] for pair in pairs]
    merge = merge_of(*frames, kind=kind)
    assert merge.text(merge.groups, False) == rendered(pairs)
    summed = [(key, 3 * pairs.count((key, value))) for key, value in dict(pairs).items()]
    numbers = merge_of(*[[(key, 3)] * (n // 3) for key, n in summed], kind=kind)
    assert numbers.text(numbers.groups, True) == rendered(summed)


def test_text_that_only_python_can_write_is_left_to_it() -> None:
    assert merge_of([("a", 1.5)]).text(1, False) is None
    assert merge_of([(1.5, 1)], kind=Kind.FLOAT).text(1, True) is None
    assert merge_of([("a", 2**63 - 1)], [("a", 1)]).text(1, True) is None
    others: list[Any] = []
    lines = native.Lines(
        other=lambda *pair: others.append(pair), other_many=others.append, full=print, limit=99
    )
    for pair in [("a", 1.5), (None, 1), ("a", "\ud800"), ("a", 2**63), (True, 1)]:
        lines.emit(*pair)
        lines.emit_many([pair])
    lines.close()
    lines.emit("a", 1)
    assert len(others) == 11
    assert lines.take() == (0, b"")


def test_lines_with_a_huge_key_are_not_made_all_at_once() -> None:
    """The key would be written with each of its values: a small window, gigabytes of text."""
    key = "k" * (1 << 20)
    few, many = (merge_of([(key, n) for n in range(rows)]) for rows in (31, 33))
    assert few.text(1, False) == rendered([(key, n) for n in range(31)])
    assert many.text(1, False) is None
    assert many.text(1, True) == rendered([(key, sum(range(33)))])


def test_the_first_key_takes_nothing_of_a_window() -> None:
    """It stays while its values come and go; what is left of it must leave room for more."""
    merge = native.Merge(1, Kind.STR)
    rows = [("k" * 5_000, n) for n in range(9)]
    feed(merge, Kind.STR, 0, rows)
    taken = []
    while merge.step(100, 64) == -1:
        taken += merge.lists(1, unpack)[0]
        assert merge.nbytes < 5_000
        merge.drop(0)
    assert taken + merge.lists(1, unpack)[0] == list(range(9))


def test_full_lines_are_told_of_and_errors_pass() -> None:
    told: list[int] = []

    def full() -> None:
        told.append(1)
        raise OSError("no space")

    lines = native.Lines(other=print, other_many=print, full=full, limit=10)
    with pytest.raises(OSError, match="no space"):
        lines.emit_many((f"key {i}", i) for i in range(99))
    assert told == [1]


def wrong_feeds() -> list[Callable[[Any], None]]:
    return [
        lambda merge: merge.feed(0, Kind.INT, 2, b"\1\0\0\0\1\0\0\0a", b"\0" * 16),
        lambda merge: merge.feed(0, Kind.INT, 1, b"\1\0\0\0a", b"\0" * 7),
        lambda merge: merge.feed(0, Kind.INT, 1, b"\xff\xff\xff\xffa", b"\0" * 8),
        lambda merge: merge.feed(0, Kind.INT, 3, b"\0", b"\0" * 24),
        lambda merge: merge.feed(0, Kind.INT, 0, b"", b""),
        lambda merge: merge.feed(5, Kind.INT, 1, b"\1\0\0\0a", b"\0" * 8),
        lambda merge: merge.end(),
        lambda merge: merge.keys(1),
        lambda merge: merge.drop(-1),
    ]


@pytest.mark.parametrize("wrong", wrong_feeds())
def test_columns_are_checked(wrong: Callable[[Any], None]) -> None:
    merge = native.Merge(1, Kind.STR)
    with pytest.raises(ValueError, match=r"column|frame|groups"):
        wrong(merge)
    assert thaw(merge.groups) == 0
