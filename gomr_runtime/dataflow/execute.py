"""One attempt of one task, from its `TaskSpec` to its `TaskResult`; the same code in every runtime.

Runs inside the child process of a worker (or in the one process of the inline runtime). It reads
through `Blobs`, writes files into its scratch folder and never talks to a store or a network.
"""

from __future__ import annotations

import errno
import hashlib
import resource
import sys
from collections.abc import Callable, MutableSequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from weakref import WeakSet

from gomr_runtime.api.user_frames import calls, describe, user_frames
from gomr_runtime.dataflow.profile import profiled, timed
from gomr_runtime.errors import (
    CorruptBlock,
    DataError,
    GomrError,
    JobFailed,
    RecordFailed,
    ScratchFailed,
)
from gomr_runtime.model.job import JobSpec, TaskFailure, TaskResult, TaskSpec

if TYPE_CHECKING:
    from gomr_runtime.user_code.program import Program

# Slots of a monitor: what the parent can read even after the child was killed.
PIECE = 0  # index into TaskSpec.pieces of the input being read
BLOCK_OFFSET = 1  # offset in the (uncompressed) file of the block in hand
BLOCK_RECORD = 2  # the record in flight, counted from 0 in that block; -1 between records
RECORD = 3  # number in the task of the block's first record; for a reduce, of its first group
TICKS = 4  # grows with every block, pair emitted in bulk, ctx.progress(): a sign of life
DONE = 5  # bytes of input (map) or pairs (reduce) done so far
TOTAL = 6  # the same at the end; 0 while unknown
MISUSED = 7  # how often a ctx was used where what it takes is lost
SLOTS = 8

BROKEN_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV}

Monitor = MutableSequence[int]
"""`SLOTS` signed 64-bit words; a memoryview over shared memory in a worker, a list inline."""


class Blob(Protocol):
    """One readable thing of known size, a file or a stored object."""

    size: int

    @property
    def version(self) -> str:
        """As `InputFile.version`, of what is read now; "" where nobody can tell."""

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
    from gomr_runtime.dataflow import stages

    monitor[BLOCK_RECORD] = -1
    sys.set_int_max_str_digits(0)  # keys and values are ints of any size, and parts are text
    before, _ = usage()
    stage: Callable[..., TaskResult] = {
        "sample": stages.sample,
        "map": stages.map_only if program.description.map_only else stages.map_shuffled,
        "reduce": stages.reduce,
    }[task.kind]
    try:
        with profiled(wanted=job.profile) as profile:
            result = stage(task, job, program, blobs, scratch, monitor)
    except OSError as error:
        raise _scratch_error(task, error) from None
    after, peak = usage()
    return replace(result, cpu_seconds=after - before, peak_rss=peak, profile=profile.seconds)


def _scratch_error(task: TaskSpec, error: OSError) -> GomrError:
    """Whose fault it is: user code shares the process with us, its descriptors and its limits."""
    if error.errno in BROKEN_DISK:
        return ScratchFailed(f"{task.name}: scratch space: {error.strerror}")
    return JobFailed(
        f"{task.name}: {describe(error)}; did user code close our files, or set a limit?"
    )


def failure_of(error: BaseException, task: TaskSpec) -> TaskFailure:
    """What to report for an attempt that ended with `error`."""
    place = error.place if isinstance(error, RecordFailed) else None
    failure = _failure_of(error, task)
    return replace(failure, attempt=task.attempt, place=place, frames=calls(error))


def _failure_of(error: BaseException, task: TaskSpec) -> TaskFailure:
    if isinstance(error, CorruptBlock):
        message = f"{task.name}: {error}"
        return TaskFailure("corrupt", message, error.detail, bad_map=error.bad_map)
    if isinstance(error, DataError):
        return TaskFailure("data", f"{error} (in {task.name})", error.detail, retry=False)
    if isinstance(error, ScratchFailed):
        return TaskFailure("worker", str(error))
    if isinstance(error, JobFailed):
        return TaskFailure("user", str(error), error.detail)
    if isinstance(error, GomrError):
        return TaskFailure("storage", str(error), error.detail)
    if isinstance(error, MemoryError):
        return TaskFailure("memory", f"{task.name}: out of memory; raise --memory")
    return TaskFailure("user", f"{task.name}: {describe(error)}", user_frames(error))


def usage() -> tuple[float, int]:
    """CPU seconds and peak RSS in bytes of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


OPENED: WeakSet[BinaryIO] = WeakSet()
"""The scratch files that are open: a process that user code forks must not write to them."""


def open_scratch(path: Path) -> BinaryIO:
    """A file in the scratch folder, for writing from its beginning."""
    file = path.open("wb")
    OPENED.add(file)
    return file


class HashedFile:
    """A file in the scratch folder that knows its size and sha256 when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._sha = hashlib.sha256()
        self._file = open_scratch(path)

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any, /) -> int:
        with timed("store"):
            self._sha.update(data)
            self.size += len(data)
            return self._file.write(data)

    def set_aside(self) -> Path:
        """Begin the file anew; what was written so far is at the path that is returned."""
        self._file.close()
        aside = self.path.with_name(f"{self.path.name}.aside")
        self.path.rename(aside)
        self.size = 0
        self._sha = hashlib.sha256()
        self._file = open_scratch(self.path)
        return aside

    def close(self) -> str:
        """The sha256 of everything written, in hex."""
        self._file.close()
        return self._sha.hexdigest()


def budget_of(memory: int) -> int:
    """Bytes of pairs a task may gather: a fifth of what --memory leaves beside the interpreter,
    since sorting and taking hold up to four copies for a moment."""
    return max(8 << 20, min(512 << 20, (memory - base_of(memory)) // 5))


def base_of(memory: int) -> int:
    """Bytes of `memory` that the interpreter takes, with what it has loaded."""
    return 170 << 20 if "pyarrow" in sys.modules or memory > 512 << 20 else 130 << 20
