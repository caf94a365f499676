"""Runs the real tasks of a job over pairs given in Python, one after the other, on real files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.api import formats
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow import stages
from gomr_runtime.dataflow.emit import emitter
from gomr_runtime.dataflow.execute import execute
from gomr_runtime.dataflow.map import native_emit
from gomr_runtime.dataflow.reduce import fan_in, groups, native_merge
from gomr_runtime.dataflow.shuffle import columns, gather, lists
from gomr_runtime.laws.books import Facts, check_books
from gomr_runtime.model.inputs.files import FileRange, InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.model.monitor import SLOTS
from gomr_runtime.model.task import Ledger, MapOutput, TaskKind, TaskResult, TaskSpec
from gomr_runtime.storage.local_blobs import LocalBlobs
from gomr_runtime.user_code.program import program_of

Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """The engine's constants, made small enough for a few pairs to take every path."""

    small_rows: int = 32_768
    frame_rows: int = 16_384
    frame_bytes: int = 512 * 1024
    giant_rows: int = 65_536
    giant_bytes: int = 8 << 20
    window_bytes: int = 2 << 20
    drain_pairs: int = 65_536
    budget: int = 64 << 20
    widest: int = 256

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module in (gather, fan_in, native_emit):
                patch.setattr(module, "SMALL_ROWS", self.small_rows)
            for module in (lists, columns, native_emit):
                patch.setattr(module, "TARGET_ROWS", self.frame_rows)
                patch.setattr(module, "TARGET_BYTES", self.frame_bytes)
            patch.setattr(native_merge, "WINDOW_ROWS", min(self.frame_rows, self.giant_rows))
            patch.setattr(native_merge, "WINDOW_BYTES", self.window_bytes)
            patch.setattr(groups, "GIANT_ROWS", self.giant_rows)
            patch.setattr(groups, "GIANT_BYTES", self.giant_bytes)
            patch.setattr(emitter, "MOST_PAIRS", self.drain_pairs)
            patch.setattr(emitter, "CHECK_PAIRS", min(self.drain_pairs, 4_096))
            patch.setattr(emitter, "LEAST_PAIRS", 1)
            patch.setattr(stages, "budget_of", lambda memory: memory)
            patch.setattr(fan_in, "MOST_RUNS", self.widest)
            patch.setattr(fan_in, "CURSOR_BYTES", 1)
            yield


@dataclass(slots=True)
class Outcome:
    """The parts' bytes in order, the books, and what the tasks said."""

    parts: list[bytes] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    results: list[TaskResult] = field(default_factory=list)

    @property
    def text(self) -> str:
        return b"".join(self.parts).decode()


class Job:
    """A job whose input has one line a record, `0`, `1`, ...; the mapper gets its number."""

    def __init__(
        self,
        folder: Path,
        config: MapReduceConfig,
        records: int,
        *,
        mappers: int = 1,
        reducers: int = 1,
        output_format: str = "text",
        skip: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.records = records
        self.mappers = mappers
        self.limits = limits or Limits()
        self.program = program_of(config, b"", "worker.py")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "input"
        path.write_bytes(b"".join(b"%d\n" % i for i in range(records)))
        self.file = InputFile("input", str(path), path.stat().st_size)
        self.spec = JobSpec(
            run="test",
            files=(self.file,),
            workers=1,
            mappers=mappers,
            reducers=reducers,
            worker_sha256="",
            worker_name="worker.py",
            output_format=output_format,  # type: ignore[arg-type]
            skip_bad_records=skip,
        )
        self.maps: list[MapOutput] = []

    def stored(self, name: str) -> Path:
        return self.folder / "store" / name

    def run(self) -> Outcome:
        outcome = Outcome()
        with self.limits.applied():
            if self.program.description.partitioner == "total_order":
                self.task("sample", 0, outcome)
            for index in range(self.mappers):
                self.task("map", index, outcome)
            if self.config.reducer is not None:
                self.reduce(outcome)
        facts = Facts(
            self.config.reducer is None,
            self.file.size,
            sum(f.records for r in outcome.results for f in r.files if f.role == "part"),
        )
        assert check_books(outcome.ledger, facts) == []
        return outcome

    def reduce(self, outcome: Outcome) -> None:
        self.stored("maps").write_bytes(encode_maps(self.maps))
        for index in range(self.spec.reducers):
            self.task("reduce", index, outcome)

    def task(self, kind: TaskKind, index: int, outcome: Outcome) -> None:
        task = TaskSpec(
            run="test",
            kind=kind,
            index=index,
            attempt=1,
            nonce="n",
            ranges=() if kind == "reduce" else (self._range(kind, index),),
            maps_key="maps",
            cuts_key="cuts-0",
            reducers=self.spec.reducers,
        )
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        self.stored("x").parent.mkdir(exist_ok=True)
        # A reducer's list of values must fit its budget: only the map side is made small.
        memory = self.limits.budget if kind != "reduce" else 64 << 20
        spec = replace(self.spec, memory=memory)
        result = execute(task, spec, self.program, LocalBlobs(self.stored), scratch, [0] * SLOTS)
        for file in result.files:
            key = f"{file.role}-{index}"
            if file.role == "part":
                outcome.parts.append(Path(file.path).read_bytes())
            if file.role == "map":
                self.maps.append(MapOutput(index, key, file.size, file.index_bytes))
            Path(file.path).rename(self.stored(key))
        assert list(scratch.iterdir()) == []
        outcome.ledger += result.ledger
        outcome.results.append(result)

    def _range(self, kind: TaskKind, index: int) -> FileRange:
        size = self.file.size
        if kind == "sample":
            return FileRange(0, 0, 0, size)
        return FileRange(0, index * size // self.mappers, 0, (index + 1) * size // self.mappers)


def emitting(records: Sequence[Sequence[Pair]]) -> Callable[[Context, str], None]:
    """A mapper that emits the pairs of the record whose number it gets."""

    def mapper(ctx: Context, line: str) -> None:
        for key, value in records[int(line)]:
            ctx.emit(key, value)

    return mapper


def config_of(records: Sequence[Sequence[Pair]], **fields: Any) -> MapReduceConfig:
    return MapReduceConfig(mapper=emitting(records), input=formats.lines, **fields)
