"""The list of many input files: the same files in a few bytes each, and nothing else comes back."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api import formats
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import Mismatch
from gomr_runtime.dataflow.input.splits import default_mappers, plan_sample, plan_splits
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.effects import Assign
from gomr_runtime.master.core.inputs import PlanMade
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.file_table import (
    BLOCK_FILES,
    FEW,
    Block,
    Collector,
    FileTable,
    collect,
    size_of,
    with_content,
)
from gomr_runtime.model.inputs.files import Compression, FileRange, InputFile, Piece
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.runs.submit import with_table
from gomr_runtime.scheduler.events import TaskWanted, WorkerJoined
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.stored_run import read_job

SHA = "0" * 64
MANY = 20_000


def of(number: int, size: int = 14) -> InputFile:
    name = f"part-{number // 1000:04}/record-{number:07}.txt"
    return InputFile(name, f"/data/in/{name}", size, version=f"{size}-{10**18 + 7919 * number}")


def table(files: Sequence[InputFile]) -> FileTable:
    collector = Collector()
    for file in files:
        collector.add(file)
    return collector.finish()


def stored(files: Sequence[InputFile]) -> tuple[FileTable, bytes]:
    """The table as it is read from a store, and the object."""
    made = table(files)
    data = b"".join(made.chunks())
    assert len(data) == made.record.size
    return FileTable.stored(made.record, reading(data), "the table"), data


def reading(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, length: data[at : at + length]


def odd_files() -> list[InputFile]:
    rng = Random(7)
    names = ["a", "", "ü\udcff", "line\nbreak", "x" * 32_000, "+", "=", "日本"]
    return [
        InputFile(
            source := rng.choice(names) + str(n),
            rng.choice(["/in/" + source, "s3://b/" + source, "store:inputs/" + SHA, "", "+", "="]),
            size := rng.choice([0, 1, 10**15]),
            rng.choice(["", "gzip", "bz2", "xz", "zstd"]),
            rng.choice([f"{size}-{n}", "etag-1", "", "+1", "=1", "-"]),
            rng.choice(["", "", "a zip archive"]),
        )
        for n in range(BLOCK_FILES + 50)
    ]


@pytest.mark.parametrize("count", [1, 2, BLOCK_FILES, BLOCK_FILES + 1])
def test_files_come_back_as_they_were(count: int) -> None:
    files = odd_files()[:count]
    for found in (table(files), stored(files)[0]):
        assert list(found) == files
        assert len(found) == count
        assert found.size == size_of(found) == sum(file.size for file in files)
        assert [found[n] for n in (0, -1, count // 2)] == [files[n] for n in (0, -1, count // 2)]
        assert found[1:count:77] == tuple(files[1:count:77])
        assert list(with_content(found)) == [file for file in files if file.content]
        for at in range(0, count + 1, 61):
            assert found.size_before(at) == sum(file.size for file in files[:at])
            assert found.filled_before(at) == sum(file.size > 0 for file in files[:at])
            assert list(found.between(at, count)) == files[at:]
        filled = [n for n, file in enumerate(files) if file.size]
        assert [found.nth_filled(n) for n in range(0, len(filled), 61)] == filled[::61]
        with pytest.raises(IndexError):
            found[count]


def test_a_few_files_stay_what_they_are_and_many_take_little() -> None:
    assert collect(map(of, range(FEW))) == tuple(map(of, range(FEW)))
    many = collect(map(of, range(FEW + 1)))
    assert isinstance(many, FileTable)
    assert collect(many) is many
    assert many == table([*map(of, range(FEW + 1))])
    assert many != table([*map(of, range(FEW)), of(0)])
    assert many != table([*map(of, range(FEW))])


# What is damaged.


def damaged_block(change: Callable[[dict[str, list[object]]], object]) -> FileTable:
    """A table whose one block says something else, with checksums that fit."""
    made, data = stored([of(n, n % 3) for n in range(5)])
    columns = json.loads(zstandard.decompress(data[: made.blocks[0].length]))
    change(columns)
    block = zstandard.compress(json.dumps(columns).encode())
    row = replace(made.blocks[0], length=len(block), crc=zlib.crc32(block))
    return FileTable((row,), lambda _: block, "the table")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["sizes"].__setitem__(2, "2"), r"sizes\[2\]: '2' is no whole number"),
        (lambda c: c["sizes"].__setitem__(2, -1), "-1 is no whole number from 0"),
        (lambda c: c["sizes"].__setitem__(2, 7), "not those that the index tells of"),
        (lambda c: c["sources"].pop(), "not equally long"),
        (lambda c: [column.pop() for column in c.values()], "not those that the index tells of"),
        (lambda c: c["sources"].__setitem__(0, "x" * 40_000), "at most 32,768 belong there"),
        (lambda c: c["compressions"].__setitem__(0, "rar"), "'rar' is none of"),
        (lambda c: c["locations"].__setitem__(0, "=s3://b/k"), "not those that the index"),
        (lambda c: c.pop("versions"), "lacks versions"),
        (lambda c: c.update(more=[]), "has no field 'more'"),
        (lambda c: c.update(sources=["x"] * 5_000), "a list of 5,000, at most 4,096"),
    ],
)
def test_a_block_that_says_what_no_block_says_is_refused(
    change: Callable[[dict[str, list[object]]], object], words: str
) -> None:
    with pytest.raises(CorruptBlock, match=words) as caught:
        list(damaged_block(change))
    assert "the table is damaged: files 0 to 5: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_is_noticed() -> None:
    made, data = stored([of(n) for n in range(40)])
    for at in range(len(data)):
        wrong = data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
        with pytest.raises(CorruptBlock, match="the table is damaged"):
            list(FileTable.stored(made.record, reading(wrong), "the table"))


@pytest.mark.parametrize("data", [b"", b"x", zstandard.compress(bytes(65 << 20))])
def test_a_block_is_no_bomb(data: bytes) -> None:
    row = replace(table([of(0)]).blocks[0], length=len(data), crc=zlib.crc32(data))
    with pytest.raises(CorruptBlock, match="is damaged: files 0 to 1: "):
        list(FileTable((row,), lambda _: data, "the table"))


@pytest.mark.parametrize(
    "change", [{"count": 6}, {"size": 10**12}, {"index_bytes": 3}, {"index_bytes": 0}]
)
def test_a_job_that_tells_of_another_table_is_refused(change: dict[str, int]) -> None:
    made, data = stored([of(n) for n in range(5)])
    record = replace(made.record, **change)  # type: ignore[arg-type]
    with pytest.raises(CorruptBlock, match="the table is damaged"):
        FileTable.stored(record, reading(data), "the table")


@pytest.mark.parametrize("how", ["flipped", "gone", "replaced"])
def test_a_job_without_its_table_is_refused(how: str) -> None:
    store = MemoryStore()
    job = JobSpec("r", table([of(n) for n in range(9)]), 1, 1, 1, SHA, "w.py")
    kept = with_table(store, job)
    assert kept.table is not None
    key = layout.files("r", kept.table.sha256)
    store.put(layout.job("r"), to_json(kept))
    assert list(read_job(store, "r").files) == list(read_job(store, "r", lazily=True).files)
    data = store.get(key)
    changed = {"flipped": data[:9] + b"?" + data[10:], "replaced": b"[]", "gone": b""}[how]
    store.put(key, changed)
    if how == "gone":
        store.delete(key)
    with pytest.raises(CorruptBlock, match=f"{key} in .* is (damaged|gone)"):
        read_job(store, "r")
    with pytest.raises(CorruptBlock, match=f"{key} in .* is (damaged|gone)"):
        list(read_job(store, "r", lazily=True).files)


# What tasks read of it.

SIZES = st.lists(st.sampled_from([0, 0, 1, 2, 10, 1000]), min_size=1, max_size=40)
RANGES = st.tuples(st.integers(0, 39), st.integers(0, 39), st.booleans())


@settings(max_examples=200, deadline=None)
@given(SIZES, st.lists(RANGES, min_size=1, max_size=4))
def test_pieces_are_those_of_their_ranges(
    sizes: list[int], bounds: list[tuple[int, int, bool]]
) -> None:
    files = tuple(of(n, size) for n, size in enumerate(sizes))
    ranges, expected = [], []
    for one, other, empty in bounds:
        first, last = sorted((one % len(files), other % len(files)))
        start, end = files[first].size // 3, files[last].size - files[last].size // 3
        ranges.append(FileRange(first, start, last, end, empty))
        for n in range(first, last + 1):
            begin = start if n == first else 0
            finish = end if n == last else files[n].size
            if n in (first, last) or files[n].size or empty:
                expected.append(Piece(files[n], begin, finish))
    in_blocks = FileTable(*blocks_of(files, 7), "the table")
    for pieces in (
        Pieces(files, tuple(ranges)),
        Pieces(in_blocks, tuple(ranges)),
        Pieces(files, tuple(ranges)).alone(),
    ):
        assert list(pieces) == expected
        assert len(pieces) == len(expected)
        assert pieces.size == sum(piece.end - piece.start for piece in expected)
        order = [*range(len(expected)), *range(-len(expected), 0), 0, len(expected) // 2]
        assert [pieces[n] for n in order] == [expected[n] for n in order]


def blocks_of(files: Sequence[InputFile], count: int) -> tuple[list[Block], Callable[[int], bytes]]:
    tables = [table(files[n : n + count]) for n in range(0, len(files), count)]
    data = [next(made.chunks()) for made in tables]
    return [made.blocks[0] for made in tables], data.__getitem__


@pytest.mark.parametrize(
    "wrong",
    [FileRange(0, 0, 9, 1), FileRange(9, 0, 9, 1), FileRange(0, 15, 1, 1), FileRange(0, 0, 1, 15)],
)
def test_ranges_of_other_files_are_refused(wrong: FileRange) -> None:
    for files in (tuple(map(of, range(9))), table([*map(of, range(9))])):
        with pytest.raises(Mismatch):
            Pieces(files, (wrong,))


@pytest.mark.parametrize(("first", "last"), [((1, 0), (0, 5)), ((0, 3), (0, 2))])
def test_a_range_that_ends_before_it_begins_is_refused(
    first: tuple[int, int], last: tuple[int, int]
) -> None:
    assert FileRange(*first, *last).violation() == "it ends before it begins"


@pytest.mark.parametrize("record_format", [formats.chunk, formats.whole_file, formats.csv])
@pytest.mark.parametrize("tasks", [1, 7, 300])
def test_a_table_is_planned_as_a_tuple_is(record_format: Format, tasks: int) -> None:
    rng = Random(3)
    kinds: list[Compression] = ["", "", "", "gzip"]
    files = [
        replace(of(n, rng.choice((0, 5, 900, 70_000))), compression=rng.choice(kinds))
        for n in range(BLOCK_FILES + 900)
    ]
    made = table(files)
    assert plan_splits(made, record_format, tasks) == plan_splits(files, record_format, tasks)
    assert plan_sample(made, record_format) == plan_sample(files, record_format)
    whole = record_format.name == "whole_file"
    expected = [file for file in files if file.size or whole]
    pieces = [piece for s in plan_splits(made, record_format, tasks) for piece in Pieces(made, s)]
    assert list(dict.fromkeys(piece.file for piece in pieces)) == expected
    assert sum(piece.end - piece.start for piece in pieces) == made.size


def test_many_small_files_are_many_tasks() -> None:
    assert default_mappers(1_000_000, 2, 10_000) == 1
    assert default_mappers(15_000_000, 2, 1_000_000) == 100


# What it costs.


def job_of_many(count: int) -> JobSpec:
    return JobSpec("r", collect(map(of, range(count))), 2, 9, 2, SHA, "w.py")


DESCRIPTION = JobDescription(Format("lines"), False, "", "user", "hash", "", False, SHA)


def test_a_file_takes_a_few_bytes_of_a_client_and_a_master() -> None:
    """With objects for files, pieces and plan they were 1,500."""
    store = MemoryStore()
    warm(store)
    tracemalloc.start()
    try:
        job = job_of_many(MANY)
        of_client = tracemalloc.get_traced_memory()[0] / MANY
        kept = with_table(store, job)
        store.put(layout.job("r"), to_json(kept))
        del job, kept
        before = tracemalloc.get_traced_memory()[0]
        journal = Journal(store, "r")
        read = journal.read_job()
        splits = tuple(plan_splits(read.files, DESCRIPTION.format, read.mappers))
        plan = journal.write_plan(Plan(DESCRIPTION, splits, ()), read.files)
        core = Core(read, 1, 0.0, 0.0, lambda: "n")
        core.handle(PlanMade(0.0, plan, ()))
        core.handle(WorkerJoined(0.0, "w"))
        given = core.handle(TaskWanted(0.0, "w", 9))
        of_master = (tracemalloc.get_traced_memory()[0] - before) / MANY
    finally:
        tracemalloc.stop()
    assert sum(isinstance(effect, Assign) for effect in given) == 9
    # Two decoded blocks are kept, however many files there are: 200 bytes a file of these.
    assert of_client < 60
    assert of_master < 60 + 2 * BLOCK_FILES * 500 / MANY
    assert len(store.get(layout.plan("r"))) < 2_000


def warm(store: MemoryStore) -> None:
    """What is loaded once."""
    with_table(store, job_of_many(FEW + 1))


def test_listing_and_reading_hold_a_block_at_a_time(tmp_path: Path) -> None:
    for n in range(3 * FEW):
        (tmp_path / f"{n:05}").touch()
    resolve([str(tmp_path)])
    files = table([of(n) for n in range(5 * BLOCK_FILES)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in files) == 5 * BLOCK_FILES
        assert sum(1 for _ in Pieces(files, (FileRange(0, 0, len(files) - 1, 14),))) == len(files)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5 * BLOCK_FILES * 700, "less than all files at once"
