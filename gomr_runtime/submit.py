"""A job put into its store, before anything of the run is started."""

from __future__ import annotations

from pathlib import Path

from gomr_runtime import layout
from gomr_runtime.errors import RunConflict, UsageError
from gomr_runtime.job import JobSpec, to_json
from gomr_runtime.storage import Store


def submit(store: Store, job: JobSpec, worker_file: Path) -> None:
    """Write the job, create-only, and its worker file.

    Of a run that is resumed, this very job is there already. RunConflict when another job has the
    run id, UsageError when the worker file cannot be read.
    """
    if not store.create(layout.job(job.run), to_json(job)):
        raise RunConflict(
            f"run {job.run} exists already in {store.url}: choose another --run-id, or resume it"
        )
    try:
        store.put(layout.worker_file(job.run), worker_file.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{worker_file}: the worker file cannot be read: {error.strerror}"
        ) from None
