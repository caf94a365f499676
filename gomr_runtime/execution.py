"""One attempt of one task, from its `TaskSpec` to its `TaskResult`; the same code in every runtime.

Runs inside the child process of a worker (or in the one process of the inline runtime). It reads
through `Blobs`, writes files into its scratch folder and never talks to a store or a network.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from pathlib import Path
from typing import Protocol

from gomr_runtime.job import JobSpec, TaskResult, TaskSpec
from gomr_runtime.program import Program

# Slots of a monitor: what the parent can read even after the child was killed.
PIECE = 0  # index into TaskSpec.pieces of the input being read
BLOCK_OFFSET = 1  # offset in the (uncompressed) file of the block in hand
BLOCK_RECORD = 2  # the record in flight, counted from 0 in that block; -1 between records
RECORD = 3  # the record in flight, counted from 0 in the task; for a reduce, the group
TICKS = 4  # grows with every record taken, pair emitted in bulk, ctx.progress(): a sign of life
DONE = 5  # bytes of input (map) or pairs (reduce) done so far
TOTAL = 6  # the same at the end; 0 while unknown
SLOTS = 8

Monitor = MutableSequence[int]
"""`SLOTS` signed 64-bit words; a memoryview over shared memory in a worker, a list inline."""


class Blob(Protocol):
    """One readable thing of known size, a file or a stored object."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end."""

    def close(self) -> None: ...


class Blobs(Protocol):
    """How a task reads. `location` is `InputFile.location` or `store:<key>` of the run's store."""

    def open(self, location: str) -> Blob:
        """Raises `DataError` when it is not there or may not be read."""


def execute(
    task: TaskSpec, job: JobSpec, program: Program, blobs: Blobs, scratch: Path, monitor: Monitor
) -> TaskResult:
    """Run the task; result files lie in `scratch`, unpublished.

    Raises `RecordFailed`, `DataError`, `CorruptBlock`, `EnvironmentFailed`: `failure_of` turns
    them into what a worker reports.
    """
    raise NotImplementedError
