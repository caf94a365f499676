"""Why an attempt ended without a result, in words: cause, task, and the record in flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gomr_runtime.dataflow.records import offset_of_record
from gomr_runtime.errors import GomrError
from gomr_runtime.execution import BLOCK_OFFSET, BLOCK_RECORD, PIECE, RECORD, Blobs
from gomr_runtime.job import Format, JobSpec, TaskFailure, TaskSpec
from gomr_runtime.user_errors import without_engine

NEXT = {
    "crash": "run the worker file alone (python worker.py --input FILE) to debug it",
    "timeout": "raise --task-timeout or call ctx.progress()",
    "memory": "raise --memory, or annotate values as Iterator to stream them",
}
LAST_LINES = 40


def diagnose(
    kind: Literal["crash", "timeout", "memory"],
    words: str,
    task: TaskSpec,
    where: str,
    record: int,
    output: str,
) -> TaskFailure:
    """The failure to report; `output` is the end of what the child printed."""
    place = f" {where}" if where else ""
    return TaskFailure(
        kind,
        f"{task.name}: {words}{place}; {NEXT[kind]}",
        detail=without_engine(output),
        record=record,
    )


def record_in_flight(task: TaskSpec, monitor: Sequence[int]) -> int:
    """The record's number within a sample or map task; -1 between records and in a reduce."""
    in_block = monitor[BLOCK_RECORD]
    return monitor[RECORD] + in_block if task.pieces and in_block >= 0 else -1


def place_of(
    task: TaskSpec, job: JobSpec, record_format: Format, blobs: Blobs, monitor: Sequence[int]
) -> str:
    """Where the child was, such as `at record 17 of big.txt, offset 4711`; reads the input."""
    if task.kind == "reduce":
        key = monitor[RECORD] + max(0, monitor[BLOCK_RECORD])
        return f"at key number {key}" if monitor[RECORD] >= 0 else ""
    known = 0 <= monitor[PIECE] < len(task.pieces)
    offset = monitor[BLOCK_OFFSET]
    if record_in_flight(task, monitor) < 0 or not known:
        if record_format.batches and known and monitor[RECORD] >= 0:
            return f"in {task.pieces[monitor[PIECE]].file.source}, batch at offset {offset}"
        return "between records" if monitor[RECORD] >= 0 else "before the first record"
    piece = task.pieces[monitor[PIECE]]
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
            )
        finally:
            blob.close()
    except GomrError:
        return f"in {piece.file.source}, in the block at offset {offset}"
    return f"in {piece.file.source}, record at offset {offset}"
