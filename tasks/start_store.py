"""The step that opens the run's store and makes sure that commits can rest on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gomr_runtime import layout
from gomr_runtime.errors import RunConflict
from gomr_runtime.resume import reopen
from gomr_runtime.runs import claim
from gomr_runtime.storage import open_store, probe_create_only
from tasks.session import Session
from tasks.step import step


@step
def start_store(session: Session) -> None:
    """Open the store and claim the run id in it; raises RunConflict when it is taken.

    A run that is resumed is made ready to go on.
    """
    prepared = session.prepared
    run, url, resume = prepared.job.run, prepared.store, bool(prepared.options.resume)
    store = open_store(url)
    probe_create_only(store)
    if "://" not in url:
        session.claim = claim(Path(url), run, resume=resume)
    elif not resume and next(iter(store.list(layout.run_prefix(run))), None):
        raise RunConflict(
            f"--run-id {run} is taken in {store.url}: choose another id, or --resume {run}"
        )
    session.store = store
    if resume:
        job = reopen(store, prepared.job, rerun=prepared.options.rerun)
        session.prepared = replace(prepared, job=job)
