"""A job put into its store, before anything of the run is started."""

from __future__ import annotations

from gomr_runtime.errors import RunConflict
from gomr_runtime.model import layout
from gomr_runtime.model.job import JobSpec, to_json
from gomr_runtime.storage.base import Store
from gomr_runtime.user_code.program_files import ProgramFiles, encode


def submit(store: Store, job: JobSpec, program: ProgramFiles) -> None:
    """Write the job, create-only, and its program: from here on no worker looks at files of the
    client's.

    Raises:
        RunConflict: another job has the run id. Of a run that is resumed, this very job is there
            already.
    """
    if not store.create(layout.job(job.run), to_json(job)):
        raise RunConflict(
            f"run {job.run} exists already in {store.url}: choose another --run-id, or resume it"
        )
    store.put(layout.program(job.run), encode(program))
