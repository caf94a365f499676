"""The step that leaves nothing running and nothing lying about."""

from __future__ import annotations

from functools import partial

from gomr_runtime.model import layout
from tasks.reporting.console import tell
from tasks.state import FlowState
from tasks.step import shown_as_task


@partial(shown_as_task, always=True)
def clean_up(state: FlowState) -> None:
    """End processes or pods; after success remove the run's intermediate data, after failure keep
    it. The output stays in the store of a cluster. May be called again.
    """
    try:
        state.run.release()
        if state.run.is_kept or (state.run.owner_elsewhere and not state.run.done):
            prepared, run = state.prepared, state.prepared.job.run
            tell(
                f"the run's data is kept in {prepared.store}/{layout.run_prefix(run)}: "
                f"the same command with --resume {run} goes on with it"
            )
    finally:
        state.hang_up()


def close_processes(state: FlowState) -> None:
    """End master and workers now."""
    state.run.handle.close()
