"""`python worker.py --input f`: the whole job in one process, so that a debugger stops in a mapper.

The tasks, their order, the commits and the books are those of a run with workers; only what a
crash of user code would survive elsewhere ends this process. With `--workers` the job goes to
local processes instead.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gomr_runtime import layout
from gomr_runtime.api import MapReduceConfig
from gomr_runtime.blobs import LocalBlobs
from gomr_runtime.dataflow.splits import plan_splits, sample_pieces
from gomr_runtime.errors import EXIT_SIGINT, GomrError, JobFailed, UsageError
from gomr_runtime.execution import SLOTS, execute, failure_of
from gomr_runtime.job import JobSpec, Piece, ResultFile, Summary, TaskKind, TaskResult, TaskSpec
from gomr_runtime.maps import encode_maps
from gomr_runtime.master.books import Books
from gomr_runtime.master.ending import Effort, summarise
from gomr_runtime.master.journal import Manifest, Plan
from gomr_runtime.options import RunOptions, parse
from gomr_runtime.prepare import Prepared, prepare
from gomr_runtime.profile import stored
from gomr_runtime.program import Program, program_of
from gomr_runtime.progress import Reporter, output_of, reporter, summary_json, summary_text
from gomr_runtime.publish import publish
from gomr_runtime.scheduler.events import AttemptId, TaskId
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.success import promote
from gomr_runtime.workerfile import WorkerFile


def main(config: MapReduceConfig, argv: Sequence[str]) -> int:
    """Run as the command line says; returns the exit code, having told the person why."""
    path = Path(getattr(sys.modules["__main__"], "__file__", None) or sys.argv[0])
    quiet = False
    try:
        options = parse(argv, inline=True, worker=str(path))
        quiet = options.quiet
        program = program_of(config, path.read_bytes(), str(path))
        check_skipping(program, options.skip_bad_records)
        if options.workers is not None:
            from gomr_runtime.local_job import run_local

            prepared = prepare(options)
            return report(run_local(prepared, reporter(quiet=quiet)), prepared)
        if options.resume:
            raise UsageError("--resume needs --workers: a run in one process keeps no data")
        prepared = prepare(replace(options, workers=1))
        check_dependencies(prepared.worker)
        return report(run_inline(prepared, program, reporter(quiet=quiet)), prepared)
    except GomrError as error:
        return complain(error)
    except KeyboardInterrupt:
        print("gomr: interrupted; nothing was published", file=sys.stderr)  # noqa: T201
        return EXIT_SIGINT


def report(summary: Summary, prepared: Prepared) -> int:
    """Tell how a successful run ended, on stdout only with --json."""
    options: RunOptions = prepared.options
    output = output_of(prepared.output)
    if options.json:
        print(summary_json(summary, output))  # noqa: T201
    elif not options.quiet:
        print(summary_text(summary, output), file=sys.stderr)  # noqa: T201
    return summary.exit_code


def complain(error: GomrError) -> int:
    """One line for the error, the user's own frames after it; returns the exit code."""
    print(f"gomr: {error}", file=sys.stderr)  # noqa: T201
    if error.detail:
        print(error.detail, file=sys.stderr)  # noqa: T201
    return error.exit_code


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


def check_skipping(program: Program, allowed: int) -> None:
    """UsageError when bad records are to be set aside where a record is a chunk of many lines."""
    if allowed and program.description.format.name == "chunk":
        raise UsageError(
            "--skip-bad-records needs records smaller than a chunk: use input=gomr.lines"
        )


def run_inline(prepared: Prepared, program: Program, progress: Reporter) -> Summary:
    """Run the job in this process and publish its output. Raises the GomrError that ended it."""
    folder = Path(tempfile.mkdtemp(prefix="gomr-inline-"))
    try:
        store = DirectoryStore(folder / "store")
        scratch = folder / "scratch"
        scratch.mkdir()
        summary = InlineRun(prepared.job, program, store, scratch, progress).run()
        publish(store, summary, prepared.output, prepared.options.overwrite)
        return summary
    finally:
        progress.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _State:
    """How far a phase is, for the reporter; bytes or pairs."""

    phase: str
    tasks: int
    committed: int
    done: int
    total: int
    running: int = 1
    failed_attempts: int = 0
    workers: int = 1


class InlineRun:
    """The tasks of one job, one after the other."""

    def __init__(
        self,
        job: JobSpec,
        program: Program,
        store: DirectoryStore,
        scratch: Path,
        progress: Reporter,
        run_task: Callable[..., TaskResult] = execute,
    ) -> None:
        """run_task: `execution.execute`, or what does the same and tells a test more."""
        self._run_task = run_task
        self._scratch = scratch
        self.books = Books(job)
        self._job = job
        self._program = program
        self._store = store
        self._progress = progress
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
        self.books.check(plan.description)
        totals = self.books.totals()
        parts = promote(
            self._store, job.run, self.books.parts(plan.description), totals.ledger, totals.counters
        )
        seconds = time.monotonic() - self._began
        effort = Effort(len(self.books.committed), 0, 1, seconds, self._phases)
        return summarise(job, None, plan, self.books, parts, effort)

    def _phase(self, kind: TaskKind, tasks: int) -> None:
        began = time.monotonic()
        total = self.books.total(kind, self._plan)
        for index in range(tasks):
            self._task(kind, index)
            self._progress.update(_State(kind, tasks, index + 1, self.books.done(kind), total))
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
        blobs = LocalBlobs(self._store.local_path)
        try:
            result = self._run_task(task, self._job, self._program, blobs, scratch, [0] * SLOTS)
        except GomrError:
            raise
        except Exception as error:  # noqa: BLE001  (a partitioner or a key function may raise anything)
            failure = failure_of(error, task)
            raise JobFailed(failure.message, detail=failure.detail) from None
        began = time.monotonic()
        files = tuple(self._keep(task, file) for file in result.files)
        result = stored(replace(result, files=files), time.monotonic() - began)
        too_many = self.books.too_many_bad(result)
        if too_many is not None:
            raise too_many
        self.books.enter(Manifest(1, AttemptId(TaskId(kind, index), 1), "inline", result))

    def _pieces(self, kind: TaskKind, index: int) -> tuple[Piece, ...]:
        if kind == "map":
            return self._plan.splits[index]
        return self._plan.sample if kind == "sample" else ()

    def _keep(self, task: TaskSpec, file: ResultFile) -> ResultFile:
        key = layout.attempt_data(task, file.role)
        self._store.put_file(key, Path(file.path))
        return replace(file, key=key)
