"""Frames, indexes and cuts: written and read with and without Arrow, and damaged."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.dataflow.pairs.frames import decode_keys, decode_values, user_keys
from gomr_runtime.dataflow.pairs.keys import Kind, encode
from gomr_runtime.dataflow.pairs.pair_batch import Batch, check_pairs
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.pairs.values import freeze, thaw
from gomr_runtime.dataflow.shuffle import columns
from gomr_runtime.dataflow.shuffle.cut_points import read_cuts, write_cuts
from gomr_runtime.dataflow.shuffle.gather import RunWriter
from gomr_runtime.dataflow.shuffle.partitioner import (
    CutPartitioner,
    HashPartitioner,
    KeySample,
    choose_cuts,
)
from gomr_runtime.dataflow.shuffle.run_reader import Cursor
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model.run_index import Run, decode_partition, encode_index
from tests.unit.support.bytes_blob import BytesBlob
from tests.unit.support.dataflow_strategies import KEYS, VALUES, same

MANY = settings(max_examples=80, deadline=None)
PAIRS = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=12)
SAME_KIND = st.one_of(
    *(
        st.lists(st.tuples(KEYS, values), min_size=1, max_size=12)
        for values in (st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.binary())
    )
)


class Written:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> None:
        self.data += data


def batches_of(pairs: list[tuple[Any, Any]]) -> list[Batch]:
    keys, values = zip(*pairs, strict=True)
    return check_pairs(list(keys), [freeze(value) for value in values], PairLaw())


def written(pairs: list[tuple[Any, Any]], *, arrow: bool, partitions: int = 1) -> tuple[bytes, int]:
    sink = Written()
    writer = RunWriter(sink, HashPartitioner(partitions))
    if arrow:
        writer.write_columns([columns.segment_of(batch) for batch in batches_of(pairs)])
    else:
        writer.write_small(batches_of(pairs))
    size, index_bytes = writer.finish()
    assert size == len(sink.data)
    assert writer.rows == len(pairs)
    return bytes(sink.data), index_bytes


def read(stored: bytes, index_bytes: int, *, arrow: bool, partition: int = 0) -> Any:
    index = stored[len(stored) - index_bytes :]
    pairs: list[tuple[Any, Any]] = []
    for run in decode_partition(index, partition, "here"):
        before = len(pairs)
        for frame in Cursor(BytesBlob(stored), run, "here", window=50).frames():
            if arrow:
                segment = columns.segment_from(frame)
                keys, values = columns.native_keys(segment), columns.python_values(segment)
            else:
                keys, values = decode_keys(frame), decode_values(frame)
            pairs += zip(user_keys(frame.key_kind, keys), values, strict=True)
        assert len(pairs) - before == run.rows
    return pairs


@MANY
@given(PAIRS | SAME_KIND, st.booleans(), st.booleans(), st.integers(1, 3))
def test_pairs_come_back_sorted_whoever_writes_and_reads(
    pairs: list[tuple[Any, Any]], write_arrow: bool, read_arrow: bool, partitions: int
) -> None:
    stored, index_bytes = written(pairs, arrow=write_arrow, partitions=partitions)
    got: list[tuple[Any, Any]] = []
    for partition in range(partitions):
        part = read(stored, index_bytes, arrow=read_arrow, partition=partition)
        assert [encode(key) for key, _ in part] == sorted(encode(key) for key, _ in part)
        got += part
    got.sort(key=lambda pair: encode(pair[0]))
    want = sorted(pairs, key=lambda pair: encode(pair[0]))
    assert same([v for _, v in got], [thaw(freeze(v)) for _, v in want])
    assert same([k for k, _ in got], [k for k, _ in want], zero_signs=False)


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.booleans(), st.booleans(), st.data())
def test_damage_is_found_whatever_byte_it_hits(
    pairs: list[tuple[Any, Any]], write_arrow: bool, read_arrow: bool, data: st.DataObject
) -> None:
    stored, index_bytes = written(pairs, arrow=write_arrow)
    damaged = bytearray(stored)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        damaged = damaged[:at]
    got = outcome(bytes(damaged), min(index_bytes, len(damaged)), arrow=read_arrow)
    if isinstance(got, CorruptBlock):
        assert str(got).startswith("here: ")
    else:  # four bytes of a header mean nothing
        assert same(got, read(stored, index_bytes, arrow=read_arrow))


def outcome(stored: bytes, index_bytes: int, *, arrow: bool) -> Any:
    try:
        return read(stored, index_bytes, arrow=arrow)
    except CorruptBlock as error:
        return error


def test_every_bit_of_a_small_output() -> None:
    stored, index_bytes = written([("a", 1), ("b", [2]), (3, "x")], arrow=False)
    right = read(stored, index_bytes, arrow=False)
    found = 0
    for at in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[at // 8] ^= 1 << at % 8
        try:
            assert same(read(bytes(damaged), index_bytes, arrow=False), right)
        except CorruptBlock:
            found += 1
    frames = stored.count(b"gmF1")
    assert found == 8 * (len(stored) - 4 * frames), "all but the padding of the headers"


def test_a_huge_row_does_not_widen_its_frame() -> None:
    pairs = [(f"{i:06d}", "x" if i % 50 else "x" * 300_000) for i in range(2_000)]
    for arrow in (True, False):
        stored, index_bytes = written(pairs, arrow=arrow)
        (run,) = decode_partition(stored[-index_bytes:], 0, "here")
        frames = list(Cursor(BytesBlob(stored), run, "here").frames())
        assert max(len(frame.keys) + len(frame.values) for frame in frames) < 900_000
        assert sum(frame.rows for frame in frames) == 2_000


@MANY
@given(st.lists(st.lists(st.integers(0, 2**40), max_size=4), max_size=6), st.data())
def test_an_index_gives_each_partition_its_runs(
    sizes: list[list[int]], data: st.DataObject
) -> None:
    runs = [[Run(size, size + 1, size % 7, size // 2) for size in some] for some in sizes]
    raw = encode_index(runs)
    assert [decode_partition(raw, p, "x") for p in range(len(runs))] == runs
    for bad in (len(runs), len(runs) + 5):
        with pytest.raises(CorruptBlock, match=r"^x: "):
            decode_partition(raw, bad, "x")
    if not runs:
        return
    at = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[at] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(damaged), raw[:at]):
        with pytest.raises(CorruptBlock, match=r"^x: "):
            decode_partition(wrong, 0, "x")


@MANY
@given(st.lists(KEYS, min_size=1, max_size=30), st.integers(1, 6))
def test_cuts_divide_keys_in_order(keys: list[Any], partitions: int) -> None:
    cuts = choose_cuts([encode(key) for key in keys], partitions)
    assert read_cuts(write_cuts(cuts)) == cuts
    assert len(cuts) < partitions
    partitioner = CutPartitioner(cuts, partitions)
    for batch in batches_of([(key, 0) for key in keys]):
        where = partitioner.assign(batch.kind, batch.keys)
        natives = user_keys(batch.kind, batch.keys)
        assert where == [sum(cut <= encode(key) for cut in cuts) for key in natives]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1]", b'["zz"]', b'[""]', b'["07", "06"]', b'["63"]']
)
def test_cuts_that_are_none_are_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        read_cuts(raw)


@MANY
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 9))
def test_a_sample_takes_every_nth_key(lengths: list[int], most: int) -> None:
    sample = KeySample(most_keys=most)
    for start, end in zip(accumulate(lengths, initial=0), accumulate(lengths), strict=False):
        sample.add(Kind.INT, range(start, end))
    total = sum(lengths)
    step = next(2**i for i in range(20) if -(-total // 2**i) <= most)
    assert sample.keys == [encode(i) for i in range(0, total, step)]


def test_a_sample_of_huge_keys_stays_small() -> None:
    sample = KeySample(most_bytes=1_000)
    for i in range(100):
        sample.add(Kind.BYTES, [bytes([i]) * 300])
    assert sum(map(len, sample.keys)) <= 1_000
    assert len(sample.keys) >= 1
