"""Opens the runs of one partition, merging in passes when there are too many for the memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.dataflow.reduce.groups import (
    Giant,
    Window,
    groups,
    read_small,
    windows_of_batches,
    windows_of_columns,
)
from gomr_runtime.dataflow.reduce.native_merge import Merged, merged
from gomr_runtime.dataflow.scratch import open_scratch
from gomr_runtime.dataflow.shuffle.gather import SMALL_BYTES, SMALL_ROWS, write_run
from gomr_runtime.dataflow.shuffle.run_reader import Cursor
from gomr_runtime.errors import CorruptBlock, DataError
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.run_index import Run
from gomr_runtime.system import compiled

if TYPE_CHECKING:
    from gomr_runtime.dataflow.shuffle.columns import Segment

Group = Window | Merged | Giant

CURSOR_BYTES = 3 << 20
"""What a run of usual frames costs while it is merged: bytes read ahead, a frame, sorted rows."""
FRAME_COPIES = 4
"""How often the largest frame of a run is in memory while it is merged."""
MOST_RUNS = 256


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and where it is stored; `where` names it in errors. map_task: who wrote it, -1 for
    an intermediate run of this very task."""

    location: str
    run: Run
    where: str
    map_task: int = -1


def lots(runs: Sequence[StoredRun], budget: int) -> list[list[StoredRun]]:
    """Neighbours that can be merged at once: as many as fit, and at least two.

    budget: of a task (`execution.budget_of`); sorting pairs takes four times that, and so may this.
    """
    made: list[list[StoredRun]] = []
    left = 0
    for stored in runs:
        cost = max(CURSOR_BYTES, FRAME_COPIES * stored.run.largest)
        if not made or len(made[-1]) == MOST_RUNS or (cost > left and len(made[-1]) > 1):
            made.append([])
            left = 4 * budget
        made[-1].append(stored)
        left -= cost
    return made


def grouped(
    runs: Sequence[StoredRun], blobs: Blobs, scratch: Path, budget: int
) -> Generator[Group, None, None]:
    """Every group of the runs, in key order; values of a key in the order of `runs`."""
    if not runs:
        return
    rows = sum(stored.run.rows for stored in runs)
    if rows <= SMALL_ROWS and sum(stored.run.length for stored in runs) <= SMALL_BYTES:
        batches = read_small(_one_by_one(runs, blobs), 4 * SMALL_BYTES)
        if batches is not None:
            yield from groups(windows_of_batches(batches))
            return
    with ExitStack() as stack:
        level = 0
        while len(together := lots(runs, budget)) > 1:
            runs = _pass(together, blobs, scratch, level, stack)
            level += 1
        cursors = [_open(stored, blobs, stack) for stored in runs]
        if compiled.native is not None:
            yield from merged(cursors)
            return
        from gomr_runtime.dataflow.reduce.arrow_merge import merge

        yield from groups(windows_of_columns(merge(cursors)))


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
    together: list[list[StoredRun]], blobs: Blobs, scratch: Path, level: int, until: ExitStack
) -> list[StoredRun]:
    """Merge each lot into one run in the scratch folder."""
    from gomr_runtime.dataflow.reduce.arrow_merge import merge

    merged = []
    for number, lot in enumerate(together):
        with ExitStack() as stack:
            cursors = [_open(stored, blobs, stack) for stored in lot]
            merged.append(_write(merge(cursors), scratch, f"merge-{level}-{number}", until))
    return merged


def _write(segments: Iterator[Segment], scratch: Path, name: str, until: ExitStack) -> StoredRun:
    path = scratch / name
    until.callback(path.unlink, missing_ok=True)
    with open_scratch(path) as file:
        run = write_run(file, _frames_of(segments))
    return StoredRun(str(path), run, f"intermediate {path}")


def _frames_of(segments: Iterator[Segment]) -> Iterator[tuple[int, bytes]]:
    from gomr_runtime.dataflow.shuffle import columns

    for segment in segments:
        yield from columns.frames_of(segment, compress=True)
        del segment  # before the next one is made: each may hold a huge value
