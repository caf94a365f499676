"""Opens the runs of one partition, merging in passes when there are too many for the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.dataflow.cursor import Cursor
from gomr_runtime.dataflow.groups import (
    Window,
    read_small,
    windows_of_batches,
    windows_of_columns,
)
from gomr_runtime.dataflow.index import Run
from gomr_runtime.dataflow.shuffle import SMALL_BYTES, SMALL_ROWS
from gomr_runtime.errors import CorruptBlock, DataError
from gomr_runtime.execution import Blobs, open_scratch

if TYPE_CHECKING:
    from gomr_runtime.dataflow.columns import Segment

CURSOR_BYTES = 3 << 20
"""What a run costs while it is merged: its window of bytes and a decoded frame."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and where it is stored; `where` names it in errors. map_task: who wrote it, -1 for
    an intermediate run of this very task."""

    location: str
    run: Run
    where: str
    map_task: int = -1


def fan_in_of(budget: int) -> int:
    """How many runs are merged at once."""
    return max(8, min(256, budget // CURSOR_BYTES))


def windows(
    runs: Sequence[StoredRun], blobs: Blobs, scratch: Path, budget: int
) -> Iterator[Window]:
    """Every group of the runs, in key order; values of a key in the order of `runs`."""
    if not runs:
        return
    rows = sum(stored.run.rows for stored in runs)
    if rows <= SMALL_ROWS and sum(stored.run.length for stored in runs) <= SMALL_BYTES:
        batches = read_small(_one_by_one(runs, blobs), 4 * SMALL_BYTES)
        if batches is not None:
            yield from windows_of_batches(batches)
            return
    from gomr_runtime.dataflow.merge import merge

    widest = fan_in_of(budget)
    with ExitStack() as stack:
        level = 0
        while len(runs) > widest:
            runs = _pass(runs, blobs, scratch, widest, level, stack)
            level += 1
        cursors = [_open(stored, blobs, stack) for stored in runs]
        yield from windows_of_columns(merge(cursors))


def _one_by_one(runs: Sequence[StoredRun], blobs: Blobs) -> Iterator[Cursor]:
    for stored in runs:
        with ExitStack() as stack:
            yield _open(stored, blobs, stack)


def _open(stored: StoredRun, blobs: Blobs, stack: ExitStack) -> Cursor:
    try:
        blob = blobs.open(stored.location)
    except DataError as error:  # not the user's data: a committed object is gone by now
        raise CorruptBlock(f"{stored.where} is missing: {error}").of_map(stored.map_task) from None
    stack.callback(blob.close)
    window = max(64 << 10, min(1 << 20, stored.run.length))
    return Cursor(blob, stored.run, stored.where, window, stored.map_task)


def _pass(
    runs: Sequence[StoredRun],
    blobs: Blobs,
    scratch: Path,
    widest: int,
    level: int,
    until: ExitStack,
) -> list[StoredRun]:
    """Merge neighbours, `widest` at a time, each lot into one run in the scratch folder."""
    from gomr_runtime.dataflow.merge import merge

    merged = []
    for start in range(0, len(runs), widest):
        with ExitStack() as stack:
            cursors = [_open(stored, blobs, stack) for stored in runs[start : start + widest]]
            merged.append(_write(merge(cursors), scratch, f"merge-{level}-{start}", until))
    return merged


def _write(segments: Iterator[Segment], scratch: Path, name: str, until: ExitStack) -> StoredRun:
    from gomr_runtime.dataflow import columns

    path = scratch / name
    until.callback(path.unlink)
    size = rows = 0
    with open_scratch(path) as file:
        for segment in segments:
            for count, frame in columns.frames_of(segment, compress=True):
                size += file.write(frame)
                rows += count
    return StoredRun(str(path), Run(0, size, rows), f"intermediate {path}")
