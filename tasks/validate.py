"""The step that refuses: worker file, inputs, output, counts; nothing has started yet."""

from __future__ import annotations

from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.prepare import prepare
from k8s.run.runtime import ClusterRuntime
from k8s.run.target import choose_target, with_worker_here
from tasks.reporting.console import tell
from tasks.state import ClusterState, LocalState
from tasks.step import shown_as_task


@shown_as_task
def validate(options: RunOptions) -> LocalState | ClusterState:
    """The run that `options` ask for; raises UsageError naming what is wrong."""
    place, target = choose_target(options, tell)
    state: LocalState | ClusterState
    try:
        prepared = prepare(with_worker_here(options, target), place)
        if target is None:
            state = LocalState(prepared)
        else:
            state = ClusterState(prepared, ClusterRuntime(target, prepared, tell))
    except BaseException:
        if target is not None:
            target.close()
        raise
    for note in prepared.notes:
        tell(note)
    return state
