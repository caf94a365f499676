"""`python worker.py --input f`: the whole job in one process, so that a debugger stops in a mapper.

The tasks, their order, the commits and the books are those of a run with workers; only what a
crash of user code would survive elsewhere ends this process. With `--workers` the job goes to
local processes instead.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.cli.outcome import tell_failure, tell_success, unexpected
from gomr_runtime.dataflow.execute import MISUSED, SLOTS, execute, failure_of
from gomr_runtime.dataflow.input.splits import plan_splits, sample_pieces
from gomr_runtime.dataflow.profile import stored
from gomr_runtime.errors import EXIT_SIGINT, Cancelled, GomrError, JobFailed, UsageError
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.ending import Effort, summarise
from gomr_runtime.master.journal import Manifest, Plan
from gomr_runtime.master.typed_parts import typed_parts
from gomr_runtime.model import layout
from gomr_runtime.model.compatibility import check_content, check_output_format, check_skipping
from gomr_runtime.model.job import (
    Failure,
    JobSpec,
    Part,
    Piece,
    ResultFile,
    Summary,
    TaskFailure,
    TaskKind,
    TaskResult,
    TaskSpec,
    difference,
)
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.options.declared import RunOptions, asks_for_json, parse
from gomr_runtime.publishing.publish import publish
from gomr_runtime.runs.local_folder import temporary_folder
from gomr_runtime.runs.place import Place, this_machine
from gomr_runtime.runs.prepare import Prepared, prepare
from gomr_runtime.runs.progress import Reporter, output_of, reporter
from gomr_runtime.runs.resume import published
from gomr_runtime.scheduler.events import AttemptId, TaskId
from gomr_runtime.storage.blobs import StoreBlobs
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.success import promote
from gomr_runtime.system.host_lock import HostLock, claim_output
from gomr_runtime.system.lifeline import hide_from_user_code
from gomr_runtime.system.signals import Ended, Ending, ended_by_signals
from gomr_runtime.system.streams import check_results, results_apart
from gomr_runtime.user_code.loading import Loader, write_folder
from gomr_runtime.user_code.name_clashes import main_module, main_namespace
from gomr_runtime.user_code.program import Program, program_of
from gomr_runtime.user_code.worker_file import WorkerFile


def main(config: MapReduceConfig, argv: Sequence[str]) -> int:
    """Run as the command line says; returns the exit code, having told the person why."""
    as_json = asks_for_json(argv)
    with results_apart(as_json=as_json):
        return _command(config, argv, as_json)


def _command(config: MapReduceConfig, argv: Sequence[str], as_json: bool) -> int:
    run = ""
    path = (main_namespace() or {}).get("__file__", sys.argv[0])
    prepared: Prepared | None = None
    try:
        with ended_by_signals() as ending:
            options = parse(argv, inline=True, worker=path)
            as_json, run = options.json, options.resume or options.run_id
            if as_json:
                check_results()
            program = program_of(config, b"", path)
            check_skipping(program.description, options.skip_bad_records)
            check_output_format(program.description, options.output_format)
            with _place(options, ending) as place:
                prepared = prepare(options, place, module=main_module())
                check_content(program.description, prepared.job.files)
                run = prepared.job.run
                summary = _run(prepared, program, ending)
            return tell_success(summary, output_of(prepared.output), options)
    except KeyboardInterrupt as error:
        return tell_failure(_ended(error, prepared), as_json=as_json, run=run)
    except GomrError as error:
        return tell_failure(error, as_json=as_json, run=run)
    except Exception as error:  # noqa: BLE001  (a limit of the machine, or a defect of ours)
        return tell_failure(unexpected(error, argv), as_json=as_json, run=run)


@contextmanager
def _place(options: RunOptions, ending: Ending) -> Iterator[Place]:
    """Where the run's data goes: for a run in this process a folder of its own, which goes with
    it, below --store or where temporary files are."""
    if options.workers is not None:
        yield this_machine(options)
        return
    if options.resume:
        raise UsageError("--resume needs --workers: a run in one process keeps no data")
    with temporary_folder(options.store) as folder:
        ending.clean_up.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        yield replace(this_machine(replace(options, workers=1)), store=str(folder))


def _run(prepared: Prepared, program: Program, ending: Ending) -> Summary:
    progress = reporter(quiet=prepared.options.quiet)
    if prepared.options.workers is not None:
        from gomr_runtime.runs.lifecycle import run_local

        hide_from_user_code()
        return run_local(prepared, progress)
    check_dependencies(prepared.worker)
    with claim_output(prepared.output) as claim:
        return run_inline(prepared, program, progress, ending, claim)


def _ended(error: KeyboardInterrupt, prepared: Prepared | None) -> Cancelled:
    """How a run ended that a signal ended."""
    code = 128 + error.number if isinstance(error, Ended) else EXIT_SIGINT
    how = f"ended by {error}" if isinstance(error, Ended) else "interrupted"
    if prepared is not None and published(prepared.output, prepared.job.run) is not None:
        where = output_of(prepared.output)
        return Cancelled(f"{how}, when the output stood in {where}", exit_code=code)
    return Cancelled(f"{how}; nothing was published", exit_code=code)


def check_dependencies(worker: WorkerFile) -> None:
    """UsageError naming the first package of the PEP 723 header that this interpreter lacks."""
    for requirement in worker.dependencies:
        from importlib import metadata

        found = re.match(r"[\w.-]+", requirement)
        try:
            metadata.distribution(found.group() if found else requirement)
        except metadata.PackageNotFoundError:
            raise UsageError(
                f"{worker.path.name} needs {requirement!r}, which {sys.executable} does not have: "
                f"run `{sys.executable} -m pip install '{requirement}'`, or use "
                "`python -m flows.gomr`, which makes an environment for it"
            ) from None


def run_inline(
    prepared: Prepared, program: Program, progress: Reporter, ending: Ending, claim: HostLock
) -> Summary:
    """Run the job in this process and publish its output. Raises the GomrError that ended it."""
    folder = Path(prepared.store)
    try:
        store = DirectoryStore(folder / "store")
        scratch = folder / "scratch"
        scratch.mkdir()
        files = prepared.worker.program
        write_folder(folder / "program", files)
        fresh = partial(Loader(files, folder / "program").fresh, prepared.job.worker_name)
        description = replace(program.description, worker_sha256=files.sha256)
        program = replace(program, description=description)
        run = InlineRun(prepared.job, program, store, scratch, progress, ending, fresh)
        summary = run.run()
        ending.check()
        publish(store, summary, prepared.output, prepared.options.overwrite, claim=claim)
        return summary
    finally:
        progress.close()


@dataclass(frozen=True, slots=True)
class _State:
    """How far a phase is, for the reporter; bytes or pairs."""

    phase: str
    tasks: int
    committed: int
    done: int
    total: int
    running: int
    failed_attempts: int = 0
    workers: int = 1


Fresh = Callable[[], AbstractContextManager[Program]]
"""Gives one task a program that no other task has touched."""


class InlineRun:
    """The tasks of one job, one after the other, each with a program of its own."""

    def __init__(
        self,
        job: JobSpec,
        program: Program,
        store: DirectoryStore,
        scratch: Path,
        progress: Reporter,
        ending: Ending,
        fresh: Fresh,
        run_task: Callable[..., TaskResult] = execute,
    ) -> None:
        """program: what the run is planned by. ending: asked between tasks. run_task:
        `execution.execute`, or what does the same and tells a test more."""
        self._fresh = fresh
        self._ending = ending
        self._run_task = run_task
        self._scratch = scratch
        self.books = Books(job)
        self._job = job
        self._store = store
        self._progress = progress
        self._monitors: dict[str, list[int]] = {}
        self._began = time.monotonic()
        self._phases: dict[str, float] = {}
        description = program.description
        self._plan = Plan(
            description,
            tuple(plan_splits(job.files, description.format, job.mappers)),
            sample_pieces(job.files, description.format)
            if description.partitioner == "total_order"
            else (),
        )

    def run(self) -> Summary:
        """Every phase in order; the parts lie in the store afterwards."""
        plan, job = self._plan, self._job
        if plan.description.partitioner == "total_order":
            self._phase("sample", 1)
        self._phase("map", len(plan.splits))
        if not plan.description.map_only:
            self._store.put(layout.maps(job.run), encode_maps(self.books.map_outputs()))
            self._phase("reduce", job.reducers)
        self._check_late()
        self.books.check(plan.description)
        totals = self.books.totals()
        aside, parts = self.books.set_aside(), self._parts()
        made = promote(self._store, job.run, parts, totals.ledger, totals.counters, set_aside=aside)
        seconds = time.monotonic() - self._began
        effort = Effort(len(self.books.committed), 0, 1, seconds, self._phases)
        return summarise(job, None, plan, self.books, made, effort)

    def _parts(self) -> list[Part]:
        """The committed parts, those without a type under that of the others."""
        description, run = self._plan.description, self._job.run
        made = typed_parts(
            self._store,
            self.books.untyped(description),
            self.books.types(description),
            partial(layout.typed_part, run, 0),
        )
        typed = {part.name: part for part in made}
        return [typed.get(part.name, part) for part in self.books.parts(description)]

    def _phase(self, kind: TaskKind, tasks: int) -> None:
        began = time.monotonic()
        total = self.books.total(kind, self._plan)
        for index in range(tasks):
            self._ending.check()
            self._task(kind, index)
            done, running = self.books.done(kind), int(index + 1 < tasks)
            self._progress.update(_State(kind, tasks, index + 1, done, total, running))
        self._phases[kind] = time.monotonic() - began

    def _task(self, kind: TaskKind, index: int) -> None:
        task = TaskSpec(
            run=self._job.run,
            kind=kind,
            index=index,
            attempt=1,
            nonce="inline",
            pieces=self._pieces(kind, index),
            maps_key=layout.maps(self._job.run),
            cuts_key="" if kind == "sample" else self.books.cuts_key(),
            reducers=self._job.reducers,
        )
        scratch = self._scratch / task.name
        scratch.mkdir()
        blobs = StoreBlobs(self._store)
        monitor = self._monitors[task.name] = [0] * SLOTS
        with self._fresh() as program:
            self._check_same(program)
            try:
                result = self._run_task(task, self._job, program, blobs, scratch, monitor)
            except GomrError as error:
                error.failure = _failure(error, failure_of(error, task), task)
                raise
            except Exception as error:  # noqa: BLE001  (a partitioner may raise anything)
                failure = failure_of(error, task)
                failed = JobFailed(failure.message, detail=failure.detail)
                failed.failure = _failure(failed, failure, task)
                raise failed from None
        began = time.monotonic()
        files = tuple(self._keep(task, file) for file in result.files)
        result = stored(replace(result, files=files), time.monotonic() - began)
        refused = self.books.too_many_bad(result)
        if refused := refused or self.books.mixed_types(result, TaskId(kind, index)):
            raise refused
        self.books.enter(Manifest(1, AttemptId(TaskId(kind, index), 1), "inline", result))

    def _check_same(self, program: Program) -> None:
        if words := difference(program.description, self._plan.description):
            raise UsageError(
                f"{self._job.worker_name} describes another job each time it is loaded ({words}): "
                "its config may not depend on the command line, the time or chance"
            )

    def _check_late(self) -> None:
        """Refuse a run in which user code used the ctx of a task that was over: with workers the
        process of the task would be gone."""
        for name, monitor in self._monitors.items():
            if monitor[MISUSED]:
                raise JobFailed(
                    f"{name}: its ctx was used when it was over, so what that was to emit or count "
                    "is lost; keep no ctx, and end threads before the call that starts them returns"
                )

    def _pieces(self, kind: TaskKind, index: int) -> tuple[Piece, ...]:
        if kind == "map":
            return self._plan.splits[index]
        return self._plan.sample if kind == "sample" else ()

    def _keep(self, task: TaskSpec, file: ResultFile) -> ResultFile:
        key = layout.attempt_data(task, file.role)
        self._store.put_file(key, Path(file.path))
        return replace(file, key=key)


def _failure(error: GomrError, found: TaskFailure, task: TaskSpec) -> Failure:
    """What programs are told of the failed task."""
    return Failure(found.kind, str(error), task.name, task.attempt, found.place, found.frames)
