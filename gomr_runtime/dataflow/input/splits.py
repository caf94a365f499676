"""Which bytes of the input each map task reads. Pure: sizes in, ranges of files out.

The input files, one after another in input order, are one line of T bytes; task i of n covers
about [i*T/n, (i+1)*T/n). A file that cannot be cut goes whole to the task that holds its middle;
since middles ascend with the files, tasks stay in input order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gomr_runtime.model.inputs.file_table import size_of
from gomr_runtime.model.inputs.files import FileRange, InputFile
from gomr_runtime.model.job import Format
from gomr_runtime.model.record_formats import record_format

MIB = 1 << 20
SPLIT_BYTES = 64 * MIB  # a map task of more is not worth its lost work when a worker dies
MIN_SPLIT_BYTES = 4 * MIB  # below this, starting a task costs more than it gains
TASKS_PER_WORKER = 4  # so that a slow worker or a heavy split evens out
MAX_MAPPERS = 10_000
TASK_FILES = 10_000  # opening so many takes as long as reading a split, and on S3 far longer
REDUCE_BYTES = 64 * MIB
MAX_REDUCERS = 1_000
SAMPLE_RANGES = 64
SAMPLE_RANGE_BYTES = 64 << 10
SAMPLE_BYTES = SAMPLE_RANGES * SAMPLE_RANGE_BYTES
SAMPLE_WHOLE_BYTES = 4 * SAMPLE_BYTES  # for formats whose record is a whole file


def default_mappers(total_bytes: int, workers: int, files: int = 1) -> int:
    """Number of map tasks for an input of `total_bytes` as stored, in so many files."""
    by_size = max(-(-total_bytes // SPLIT_BYTES), -(-files // TASK_FILES))
    by_workers = min(workers * TASKS_PER_WORKER, -(-total_bytes // MIN_SPLIT_BYTES))
    return max(1, min(MAX_MAPPERS, max(by_size, by_workers)))


def default_reducers(total_bytes: int) -> int:
    """Number of reduce tasks, from the input's size alone: the output depends on it."""
    return max(1, min(MAX_REDUCERS, -(-total_bytes // REDUCE_BYTES)))


def plan_splits(files: Sequence[InputFile], of: Format, tasks: int) -> list[tuple[FileRange, ...]]:
    """At most `tasks` map tasks, none without a file, that cover every byte of `files` once.

    Empty files have no piece, except where a file is one record.
    """
    total = size_of(files)
    known = record_format(of)
    whole = known.whole_file
    if not total:
        return _by_count(len(files) if whole else 0, tasks)
    plan: dict[int, tuple[int, int, int, int]] = {}  # the fields of a range

    def take(task: int, number: int, start: int, end: int) -> None:
        first = plan.get(task, (number, start))
        plan[task] = (first[0], first[1], number, end)

    position = 0
    for number, file in enumerate(files):
        size = file.size
        if not size and not whole:
            continue
        if known.can_split(file):
            for task, start, end in _cut(size, position, total, tasks):
                take(task, number, start, end)
        else:
            middle = min(position + size // 2, total - 1)
            take(_task_at(middle, total, tasks), number, 0, size)
        position += size
    return [(FileRange(*plan[task], empty=whole),) for task in sorted(plan)]


def _by_count(files: int, tasks: int) -> list[tuple[FileRange, ...]]:
    bounds = [i * files // tasks for i in range(tasks + 1)]
    return [(FileRange(a, 0, b - 1, 0, empty=True),) for a, b in pairwise(bounds) if a < b]


def _task_at(position: int, total: int, tasks: int) -> int:
    """The task i with i*total//tasks <= position < (i+1)*total//tasks."""
    return ((position + 1) * tasks - 1) // total


def _cut(size: int, position: int, total: int, tasks: int) -> Iterator[tuple[int, int, int]]:
    """(task, start, end) of each piece of a file."""
    start = 0
    while start < size:
        task = _task_at(position + start, total, tasks)
        end = min(size, (task + 1) * total // tasks - position)
        yield task, start, end
        start = end


def plan_sample(files: Sequence[InputFile], of: Format) -> tuple[FileRange, ...]:
    """What total order reads to choose its cut points; depends on sizes and format alone.

    An input of at most 4 MiB whole, else 64 ranges of 64 KiB, evenly spaced. A file that cannot be
    cut gives a prefix of as many bytes (uncompressed, whole records) as its ranges together; where
    a file is one record, the files that ranges fall into, up to 16 MiB and at least one. So a
    compressed file whose beginning is not like its rest gives uneven reducers, never wrong ones.
    """
    total = size_of(files)
    if total <= SAMPLE_BYTES:
        return tuple(part for task in plan_splits(files, of, 1) for part in task)
    known = record_format(of)
    hits = _sampled_ranges(files, total)
    if known.whole_file:
        return _whole_files({index: files[index].size for index in hits})
    ranges: list[FileRange] = []
    for index, starts in hits.items():
        file = files[index]
        if known.can_split(file):
            ends = (min(start + SAMPLE_RANGE_BYTES, file.size) for start in starts)
            bounds = zip(starts, ends, strict=True)
            ranges += (FileRange(index, start, index, end) for start, end in bounds)
        else:
            prefix = min(len(starts) * SAMPLE_RANGE_BYTES, file.size)
            ranges.append(FileRange(index, 0, index, prefix))
    return tuple(ranges)


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


def _whole_files(sizes: dict[int, int]) -> tuple[FileRange, ...]:
    """sizes: of files by their numbers."""
    ranges: list[FileRange] = []
    budget = SAMPLE_WHOLE_BYTES
    for number, size in sizes.items():
        if size <= budget or not ranges:
            ranges.append(FileRange(number, 0, number, size))
            budget -= size
    return tuple(ranges)
