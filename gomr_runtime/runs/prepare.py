"""From options to a job: everything that can be refused before anything starts is refused here."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gomr_runtime.dataflow.input.splits import default_mappers, default_reducers
from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.model.inputs.file_table import collect, size_of
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.quantities import format_size
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions, check_shuffle
from gomr_runtime.publishing.publish import check_output, try_output
from gomr_runtime.runs.claims import DEFAULT_STORE, open_up, stdin_copy
from gomr_runtime.runs.place import Place, this_machine
from gomr_runtime.runs.resume import check_same, earlier_job, published
from gomr_runtime.storage.inputs.files import own_directories, resolve
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import make_private
from gomr_runtime.user_code.worker_file import WorkerFile, inspect_worker

DEFAULT_OUTPUTS = "outputs"
NAME_LENGTH = 20  # of the part of a made-up run id that says what it runs


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that may start. Paths are absolute; `notes` are lines for the person.

    complete: set when a run to be resumed needs nothing more, its output being where it should.
    """

    options: RunOptions
    job: JobSpec
    worker: WorkerFile
    store: str
    output: Path
    notes: tuple[str, ...]
    complete: Summary | None = None


def prepare(
    options: RunOptions,
    place: Place | None = None,
    *,
    read_stdin: bool = True,
    module: str = "",
) -> Prepared:
    """Check the options and fill in what was not given; nothing is started.

    Args:
        options: What the person asked for.
        place: Where the run goes, by default this machine.
        read_stdin: Copy standard input below the store, if it is an input. False leaves it out of
            the job, for a check before the real start.
        module: The worker file's dotted name, if it was started by it.

    Raises:
        UsageError: An option, the worker file or an input is refused.
        EnvironmentFailed: Standard input could not be copied.
    """
    place = place or this_machine(options)
    worker = inspect_worker(options.worker, module)
    run = options.resume or options.run_id or new_run_id(worker.path)
    output = output_directory(options.output, run)
    here = not place.on_cluster
    earlier = earlier_job(place.store, run) if options.resume and here else None
    complete = _complete(options, place, output, earlier) if options.resume else None
    if options.collect and complete is None:
        check_output(output, options.overwrite)
        try_output(output)
    named = "-" in options.input
    kept = [f for f in earlier.files if f.source == "-"] if earlier and named else []
    files = _inputs(options, run, place, output, read_stdin, kept)
    job = _job(options, place, worker, files, earlier, run)
    if earlier is not None:
        check_same(earlier, job, open_store(place.store), worker.program, rerun=options.rerun)
    notes = (*place.notes, _plan_note(job))
    if complete is not None:
        notes = (f"run {run} is complete, nothing is left to do: its output is in {output}",)
    return Prepared(options, job, worker, place.store, output, notes, complete)


def _complete(
    options: RunOptions, place: Place, output: Path, earlier: JobSpec | None
) -> Summary | None:
    """The summary of a run to be resumed whose output stands already and is not asked for again.

    UsageError when nothing of the run is left.
    """
    run = options.resume
    done = published(output, run)
    if place.on_cluster:
        return None if options.rerun or options.overwrite else done
    if earlier is None and (done is None or options.rerun):
        where = (
            f"--resume {run}: there is no data of such a run in {options.store or DEFAULT_STORE}"
        )
        hint = (
            f"start it anew with --run-id {run}" if done else "check its name, or start a new run"
        )
        raise UsageError(f"{where}: {hint}")
    again = earlier is not None and (options.rerun or options.overwrite)
    return None if again else done


def output_directory(given: str, run: str) -> Path:
    """Return the absolute path of a run's output; `given` is its `--output`, "" for the default."""
    path = Path(given or Path(DEFAULT_OUTPUTS, run)).absolute()
    # `missing/../out` is `out` already before `missing` is made.
    return Path(os.path.realpath(path)) if ".." in path.parts else path


def new_run_id(worker: Path) -> str:
    """A fresh name that says what runs and when: `wordcount-1122-171105-k3f9`."""
    stem = worker.parent.name if worker.stem == "worker" else worker.stem
    name = "-".join(re.findall(r"[a-z0-9]+", stem.lower()))[:NAME_LENGTH].strip("-") or "run"
    tail = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4))
    return f"{name}-{time.strftime('%m%d-%H%M%S')}-{tail}"


def _inputs(
    options: RunOptions,
    run: str,
    place: Place,
    output: Path,
    read_stdin: bool,
    kept: list[InputFile],
) -> Sequence[InputFile]:
    """kept: standard input as an earlier start of the run has copied it; it is not read again."""
    own = own_directories(output, place.store)
    named = [name for name in options.input if name != "-"]
    find = partial(resolve, lister=lambda url: place.list_s3(url, place.store), own=own)
    if kept:
        found = ([kept[0]] if n == "-" else find([n]) for n in options.input)
        return collect(file for files in found for file in files)
    if len(named) == len(options.input) or not read_stdin:
        return find(named)
    if options.input.count("-") > 1:
        raise UsageError("--input -: standard input can be read once only")
    if "://" in place.store and not place.on_cluster:
        raise UsageError("--input -: save it to a file where the store is not a directory")
    store = Path(DEFAULT_STORE if place.on_cluster else place.store)
    copy = stdin_copy(store, run)
    open_up(store)
    try:
        make_private(copy.parent)
    except OSError as error:
        raise EnvironmentFailed(
            f"--input -: its copy in {copy.parent}: {os_cause(error)}: name another place for the "
            "run's data by --store DIR"
        ) from None
    return find(options.input, stdin_copy=copy)


def _job(
    options: RunOptions,
    place: Place,
    worker: WorkerFile,
    files: Sequence[InputFile],
    earlier: JobSpec | None,
    run: str,
) -> JobSpec:
    """Counts that are not given are those of the earlier start, else by input size."""
    total = size_of(files)
    workers = options.workers or place.workers
    if place.most_workers is not None:
        workers = min(workers, place.most_workers)
    most = default_mappers(total, workers, len(files))
    mappers = options.mappers or (earlier.mappers if earlier else most)
    reducers = options.reducers or (earlier.reducers if earlier else default_reducers(total))
    try:
        check_shuffle(mappers, reducers)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return JobSpec(
        run=run,
        files=files,
        workers=workers,
        mappers=mappers,
        reducers=reducers,
        worker_sha256=worker.program.sha256,
        worker_name=worker.path.name,
        output_format=options.output_format,
        params=dict(options.param),
        memory=options.memory_bytes,
        max_record=options.max_record_bytes,
        skip_bad_records=options.skip_bad_records,
        profile=options.profile,
        task_timeout=options.task_timeout_seconds,
        timeout=options.timeout_seconds,
        keep=options.keep,
    )


def _plan_note(job: JobSpec) -> str:
    size = format_size(size_of(job.files))
    files = f"{len(job.files):,} file" + ("" if len(job.files) == 1 else "s")
    return (
        f"run {job.run}: {files}, {size}; workers {job.workers}, mappers {job.mappers}, "
        f"reducers {job.reducers}"
    )
