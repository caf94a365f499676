"""The step that leaves nothing running and nothing lying about."""

from __future__ import annotations

from functools import partial

from gomr_runtime.model import layout
from tasks.reporting.console import tell
from tasks.session import Session
from tasks.step import shown_as_task


@partial(shown_as_task, always=True)
def clean_up(session: Session) -> None:
    """End processes or pods; after success remove the run's intermediate data, after failure keep
    it. The output stays in the store of a cluster. May be called again.
    """
    close_processes(session)
    try:
        _remove_data(session)
    finally:
        if session.output is not None:
            session.output.release()
        if session.target is not None:
            session.target.close()


def close_processes(session: Session) -> None:
    """End master and workers now."""
    if session.processes is not None:
        session.processes.close()
        session.processes = None


def _remove_data(session: Session) -> None:
    prepared, run, store = session.prepared, session.prepared.job.run, session.store
    done = session.success is not None or (
        session.summary is not None and not prepared.options.collect
    )
    remove = done and not prepared.options.keep
    if session.claim is not None:
        session.claim.release(remove=remove and prepared.options.collect)
        session.claim = None
    elif store is not None and remove:
        store.delete(layout.run_prefix(run))
        if session.target is None and prepared.options.collect:
            store.delete(layout.output_prefix(run))
    if store is not None and not done:
        tell(
            f"the run's data is kept in {prepared.store}/{layout.run_prefix(run)}: "
            f"the same command with --resume {run} goes on with it"
        )
