"""Which bytes of the input each map task reads. Pure: sizes in, pieces out.

The input files, one after another in input order, are one line of T bytes; task i of n covers
about [i*T/n, (i+1)*T/n). A file that cannot be cut goes whole to the task that holds its middle;
since middles ascend with the files, tasks stay in input order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gomr_runtime.api.formats import WHOLE_FILE_FORMATS
from gomr_runtime.model.job import Format, InputFile, Piece

MIB = 1 << 20
SPLIT_BYTES = 64 * MIB  # a map task of more is not worth its lost work when a worker dies
MIN_SPLIT_BYTES = 4 * MIB  # below this, starting a task costs more than it gains
TASKS_PER_WORKER = 4  # so that a slow worker or a heavy split evens out
MAX_MAPPERS = 10_000
REDUCE_BYTES = 64 * MIB
MAX_REDUCERS = 1_000
SAMPLE_RANGES = 64
SAMPLE_RANGE_BYTES = 64 << 10
SAMPLE_BYTES = SAMPLE_RANGES * SAMPLE_RANGE_BYTES
SAMPLE_WHOLE_BYTES = 4 * SAMPLE_BYTES  # for formats whose record is a whole file


def default_mappers(total_bytes: int, workers: int) -> int:
    """Number of map tasks for an input of `total_bytes` as stored."""
    by_size = -(-total_bytes // SPLIT_BYTES)
    by_workers = min(workers * TASKS_PER_WORKER, -(-total_bytes // MIN_SPLIT_BYTES))
    return max(1, min(MAX_MAPPERS, max(by_size, by_workers)))


def default_reducers(total_bytes: int) -> int:
    """Number of reduce tasks, from the input's size alone: the output depends on it."""
    return max(1, min(MAX_REDUCERS, -(-total_bytes // REDUCE_BYTES)))


def can_split(file: InputFile, record_format: Format) -> bool:
    """Whether several tasks may read one file: plain text whose records end at a newline."""
    whole = record_format.name in WHOLE_FILE_FORMATS
    return not (
        file.compression or whole or (record_format.name == "csv" and record_format.quoted_newlines)
    )


def plan_splits(
    files: Sequence[InputFile], record_format: Format, tasks: int
) -> list[tuple[Piece, ...]]:
    """At most `tasks` map tasks, none without a piece, that cover every byte of `files` once.

    Empty files have no piece, except where a file is one record.
    """
    total = sum(file.size for file in files)
    whole = record_format.name in WHOLE_FILE_FORMATS
    if not total:
        return _by_count([Piece(file, 0, 0) for file in files] if whole else [], tasks)
    plan: dict[int, list[Piece]] = {}
    position = 0
    for file in files:
        if not file.size and not whole:
            continue
        if can_split(file, record_format):
            for task, piece in _cut(file, position, total, tasks):
                plan.setdefault(task, []).append(piece)
        else:
            middle = min(position + file.size // 2, total - 1)
            task = _task_at(middle, total, tasks)
            plan.setdefault(task, []).append(Piece(file, 0, file.size))
        position += file.size
    return [tuple(plan[task]) for task in sorted(plan)]


def _by_count(pieces: list[Piece], tasks: int) -> list[tuple[Piece, ...]]:
    bounds = [i * len(pieces) // tasks for i in range(tasks + 1)]
    return [tuple(pieces[a:b]) for a, b in pairwise(bounds) if a < b]


def _task_at(position: int, total: int, tasks: int) -> int:
    """The task i with i*total//tasks <= position < (i+1)*total//tasks."""
    return ((position + 1) * tasks - 1) // total


def _cut(file: InputFile, position: int, total: int, tasks: int) -> Iterator[tuple[int, Piece]]:
    start = 0
    while start < file.size:
        task = _task_at(position + start, total, tasks)
        end = min(file.size, (task + 1) * total // tasks - position)
        yield task, Piece(file, start, end)
        start = end


def sample_pieces(files: Sequence[InputFile], record_format: Format) -> tuple[Piece, ...]:
    """What total order reads to choose its cut points; depends on sizes and format alone.

    An input of at most 4 MiB whole, else 64 ranges of 64 KiB, evenly spaced. A file that cannot be
    cut gives a prefix of as many bytes (uncompressed, whole records) as its ranges together; where
    a file is one record, the files that ranges fall into, up to 16 MiB and at least one. So a
    compressed file whose beginning is not like its rest gives uneven reducers, never wrong ones.
    """
    total = sum(file.size for file in files)
    if total <= SAMPLE_BYTES:
        return tuple(piece for task in plan_splits(files, record_format, 1) for piece in task)
    hits = _sampled_ranges(files, total)
    if record_format.name in WHOLE_FILE_FORMATS:
        return _whole_files([files[index] for index in hits])
    pieces: list[Piece] = []
    for index, starts in hits.items():
        file = files[index]
        if can_split(file, record_format):
            ends = (min(start + SAMPLE_RANGE_BYTES, file.size) for start in starts)
            pieces += (Piece(file, *bounds) for bounds in zip(starts, ends, strict=True))
        else:
            prefix = min(len(starts) * SAMPLE_RANGE_BYTES, file.size)
            pieces.append(Piece(file, 0, prefix))
    return tuple(pieces)


def _sampled_ranges(files: Sequence[InputFile], total: int) -> dict[int, list[int]]:
    """The starts of the evenly spaced ranges, by the index of the file they fall into."""
    hits: dict[int, list[int]] = {}
    points = [i * total // SAMPLE_RANGES for i in range(SAMPLE_RANGES)]
    position = 0
    for index, file in enumerate(files):
        position += file.size
        while points and points[0] < position:
            hits.setdefault(index, []).append(points.pop(0) - position + file.size)
    return hits


def _whole_files(files: list[InputFile]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    budget = SAMPLE_WHOLE_BYTES
    for file in files:
        if file.size <= budget or not pieces:
            pieces.append(Piece(file, 0, file.size))
            budget -= file.size
    return tuple(pieces)
