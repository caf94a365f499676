"""Why an attempt ended without a result, in words: cause, task, and the record in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gomr_runtime.api.user_frames import without_engine
from gomr_runtime.codec.wire_types import INT64
from gomr_runtime.dataflow.input.decompress import window_of
from gomr_runtime.dataflow.input.reader import offset_of_record
from gomr_runtime.errors import GomrError
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import Format, JobSpec
from gomr_runtime.model.monitor import BLOCK_OFFSET, BLOCK_RECORD, PIECE, RECORD
from gomr_runtime.model.task import Place, TaskFailure, TaskSpec

NEXT = {
    "crash": "run the worker file alone (python worker.py --input FILE) to debug it",
    "timeout": "raise --task-timeout or call ctx.progress()",
    "memory": "raise --memory, or annotate values as Iterator to stream them",
}
LAST_LINES = 40


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a child was: in words, such as `in big.txt, record at offset 4711`, and as data where
    it had a record in hand."""

    words: str
    place: Place | None = None


def diagnose(
    kind: Literal["crash", "timeout", "memory"],
    words: str,
    task: TaskSpec,
    where: Whereabouts,
    record: int,
    output: str,
) -> TaskFailure:
    """The failure to report; `output` is the end of what the child printed."""
    place = f" {where.words}" if where.words else ""
    return TaskFailure(
        kind,
        f"{task.name}: {words}{place}; {NEXT[kind]}",
        detail=without_engine(output),
        record=record,
        attempt=task.attempt,
        place=where.place,
    )


def record_in_flight(task: TaskSpec, monitor: Sequence[int]) -> int:
    """The record's number within a sample or map task; -1 between records and in a reduce, and
    where user code has written to the monitor what cannot be."""
    before, in_block = monitor[RECORD], monitor[BLOCK_RECORD]
    known = task.ranges and before >= 0 and in_block >= 0 and before + in_block <= INT64
    return before + in_block if known else -1


def whereabouts(
    task: TaskSpec, job: JobSpec, record_format: Format, blobs: Blobs, monitor: Sequence[int]
) -> Whereabouts:
    """Where the child was, by what it left in `monitor`; reads the input."""
    if task.kind == "reduce":
        key = monitor[RECORD] + max(0, monitor[BLOCK_RECORD])
        return Whereabouts(f"at key number {key}" if monitor[RECORD] >= 0 else "")
    pieces = Pieces(job.files, task.ranges)
    known = 0 <= monitor[PIECE] < len(pieces) and monitor[BLOCK_OFFSET] >= 0
    offset = monitor[BLOCK_OFFSET]
    number = record_in_flight(task, monitor)
    if number < 0 or not known:
        if record_format.batches and known and monitor[RECORD] >= 0:
            source = pieces[monitor[PIECE]].file.source
            return Whereabouts(f"in {source}, batch at offset {offset}")
        return Whereabouts("between records" if monitor[RECORD] >= 0 else "before the first record")
    piece = pieces[monitor[PIECE]]
    source = piece.file.source
    try:
        blob = blobs.open(piece.file.location)
        try:
            offset = offset_of_record(
                piece,
                blob,
                record_format,
                monitor[BLOCK_OFFSET],
                monitor[BLOCK_RECORD],
                max_record=job.max_record,
                window=window_of(job.memory),
            )
        finally:
            blob.close()
    except GomrError:
        return Whereabouts(f"in {source}, in the block at offset {offset}")
    return Whereabouts(f"in {source}, record at offset {offset}", Place(source, offset, number))
