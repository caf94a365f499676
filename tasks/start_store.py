"""The step that opens the run's store and makes sure that commits can rest on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gomr_runtime.errors import RunConflict
from gomr_runtime.model import layout
from gomr_runtime.runs.attached import AttachedRun
from gomr_runtime.runs.claims import RunInProgress, claim
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store, probe_create_only
from gomr_runtime.system.host_lock import claim_output
from tasks.reporting.console import tell
from tasks.session import Session
from tasks.step import step


@step
def start_store(session: Session) -> None:
    """Open the store and claim the run id in it; raises RunConflict when it is taken.

    On a cluster the store is started there if need be. A run of this machine that is resumed is
    made ready to go on.
    """
    prepared = session.prepared
    run, resume = prepared.job.run, bool(prepared.options.resume)
    store = session.store = _open(session)
    probe_create_only(store)
    if "://" not in prepared.store:
        try:
            session.claim = claim(Path(prepared.store), run, resume=resume)
        except RunInProgress as live:
            if not resume or prepared.options.rerun or live.folder is None:
                raise
            follow_instead(session, live.folder)
            return
    elif not resume and next(iter(store.list(layout.run_prefix(run))), None):
        session.store = None  # it holds another run's data, which is not ours to speak of
        raise RunConflict(
            f"--run-id {run} is taken in {store.url}: choose another id, or --resume {run}"
        )
    if prepared.options.collect and (session.target is None or not resume):
        session.output = claim_output(prepared.output)
    if resume and session.target is None:
        job = reopen(store, prepared.job, rerun=prepared.options.rerun)
        session.prepared = replace(prepared, job=job)


def follow_instead(session: Session, folder: Path) -> None:
    """Watch a run that another process of this machine looks after; that one brings its output and
    removes its data."""
    prepared = session.prepared
    tell(f"run {prepared.job.run} is in progress: following it")
    session.processes = AttachedRun(prepared.job.run, folder, prepared.store, prepared.output)
    session.prepared = replace(
        prepared, options=replace(prepared.options, collect=False, keep=True)
    )


def _open(session: Session) -> Store:
    if session.target is None:
        return open_store(session.prepared.store)
    access = session.target.store_of(session.prepared.job.run)
    return open_store(access.url, access.here)
