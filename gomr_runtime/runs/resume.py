"""Going on with an earlier run: what it was, what must still be the same, what has to go first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import CorruptBlock, UsageError
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.submit import with_table
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import read_job, stored_summary
from gomr_runtime.storage.success import read_success
from gomr_runtime.system.processes import end_marked, part_of
from gomr_runtime.user_code.program_files import ProgramFiles, decode


def earlier_job(store_url: str, run: str) -> JobSpec | None:
    """The job of a run whose data is still in the store; None when there is none."""
    if "://" not in store_url and not Path(store_url).is_dir():
        return None  # opening would make it
    try:
        return read_job(open_store(store_url), run)
    except KeyError:
        return None


def published(output: Path, run: str) -> Summary | None:
    """Return the summary of a run from its published output; None if the output is another's."""
    try:
        success = read_success(output)
    except UsageError:
        return None
    if success.run != run:
        return None
    parts, aside = (
        tuple(Part(f.name, "", f.size, f.records, f.sha256) for f in files)
        for files in (success.parts, success.set_aside)
    )
    return Summary(
        run,
        "succeeded",
        parts=parts,
        set_aside=aside,
        ledger=success.ledger,
        counters=dict(success.counters),
        reducers=len(success.parts),
    )


def check_same(
    earlier: JobSpec, now: JobSpec, store: Store, program: ProgramFiles, *, rerun: bool
) -> None:
    """UsageError naming the first difference that would change the output.

    Args:
        store: has the earlier run's copy of its program.
        program: of `now`.
        rerun: allow another program, since every task runs again then. Counts of workers, memory,
            timeouts and the number of bad records may always differ.
    """
    if difference := _difference(earlier, now):
        raise UsageError(
            f"--resume {now.run}: {difference}; give the same as before, or start a new run"
        )
    if earlier.worker_sha256 != now.worker_sha256 and not rerun:
        raise UsageError(
            f"--resume {now.run}: {_changed_file(store, now, program)} since the run "
            "was started; undo that, or add --rerun to run all of its tasks again"
        )


def _changed_file(store: Store, now: JobSpec, program: ProgramFiles) -> str:
    try:
        before = decode(store.get(layout.program(now.run)))
    except (KeyError, ValueError):  # it was interrupted before it stored its program
        return f"{now.worker_name} has changed"
    return before.difference(program)


def continued(store: Store, job: JobSpec, program: ProgramFiles, options: RunOptions) -> JobSpec:
    """Return a job as it goes on with the stored run of its id.

    Args:
        store: The store that holds the earlier run.
        job: The job as it is asked for now.
        program: The program of `job`.
        options: The options as given. Counts that they leave open are those of the earlier start.

    Raises:
        UsageError: There is no such run, or it was another job.
    """
    try:
        earlier = read_job(store, job.run)
    except KeyError:
        raise UsageError(
            f"--resume {job.run}: there is no data of such a run in {store.url}: check its name, "
            "or start a new run"
        ) from None
    job = dataclasses.replace(
        job,
        mappers=options.mappers or earlier.mappers,
        reducers=options.reducers or earlier.reducers,
    )
    check_same(earlier, job, store, program, rerun=options.rerun)
    return job


def how_it_ended(store: Store, run: str) -> Summary | None:
    """Return the summary of a run that is over; None if there is none that can be read."""
    try:
        return stored_summary(store, run)
    except CorruptBlock:
        return None


def reopen(store: Store, job: JobSpec, *, rerun: bool) -> JobSpec:
    """Make a stored run ready to go on; nobody else may be running it.

    Processes of the run that are left on this machine have lost their launcher, and are ended. A
    complete run stays complete.

    Args:
        store: The store that holds the run.
        job: The job as it is asked for now.
        rerun: Forget what the run did, its commits first: whatever is left if this is interrupted,
            no commit names data that is gone.

    Returns:
        The job as it is stored now.
    """
    run = job.run
    end_marked(part_of(store.url, run))
    if rerun:
        for key in (layout.success(run), layout.commits(run), layout.maps(run), layout.plan(run)):
            store.delete(key)
        store.delete(layout.output_prefix(run))
        store.delete(layout.data(run))
    if rerun or not _succeeded(store, run):
        store.delete(layout.summary(run))
    masters = [layout.epoch_number(found.key) for found in store.list(layout.epochs(run))]
    job = dataclasses.replace(job, first_epoch=max(masters, default=0) + 1)
    store.put(layout.job(run), to_json(with_table(store, job)))
    return job


def _succeeded(store: Store, run: str) -> bool:
    summary = how_it_ended(store, run)
    return summary is not None and summary.state == "succeeded"


def _difference(earlier: JobSpec, now: JobSpec) -> str:
    if changed := _changed_input(earlier.files, now.files):
        return changed
    for name in sorted(earlier.params.keys() | now.params.keys()):
        before, after = earlier.params.get(name), now.params.get(name)
        if before != after:
            return f"--param {name} was {_shown(before)} and is {_shown(after)}"
    for name in ("reducers", "mappers", "output_format", "max_record"):
        before, after = getattr(earlier, name), getattr(now, name)
        if before != after:
            return f"--{name.replace('_', '-')} was {before} and is {after}"
    return ""


def _changed_input(before: Sequence[InputFile], after: Sequence[InputFile]) -> str:
    if before == after:
        return ""
    for old, new in zip(before, after, strict=False):
        if (old.source, old.location) != (new.source, new.location):
            return f"the input differs: {old.location} was read where now {new.location} is"
        if old.size != new.size:
            return f"the input {new.source} had {old.size:,} bytes and has {new.size:,}"
        if old != new:
            return f"the input {new.source} was changed"
    if len(before) != len(after):
        return f"the input was {len(before):,} files and is {len(after):,}"
    return ""


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)
