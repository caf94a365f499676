"""Unit tests of a worker file: whole jobs, or one call of a mapper or reducer, on the real engine.

    result = run_local(worker.config, "to be or not to be\\n")
    assert result.pairs == [("be", 2), ("not", 1), ("or", 1), ("to", 2)]

`run_local` cuts its input for several map tasks and several reducers, so that a worker that counts
on seeing everything in one task fails here and not in production. Each task, and each call of
`run_mapper` and `run_reducer`, finds globals, closures, class attributes and caches as they were
before, also what a test has patched, and what it changes in them is gone afterwards. To see what
happened, look at pairs and counters, hand in a `unittest.mock.Mock`, or let functions add to a
list, set, dict or number in a variable of the test function: these collect what all tasks add.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow import stages
from gomr_runtime.dataflow.execute import execute
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.map.map_task import MapTask
from gomr_runtime.dataflow.map.set_aside import read_set_aside
from gomr_runtime.dataflow.output.part import PartWriter, normal_keys
from gomr_runtime.dataflow.pairs.pair_batch import check_pairs, weight
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.pairs.values import freeze, thaw
from gomr_runtime.dataflow.reduce.groups import Window
from gomr_runtime.dataflow.reduce.reduce_task import ReduceTask
from gomr_runtime.dataflow.scratch import HashedFile
from gomr_runtime.dataflow.task_context import check_ctx, law_of
from gomr_runtime.errors import UsageError
from gomr_runtime.laws.compatibility import check_content, check_output_format, check_skipping
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import MEMORY, JobSpec
from gomr_runtime.model.monitor import SLOTS, Monitor
from gomr_runtime.model.output_formats import OutputFormatName
from gomr_runtime.model.task import BadRecord, Ledger, TaskResult, TaskSpec
from gomr_runtime.runs.inline import Fresh, InlineRun
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.system.signals import Ending
from gomr_runtime.user_code.loading import Loader, write_folder
from gomr_runtime.user_code.program import Program, program_of
from gomr_runtime.user_code.program_state import ProgramState
from gomr_runtime.user_code.worker_file import inspect_worker

__all__ = ["MemoryStore", "Pair", "Result", "config_of", "run_local", "run_mapper", "run_reducer"]

Pair = tuple[Any, Any]
Content = str | bytes
Inputs = Content | Path | Mapping[str, Content] | Sequence[Content]
Worker = MapReduceConfig | ModuleType | Path


@dataclass(frozen=True, slots=True)
class Result:
    """What a job made.

    pairs: (key, value) as Python values, part after part. parts: the bytes of each part. counters:
    the user's, summed. bad_records: what was set aside. ledger: the run's books, which balance.
    """

    pairs: list[Pair]
    parts: list[bytes]
    counters: dict[str, int]
    bad_records: tuple[BadRecord, ...]
    ledger: Ledger


def run_local(
    worker: Worker,
    inputs: Inputs,
    *,
    params: Mapping[str, str] | None = None,
    mappers: int = 3,
    reducers: int = 2,
    output_format: OutputFormatName = "text",
    skip_bad_records: int = 0,
    memory: int = MEMORY,
) -> Result:
    """Run a whole job in this process.

    worker: a config, a module (see `config_of`) or the path of a worker file. inputs: the content
    of one file named `input`; or contents by `ctx.source`; or several contents, named `input-0`
    and on; or the path of a file or directory. memory is in bytes. Raises the GomrError that the
    job ends with: `RecordFailed` for what user code raises, its frames in `detail`.
    """
    with tempfile.TemporaryDirectory(prefix="gomr-testing-") as name:
        folder = Path(name)
        fresh = _fresh(worker, folder / "program")
        with fresh() as program:
            check_skipping(program.description, skip_bad_records)
            check_output_format(program.description, output_format)
        job = JobSpec(
            run="test",
            files=_files(inputs, folder),
            workers=1,
            mappers=mappers,
            reducers=reducers,
            worker_sha256=program.description.worker_sha256,
            worker_name=Path(program.path).name,
            output_format=output_format,
            params=dict(params or {}),
            memory=memory,
            skip_bad_records=skip_bad_records,
        )
        check_content(program.description, job.files)
        return _run(job, program, fresh, folder)


def run_mapper(
    mapper: Callable[..., Any] | MapReduceConfig,
    record: object,
    *,
    params: Mapping[str, str] | None = None,
    source: str = "input",
) -> list[Pair]:
    """What one call of the mapper with `record` emits, in order, before any combining.

    With a config in the mapper's place, setup and finish run too and values are converted by its
    annotations. Raises RecordFailed when the mapper raises, or emits what cannot be emitted.
    """
    config = mapper if isinstance(mapper, MapReduceConfig) else MapReduceConfig(mapper=mapper)
    emitted: list[Pair] = []

    def drain(keys: list[Any], values: list[Any]) -> None:
        for i in range(len(keys)):
            check_pairs(keys[i : i + 1], values[i : i + 1], law)
        emitted.extend(zip(keys, map(thaw, values), strict=True))

    piece = Piece(InputFile(source, "", 0), 0, 0)
    ctx = Context(params or {}, "test/map-0/1")
    with _fresh(config, any_record=config is not mapper)() as program:
        law = law_of(program)
        task = MapTask("map-0", program, ctx, (piece,), drain, [0] * SLOTS, lambda *_: 0, law=law)
        try:
            task.run([Block(0, 0, 0, [record], 1, 0)])
            check_ctx(ctx, "map-0")
        finally:
            ctx.end()
    return emitted


def run_reducer(
    reducer: Callable[..., Any] | Aggregate | MapReduceConfig,
    key: object,
    values: Sequence[object],
    *,
    params: Mapping[str, str] | None = None,
) -> list[Pair]:
    """What the reducer emits for one key, `values` given as its annotation asks (list, Iterator).

    With a config in the reducer's place, setup, finish and sort_values count too. Raises
    RecordFailed when the reducer raises, BadPair for a key or values that no mapper could emit.
    """
    if not values:
        raise ValueError("a reducer is never called without values: give at least one")
    config = reducer
    if not isinstance(config, MapReduceConfig):
        config = MapReduceConfig(mapper=_no_mapper, reducer=config)
    emitted: list[Pair] = []

    def drain(keys: list[Any], out: list[Any]) -> None:
        emitted.extend(zip(keys, map(thaw, out), strict=True))

    ctx = Context(params or {}, "test/reduce-0/1")
    with _fresh(config)() as program:
        if program.description.reducer == "count":
            values = [1] * len(values)  # what map tasks make of them
        task = ReduceTask("reduce-0", program, ctx, drain, [0] * SLOTS, Path(), 1 << 29)
        try:
            task.run([_window(key, values, law_of(program))])
            check_ctx(ctx, "reduce-0")
        finally:
            ctx.end()
    return emitted


def config_of(worker: ModuleType | Path) -> MapReduceConfig:
    """The config of a worker: of an imported module, its one global that is a MapReduceConfig; of
    a file, what it hands to `gomr.run` (the file is executed as `__main__` is).

    Raises UsageError when there is none, or a module has several.
    """
    if isinstance(worker, ModuleType):
        found = [value for value in vars(worker).values() if isinstance(value, MapReduceConfig)]
        if len(found) != 1:
            raise UsageError(
                f"module {worker.__name__} has {len(found)} globals that are a MapReduceConfig, "
                "not one: pass the config, or Path(module.__file__) to run the file"
            )
        return found[0]
    with Loader(inspect_worker(worker).program).fresh(worker.name) as program:
        return program.config


def _fresh(worker: Worker, folder: Path | None = None, *, any_record: bool = False) -> Fresh:
    """What gives each task its program. folder: for the copy of a worker file. any_record: see
    `program_of`."""
    if isinstance(worker, Path):
        files = inspect_worker(worker).program
        if folder is not None:
            write_folder(folder, files)
        return partial(Loader(files, folder).fresh, worker.name)
    config = config_of(worker) if isinstance(worker, ModuleType) else worker
    program_of(config, b"", "worker.py", any_record=any_record)  # refuses what is no config
    return partial(_fresh_config, ProgramState(config), any_record=any_record)


@contextmanager
def _fresh_config(state: ProgramState, *, any_record: bool) -> Iterator[Program]:
    with state.fresh() as config:
        yield program_of(config, b"", "worker.py", any_record=any_record)


def _run(job: JobSpec, program: Program, fresh: Fresh, folder: Path) -> Result:
    store = DirectoryStore(folder / "store")
    scratch = folder / "scratch"
    scratch.mkdir()
    pairs: list[Pair] = []
    task = partial(_execute, partial(_CollectedPart, pairs))
    run = InlineRun(job, program, store, scratch, Ending(), fresh, task)
    summary = run.result()
    return Result(
        pairs,
        [store.get(part.key) for part in summary.parts],
        summary.counters,
        tuple(b for file in summary.set_aside for b in read_set_aside(store.get(file.key))),
        summary.ledger,
    )


class _CollectedPart(PartWriter):
    """A part that also keeps its pairs."""

    def __init__(
        self, pairs: list[Pair], output_format: OutputFormatName, name: str, file: HashedFile
    ) -> None:
        super().__init__(output_format, name, file)
        self._pairs = pairs

    def add(self, keys: list[Any], values: list[Any]) -> None:
        super().add(keys, values)
        self._pairs.extend(zip(normal_keys(keys), map(thaw, values), strict=True))


def _execute(
    new_part: stages.NewPart,
    task: TaskSpec,
    job: JobSpec,
    program: Program,
    blobs: Blobs,
    scratch: Path,
    monitor: Monitor,
) -> TaskResult:
    if task.kind == "reduce":
        return stages.reduce(task, job, program, blobs, scratch, monitor, new_part)
    if task.kind == "map" and program.description.map_only:
        return stages.map_only(task, job, program, blobs, scratch, monitor, new_part)
    return execute(task, job, program, blobs, scratch, monitor)


def _files(inputs: Inputs, folder: Path) -> Sequence[InputFile]:
    if isinstance(inputs, Path):
        if str(inputs).startswith("s3:/"):
            raise UsageError(
                f"{inputs}: run_local reads files of this machine, and none of a store"
            )
        return resolve([str(inputs)])
    if isinstance(inputs, str | bytes):
        inputs = {"input": inputs}
    elif not isinstance(inputs, Mapping):
        inputs = {f"input-{i}": content for i, content in enumerate(inputs)}
    files: list[InputFile] = []
    for i, (source, content) in enumerate(inputs.items()):
        path = folder / f"input-{i}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        files.append(replace(resolve([str(path)])[0], source=source))
    return tuple(files)


def _window(key: object, values: Sequence[object], law: PairLaw) -> Window:
    frozen = [freeze(value) for value in values]
    (batch,) = check_pairs([key] * len(values), frozen, law)
    return Window(
        batch.kind, batch.keys[:1], [0, len(values)], [*map(thaw, batch.values)], weight(batch)
    )


def _no_mapper(ctx: Context, record: object) -> None:
    """Stands where a config must have a mapper that is never called."""
