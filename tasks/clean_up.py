"""The step that leaves nothing running and nothing lying about."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from gomr_runtime import layout
from tasks.console import tell
from tasks.session import Session


@task(name="clean_up", task_run_name="clean up", cache_policy=NO_CACHE)
def clean_up(session: Session) -> None:
    """End the processes; after success remove the run's intermediate data, after failure keep it.

    May be called again.
    """
    close_processes(session)
    prepared, run = session.prepared, session.prepared.job.run
    done = session.success is not None
    remove = done and not prepared.options.keep
    if session.claim is not None:
        session.claim.release(remove=remove)
        session.claim = None
    elif session.store is not None and remove:
        session.store.delete(layout.run_prefix(run))
        session.store.delete(layout.output_prefix(run))
    if session.store is not None and not done:
        tell(
            f"the run's data is kept in {prepared.store}/{layout.run_prefix(run)}: "
            f"the same command with --resume {run} goes on with it"
        )


def close_processes(session: Session) -> None:
    """End master and workers now."""
    if session.processes is not None:
        session.processes.close()
        session.processes = None
