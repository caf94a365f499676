"""What the user code of one task is given: its ctx, and the law of the pairs that it emits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gomr_runtime.api.context import Context, ContextMisused
from gomr_runtime.api.user_frames import user_frames
from gomr_runtime.dataflow.pairs.pair_law import PairLaw, types_named
from gomr_runtime.errors import RecordFailed
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.monitor import MISUSED, Monitor
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.user_code.program import Program


@contextmanager
def task_context(task: TaskSpec, job: JobSpec, monitor: Monitor) -> Iterator[Context]:
    """The ctx of a task, which ends with the task."""

    def misused() -> None:
        monitor[MISUSED] += 1

    ctx = Context(job.params, f"{task.run}/{task.name}/{task.attempt}", misused)
    try:
        yield ctx
        check_ctx(ctx, task.name)
    finally:
        ctx.end()


def law_of(program: Program) -> PairLaw:
    """What the pairs of a job's map tasks may be."""
    values = types_named(program.description.value_type)
    return PairLaw(program.declared.keys, values, "gomr.sum" if program.combining.sums else "")


def check_ctx(ctx: Context, task: str) -> None:
    """RecordFailed where a ctx was misused, also if user code has swallowed that."""
    try:
        ctx.check()
    except ContextMisused as error:
        raise RecordFailed(f"{task}: {error}", detail=user_frames(error)) from None
