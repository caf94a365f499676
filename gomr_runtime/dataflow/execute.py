"""One attempt of one task, from its `TaskSpec` to its `TaskResult`; the same code in every runtime.

Runs inside the child process of a worker (or in the one process of the inline runtime). It reads
through `Blobs`, writes files into its scratch folder and never talks to a store or a network.
"""

from __future__ import annotations

import errno
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.api.user_frames import calls, describe, user_frames
from gomr_runtime.dataflow.profile import profiled
from gomr_runtime.errors import (
    CorruptBlock,
    DataError,
    GomrError,
    JobFailed,
    RecordFailed,
    ScratchFailed,
)
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.monitor import BLOCK_RECORD, Monitor
from gomr_runtime.model.task import TaskFailure, TaskResult, TaskSpec

if TYPE_CHECKING:
    from gomr_runtime.user_code.program import Program


BROKEN_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV}


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
