"""`python worker.py --input f`: the whole job in one process, so that a debugger stops in a mapper.

The tasks, their order, the commits and the books are those of a run with workers; only what a
crash of user code would survive elsewhere ends this process. With `--workers` the job goes to
local processes instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gomr_runtime.dataflow.execute import execute, failure_of
from gomr_runtime.dataflow.profile import stored
from gomr_runtime.errors import Cancelled, GomrError, JobFailed, UsageError
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.ending import Effort, summarise
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.master.planning import make_plan
from gomr_runtime.master.typed_parts import typed_parts
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import JobSpec, difference
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.model.monitor import MISUSED, SLOTS
from gomr_runtime.model.summary import Failure, Part, Summary
from gomr_runtime.model.task import ResultFile, TaskFailure, TaskKind, TaskResult, TaskSpec
from gomr_runtime.runs.handle import RunEvent
from gomr_runtime.runs.lifecycle import Hold, Lifecycle, Unclaimed
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.progress import Reporter
from gomr_runtime.scheduler.state import KIND_OF_PHASE, Phase, undisturbed
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.blobs import StoreBlobs
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.success import promote
from gomr_runtime.system.signals import Ending
from gomr_runtime.user_code.loading import Loader, write_folder
from gomr_runtime.user_code.program import Program


def run_inline(prepared: Prepared, program: Program, progress: Reporter, ending: Ending) -> Summary:
    """Run the job in this process and publish its output.

    Args:
        prepared: The checked job, from `prepare`.
        program: The loaded functions of the worker file.
        progress: Shows how far the run is.
        ending: The signals that end the run.

    Raises:
        GomrError: The error that ended the run.
    """
    run = Lifecycle(prepared, OneProcess(prepared.store, program, ending), progress)
    try:
        return run.run()
    finally:
        progress.close()


class OneProcess:
    """The runtime of a run that is this process."""

    def __init__(self, folder: str, program: Program, ending: Ending) -> None:
        """folder: of the run alone, which goes with it."""
        self._folder = Path(folder)
        self._program = program
        self._ending = ending

    def open_store(self) -> DirectoryStore:
        return DirectoryStore(self._folder / "store")

    def claim(self, prepared: Prepared, store: Callable[[], Store]) -> Hold:
        return Unclaimed()

    def claims_output(self, prepared: Prepared) -> bool:
        return True

    def start(self, store: Store, prepared: Prepared) -> InlineRun:
        scratch = self._folder / "scratch"
        scratch.mkdir()
        files = prepared.worker.program
        write_folder(self._folder / "program", files)
        fresh = partial(Loader(files, self._folder / "program").fresh, prepared.job.worker_name)
        description = replace(self._program.description, worker_sha256=files.sha256)
        program = replace(self._program, description=description)
        return InlineRun(prepared.job, program, store, scratch, self._ending, fresh)


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
    """The tasks of one job, one after the other, each with a program of its own: a `RunHandle`
    whose events are what its caller lets it do."""

    def __init__(
        self,
        job: JobSpec,
        program: Program,
        store: Store,
        scratch: Path,
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
        self.summary: Summary | None = None
        self._cancelled = ""
        self._monitors: dict[str, list[int]] = {}
        self._began = time.monotonic()
        self._phases: dict[str, float] = {}
        self._plan = make_plan(job, program.description)
        self._going = self._run()

    def events(self) -> Iterator[RunEvent]:
        """Run the tasks, and tell of each. Raises the GomrError that ends the run."""
        return self._going

    def result(self) -> Summary:
        """Run the tasks that are left; the parts lie in the store afterwards."""
        for _ in self.events():
            pass
        if self.summary is None:  # whoever took the events was told why
            raise JobFailed(f"run {self._job.run}: it ended before")
        self._ending.check()
        return self.summary

    def cancel(self, reason: str) -> None:
        """See `RunHandle.cancel`: this one ends before its next task."""
        self._cancelled = reason

    def interrupt(self) -> None:
        """See `RunHandle.interrupt`: the run is over."""

    def close(self) -> None:
        """See `RunHandle.close`: nothing outlives the run."""

    def _run(self) -> Iterator[RunEvent]:
        """Every phase in order."""
        plan, job = self._plan, self._job
        description = plan.description
        has_sample = description.partitioner == "total_order"
        tasks = {"sample": 1, "map": len(plan.splits), "reduce": job.reducers}
        for phase in undisturbed(sample=has_sample, map_only=description.map_only):
            if phase is Phase.SEAL:
                self._store.put(layout.maps(job.run), encode_maps(self.books.map_outputs()))
            else:
                kind = KIND_OF_PHASE[phase]
                yield from self._phase(kind, tasks[kind])
        self._check_late()
        self.books.check(description)
        totals = self.books.totals()
        aside, parts = self.books.set_aside(), self._parts()
        made = promote(self._store, job.run, parts, totals.ledger, totals.counters, set_aside=aside)
        seconds = time.monotonic() - self._began
        effort = Effort(len(self.books.committed), 0, 1, seconds, self._phases)
        self.summary = summarise(job, None, plan, self.books, made, effort)

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

    def _phase(self, kind: TaskKind, tasks: int) -> Iterator[RunEvent]:
        began = time.monotonic()
        total = self.books.total(kind, self._plan)
        for index in range(tasks):
            self._ending.check()
            if self._cancelled:
                raise Cancelled(self._cancelled)
            self._task(kind, index)
            done, running = self.books.done(kind), int(index + 1 < tasks)
            yield _State(kind, tasks, index + 1, done, total, running)
        self._phases[kind] = time.monotonic() - began

    def _task(self, kind: TaskKind, index: int) -> None:
        task = TaskSpec(
            run=self._job.run,
            kind=kind,
            index=index,
            attempt=1,
            nonce="inline",
            ranges=self._plan.ranges_of(TaskId(kind, index)),
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

    def _keep(self, task: TaskSpec, file: ResultFile) -> ResultFile:
        key = layout.attempt_data(task, file.role)
        self._store.put_file(key, Path(file.path))
        return replace(file, key=key)


def _failure(error: GomrError, found: TaskFailure, task: TaskSpec) -> Failure:
    """What programs are told of the failed task."""
    return Failure(found.kind, str(error), task.name, task.attempt, found.place, found.frames)
