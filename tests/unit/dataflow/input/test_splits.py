"""Splits cover the input once, in order, evenly."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api import formats
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.dataflow.input.splits import (
    MAX_MAPPERS,
    default_mappers,
    default_reducers,
)
from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.files import Compression, InputFile, Piece
from gomr_runtime.model.job import Format, JobDescription
from gomr_runtime.model.record_formats import record_format as known_of
from tests.unit.support.planned import plan_splits, sample_pieces

MIB = 1 << 20
ALL = [
    formats.chunk,
    formats.lines,
    formats.jsonl,
    formats.csv,
    formats.csv(quoted_newlines=False),
    formats.whole_file,
    formats.raw_bytes,
]
COMPRESSIONS: list[Compression] = ["", "", "", "gzip", "zstd"]


def of(size: int, name: str = "f", compression: Compression = "") -> InputFile:
    return InputFile(name, "/" + name, size, compression)


FILES = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 2, 10, 1000]), st.sampled_from(COMPRESSIONS)), max_size=12
).map(lambda rows: [of(size, str(n), kind) for n, (size, kind) in enumerate(rows)])


@settings(max_examples=200, deadline=None)
@given(FILES, st.sampled_from(ALL), st.integers(1, 50))
def test_every_byte_is_in_one_piece_in_input_order(
    files: list[InputFile], record_format: Format, tasks: int
) -> None:
    plan = plan_splits(files, record_format, tasks)
    assert len(plan) <= tasks
    assert all(plan)
    whole = record_format.name in {"whole_file", "raw_bytes"}
    expected = [file for file in files if file.size or whole]
    pieces = [piece for task in plan for piece in task]
    assert list(dict.fromkeys(piece.file for piece in pieces)) == expected
    for file in expected:
        mine = [piece for piece in pieces if piece.file == file]
        assert mine[0].start == 0
        assert mine[-1].end == file.size
        assert all(a.end == b.start for a, b in itertools.pairwise(mine))
        assert len(mine) == 1 or known_of(record_format).can_split(file)
        assert all(piece.start < piece.end for piece in mine) or whole


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=10), st.integers(1, 40))
def test_tasks_of_splittable_files_differ_by_one_byte(sizes: list[int], tasks: int) -> None:
    files = [of(size, str(n)) for n, size in enumerate(sizes)]
    plan = plan_splits(files, formats.lines, tasks)
    loads = [sum(piece.end - piece.start for piece in task) for task in plan]
    assert len(plan) == min(tasks, sum(sizes))
    assert not loads or max(loads) - min(loads) <= 1


def test_whole_files_go_where_their_middle_lies() -> None:
    files = [of(10, str(n), "gzip") for n in range(10)]
    plan = plan_splits(files, formats.lines, 5)
    assert [[piece.file.source for piece in task] for task in plan] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "5"],
        ["6", "7"],
        ["8", "9"],
    ]
    uneven = [of(size, str(size), "gzip") for size in (8, 10, 2)]
    plan = plan_splits(uneven, formats.lines, 2)
    assert [[piece.file.size for piece in task] for task in plan] == [[8], [10, 2]]


def test_empty_whole_files_are_called_and_shared_out() -> None:
    files = [of(0, str(n)) for n in range(7)]
    plan = plan_splits(files, formats.raw_bytes, 3)
    assert [len(task) for task in plan] == [2, 2, 3]
    assert plan_splits(files, formats.lines, 3) == []
    assert plan_splits([], formats.whole_file, 3) == []


def test_defaults_follow_the_size() -> None:
    assert default_reducers(0) == 1
    assert default_reducers(64 * MIB) == 1
    assert default_reducers(64 * MIB + 1) == 2
    assert default_reducers(10**15) == 1000
    assert default_mappers(0, 4) == 1
    assert default_mappers(1000, 4) == 1
    assert default_mappers(100 * MIB, 2) == 8
    assert default_mappers(1 << 30, 2) == 16
    assert default_mappers(10**15, 2) == MAX_MAPPERS


def test_a_small_input_is_its_own_sample() -> None:
    files = [of(MIB), of(2 * MIB, "g", "gzip"), of(0, "h")]
    assert sample_pieces(files, formats.lines) == (
        Piece(files[0], 0, MIB),
        Piece(files[1], 0, 2 * MIB),
    )


def test_a_large_input_is_sampled_evenly() -> None:
    files = [of(100 * MIB, "a"), of(0, "b"), of(300 * MIB, "c")]
    pieces = sample_pieces(files, formats.lines)
    assert len(pieces) == 64
    assert sum(piece.file is files[0] for piece in pieces) == 16
    assert {piece.end - piece.start for piece in pieces} == {64 << 10}
    starts = [piece.start + (100 * MIB if piece.file is files[2] else 0) for piece in pieces]
    assert starts == [i * 400 * MIB // 64 for i in range(64)]


def test_a_file_that_cannot_be_cut_is_sampled_by_its_beginning() -> None:
    files = [of(100 * MIB, "a", "xz"), of(300 * MIB, "b", "gzip")]
    assert sample_pieces(files, formats.lines) == (
        Piece(files[0], 0, MIB),
        Piece(files[1], 0, 3 * MIB),
    )


def test_whole_files_are_sampled_whole_up_to_a_bound() -> None:
    files = [of(MIB, str(n)) for n in range(1000)]
    pieces = sample_pieces(files, formats.whole_file)
    assert len(pieces) == 16
    assert all(piece.end == MIB for piece in pieces)
    assert len(sample_pieces([of(100 * MIB)], formats.raw_bytes)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * MIB), st.sampled_from(COMPRESSIONS)), max_size=20))
def test_sample_pieces_do_not_overlap_and_lie_in_order(rows: list[tuple[int, Compression]]) -> None:
    files = [of(size, str(n), kind) for n, (size, kind) in enumerate(rows)]
    pieces = sample_pieces(files, formats.lines)
    keys = [(int(piece.file.source), piece.start, piece.end) for piece in pieces]
    assert keys == sorted(keys)
    assert all(0 <= start < end <= files[n].size for n, start, end in keys)
    for (n, _, end), (m, start, _) in itertools.pairwise(keys):
        assert n < m or end <= start


@pytest.mark.parametrize("record_format", [*ALL, formats.csv()])
def test_a_format_in_a_description_survives_json(record_format: Format) -> None:
    plain = formats.plain_format(record_format)
    assert type(plain) is Format
    description = JobDescription(plain, False, "", "user", "hash", "", False, "0" * 64)
    assert from_json(JobDescription, to_json(description)) == description


@pytest.mark.parametrize("value", ["lines", None, Format("parquet"), str])
def test_anything_else_is_no_format(value: object) -> None:
    with pytest.raises(UsageError, match=r"is not a record format; use one of gomr\.chunk"):
        formats.plain_format(value)
