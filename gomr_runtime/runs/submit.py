"""A job put into its store, before anything of the run is started."""

from __future__ import annotations

from dataclasses import replace

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import RunConflict
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.file_table import FileTable
from gomr_runtime.model.job import JobSpec
from gomr_runtime.storage.base import Store
from gomr_runtime.user_code.program_files import ProgramFiles, encode


def submit(store: Store, job: JobSpec, program: ProgramFiles) -> None:
    """Store the job, create-only, and its program: workers read no file of the client from here on.

    Raises:
        RunConflict: Another job has the run id. A run that is resumed has this very job there
            already.
    """
    if not store.create(layout.job(job.run), to_json(with_table(store, job))):
        raise RunConflict(
            f"run {job.run} exists already in {store.url}: choose another --run-id, or resume it"
        )
    store.put(layout.program(job.run), encode(program))


def with_table(store: Store, job: JobSpec) -> JobSpec:
    """The job as `job.json` has it: files that are too many for that are stored as a table, before
    anybody can find the job."""
    if not isinstance(job.files, FileTable):
        return replace(job, table=None)
    record = job.files.record
    key = layout.files(job.run, record.sha256)
    if not _is_there(store, layout.job(job.run)) or not _is_there(store, key):
        store.put_pieces(key, job.files.chunks, record.size)
    return replace(job, files=(), table=record)


def _is_there(store: Store, key: str) -> bool:
    try:
        store.info(key)
    except KeyError:
        return False
    return True
