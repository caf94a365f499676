"""From what went wrong with a task to the error that ends the run."""

from __future__ import annotations

from gomr_runtime.errors import (
    CorruptBlock,
    DataError,
    DeadlineExceeded,
    EnvironmentFailed,
    GomrError,
    JobFailed,
    RecordFailed,
    StorageError,
)
from gomr_runtime.model.summary import Failure
from gomr_runtime.model.task import TaskFailure
from gomr_runtime.scheduler.state import Phase, SchedulerConfig, Task

NOT_THE_TASKS_FAULT = ("worker", "storage")
KILLS_THE_CHILD = ("crash", "timeout", "memory")

_ERRORS: dict[str, type[GomrError]] = {
    "data": DataError,
    "storage": StorageError,
    "corrupt": CorruptBlock,
    "worker": EnvironmentFailed,
}


def charge(task: Task, failure: TaskFailure, config: SchedulerConfig) -> GomrError | None:
    """Count the failure against the task's budgets; the error that ends the run if one is spent."""
    if failure.kind in NOT_THE_TASKS_FAULT:
        task.lost += 1
        spent = task.lost >= config.max_lost
        times = f"{task.lost} attempts lost to workers or the store"
    else:
        task.failures += 1
        task.timeouts += failure.kind == "timeout"
        spent = task.failures >= config.max_attempts or task.timeouts >= config.max_timeouts
        times = f"{task.failures} attempts failed" if task.failures > 1 else ""
    if spent or not failure.retry:
        return error_of(task, failure, times if spent else "")
    return None


def avoid(worker: str, task: Task) -> None:
    """The task failed there: another worker is to try it next."""
    if worker not in task.failed_on:
        task.failed_on = (*task.failed_on, worker)


def error_of(task: Task, failure: TaskFailure, times: str = "") -> GomrError:
    """The error for this failure; its message names the task, its detail is the user's."""
    kind = _ERRORS.get(failure.kind, RecordFailed if failure.record >= 0 else JobFailed)
    message = failure.message
    if str(task.id) not in message:
        message = f"{task.id}: {message}"
    error = kind(f"{message} ({times})" if times else message, detail=failure.detail)
    error.failure = Failure(
        failure.kind, str(error), str(task.id), failure.attempt, failure.place, failure.frames
    )
    return error


def lost_too_often(task: Task, reason: str) -> EnvironmentFailed:
    """A task that takes its workers down with it, or a place where workers do not live long."""
    return EnvironmentFailed(
        f"{task.id}: {task.lost} attempts lost with their workers, the last one: {reason}; "
        "look at the workers' logs (memory, evictions), then resume the run",
        detail="\n".join(task.history()),
    )


def deserted(config: SchedulerConfig, phase: Phase, gone: dict[str, str]) -> EnvironmentFailed:
    """gone: why each worker that came was lost, by name."""
    lost = f"{len(gone)} came and were lost" if gone else "none ever came"
    last = f", the last one: {next(reversed(gone.values()))}" if gone else ""
    return EnvironmentFailed(
        f"no worker for {config.no_worker_timeout:g} s in phase {phase.value} "
        f"({lost}{last}); look at the workers' logs"
    )


def too_late(phase: Phase) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the run's deadline passed in phase {phase.value}; "
        "give it more time (--timeout) and resume it"
    )


def too_many_bad_records(causes: list[str], allowed: int) -> JobFailed:
    """More records had to be set aside than `--skip-bad-records` allows; `causes`, one each."""
    return JobFailed(
        f"more than {allowed} bad records (--skip-bad-records {allowed}); the first: {causes[0]}",
        detail="\n".join(causes[:3]),
    )


def set_aside(task: Task, failure: TaskFailure) -> bool:
    """Whether `failure.record` is now proven bad: children died on it twice. The first time it is
    noted, and the attempt counts as failed; the second time that charge is taken back."""
    before = dict(task.suspects)
    first = before.pop(failure.record, None)
    if first is None:
        task.suspects = (*task.suspects, (failure.record, failure.kind))
        return False
    task.suspects = tuple(before.items())
    task.skipped = tuple(sorted((*task.skipped, failure.record)))
    task.failures -= 1
    task.timeouts -= first == "timeout"
    return True
