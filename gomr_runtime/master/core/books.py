"""What the committed attempts of a run add up to. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

from gomr_runtime.errors import JobFailed, LedgerMismatch
from gomr_runtime.laws.books import Facts, check_books
from gomr_runtime.laws.columns import Unified, unified, untyped
from gomr_runtime.laws.results import FIRST
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.model.ids import TaskId
from gomr_runtime.model.inputs.file_table import size_of
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import JobDescription, JobSpec
from gomr_runtime.model.output_formats import OUTPUT_FORMATS, bad_name, part_name
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import (
    BadRecord,
    ColumnType,
    Ledger,
    MapOutput,
    Place,
    ResultFile,
    TaskKind,
    TaskResult,
    sum_of,
)

MOST_COUNTERS = 1_000
"""Names of counters in a run: its summary lists them all."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over committed attempts; peak_rss is the largest, in bytes. profile: seconds by kind of
    work, by kind of task; empty unless it was asked for."""

    ledger: Ledger
    counters: dict[str, int]
    bad_records: tuple[BadRecord, ...]
    cpu_seconds: float
    peak_rss: int
    profile: dict[str, dict[str, float]]


class Books:
    """The committed manifest of every task that has one."""

    def __init__(self, job: JobSpec) -> None:
        self.job = job
        self.committed: dict[TaskId, Manifest] = {}
        self._read: Counter[str] = Counter()
        self._types = Unified()
        self._set_aside = 0
        self._total: dict[TaskKind, int] = {}
        self._counters: set[str] = set()  # the names of all
        self._examples: dict[int, tuple[BadRecord, ...]] = {}  # of bad records, by map task

    def enter(self, manifest: Manifest) -> None:
        """Once for each task; a second manifest of the same task changes nothing, unless it is of
        a later generation: then it takes the place of the first. JobFailed when the task, run
        again, did not do the same."""
        task = manifest.attempt.task
        earlier = self.committed.get(task)
        if earlier is not None:
            if earlier.generation >= manifest.generation:
                return
            _check_same(earlier, manifest)
            self._count(earlier, -1)
        self._counters.update(manifest.result.counters)
        if len(self._counters) > MOST_COUNTERS:
            raise JobFailed(
                f"more than {MOST_COUNTERS:,} counters in the whole run, such as "
                f"{min(manifest.result.counters)!r}: emit what is counted by data instead"
            )
        manifest = self._without_examples(manifest)
        self.committed[task] = manifest
        self._count(manifest, 1)
        for file in _part_files(manifest.result):
            self._types.add(self._part_name(task), file.columns)

    def _without_examples(self, manifest: Manifest) -> Manifest:
        """Of all tasks together only so many bad records are kept in memory, those of the first
        tasks."""
        examples = manifest.result.bad_records
        if not examples:
            return manifest
        self._examples[manifest.attempt.task.index] = examples
        while (
            sum(map(len, self._examples.values()))
            - len(self._examples[last := max(self._examples)])
            >= FIRST
        ):
            del self._examples[last]
        return dataclasses.replace(
            manifest, result=dataclasses.replace(manifest.result, bad_records=())
        )

    def _first_bad(self) -> list[BadRecord]:
        return [bad for _, several in sorted(self._examples.items()) for bad in several][:FIRST]

    def _count(self, manifest: Manifest, sign: int) -> None:
        kind, ledger = manifest.attempt.task.kind, manifest.result.ledger
        self._read[kind] += sign * (ledger.reduce_in if kind == "reduce" else ledger.bytes_read)
        self._set_aside += sign * (ledger.set_aside if kind == "map" else 0)

    def done(self, kind: TaskKind) -> int:
        """Bytes of input (sample, map) or pairs (reduce) of the committed tasks."""
        return self._read[kind]

    def of(self, kind: TaskKind) -> list[Manifest]:
        """The manifests of one kind in task order."""
        found = [manifest for task, manifest in self.committed.items() if task.kind == kind]
        found.sort(key=lambda manifest: manifest.attempt.task.index)
        return found

    def too_many_bad(self, result: TaskResult, task: TaskId | None = None) -> JobFailed | None:
        """The end of the run, if committing `result` sets aside more records than allowed. task:
        whose result it is; what that set aside before, in an earlier generation, does not count."""
        allowed = self.job.skip_bad_records
        if self._set_aside + result.ledger.set_aside <= allowed:
            return None
        others = [manifest for manifest in self.of("map") if manifest.attempt.task != task]
        set_aside = sum(manifest.result.ledger.set_aside for manifest in others)
        if set_aside + result.ledger.set_aside <= allowed:
            return None
        known = dict(self._examples)
        if task is not None:
            known.pop(task.index, None)
        bad = [bad for _, several in sorted(known.items()) for bad in several]
        first = [*bad, *result.bad_records][:3]
        error = JobFailed(
            f"more than {allowed} bad records (--skip-bad-records {allowed}); "
            f"the first: {_where(first[0]) if first else 'unknown'}",
            detail="\n".join(map(_where, first)),
        )
        if first:
            place = Place(first[0].source, first[0].offset, first[0].record)
            error.failure = dataclasses.replace(error.failure, record=place)
        return error

    def mixed_types(self, result: TaskResult, task: TaskId) -> JobFailed | None:
        """The end of the run, if a column of the part in `result` has another type than those of
        the parts committed so far."""
        for file in _part_files(result):
            if refusal := self._types.refusal(self._part_name(task), file.columns):
                return JobFailed(refusal)
        return None

    def total(self, kind: TaskKind, plan: Plan) -> int:
        """Bytes of input (sample, map) or pairs (reduce, once the maps are sealed) in all tasks."""
        if kind not in self._total:
            if kind == "reduce":
                total = sum(manifest.result.ledger.written for manifest in self.of("map"))
            else:
                files = self.job.files
                total = Pieces(files, plan.sample).size if kind == "sample" else size_of(files)
            self._total[kind] = total
        return self._total[kind]

    def map_outputs(self) -> list[MapOutput]:
        outputs = []
        for manifest in self.of("map"):
            file = _file(manifest, "map")
            outputs.append(
                MapOutput(manifest.attempt.task.index, file.key, file.size, file.index_bytes)
            )
        return outputs

    def cuts_key(self) -> str:
        """Where the sample task put the cut points; "" without a sample."""
        sample = self.committed.get(TaskId("sample", 0))
        return _file(sample, "cuts").key if sample else ""

    def parts(self, description: JobDescription) -> list[Part]:
        """The parts of the output in order, `key` being where the attempt put each."""
        kind: TaskKind = "map" if description.map_only else "reduce"
        parts = []
        for manifest in self.of(kind):
            file = _file(manifest, "part")
            name = self._part_name(manifest.attempt.task)
            parts.append(Part(name, file.key, file.size, file.records, file.sha256))
        return parts

    def _part_name(self, task: TaskId) -> str:
        return part_name(task.index, self.job.output_format)

    def types(self, description: JobDescription) -> tuple[ColumnType, ...]:
        """The type of each column in all parts. JobFailed where there are two."""
        kind: TaskKind = "map" if description.map_only else "reduce"
        return unified(
            (self._part_name(manifest.attempt.task), _file(manifest, "part").columns)
            for manifest in self.of(kind)
        )

    def untyped(self, description: JobDescription) -> tuple[Part, ...]:
        """The parts that are to be stored again, since a column of theirs lacks its type."""
        if not OUTPUT_FORMATS[self.job.output_format].one_schema:
            return ()
        kind: TaskKind = "map" if description.map_only else "reduce"
        columns = [_file(manifest, "part").columns for manifest in self.of(kind)]
        parts = self.parts(description)
        return tuple(parts[number] for number in untyped(columns, self.types(description)))

    def set_aside(self) -> list[Part]:
        """The files with the records that map tasks set aside, in order."""
        return [
            Part(
                bad_name(manifest.attempt.task.index),
                file.key,
                file.size,
                file.records,
                file.sha256,
            )
            for manifest in self.of("map")
            for file in manifest.result.files
            if file.role == "bad"
        ]

    def totals(self) -> Totals:
        results = [manifest.result for manifest in self.of("map") + self.of("reduce")]
        every = [manifest.result for manifest in self.committed.values()]
        counters: Counter[str] = Counter()
        for result in results:
            if result.counters:
                counters.update(result.counters)
        return Totals(
            ledger=sum_of(result.ledger for result in results),
            counters=dict(counters),
            bad_records=tuple(self._first_bad()),
            cpu_seconds=sum(result.cpu_seconds for result in every),
            peak_rss=max((result.peak_rss for result in every), default=0),
            profile=self._profile() if self.job.profile else {},
        )

    def _profile(self) -> dict[str, dict[str, float]]:
        found: dict[str, Counter[str]] = {}
        for task, manifest in sorted(self.committed.items()):
            found.setdefault(task.kind, Counter()).update(manifest.result.profile)
        return {kind: dict(seconds) for kind, seconds in found.items()}

    def check(self, description: JobDescription) -> None:
        """LedgerMismatch unless the books balance; JobFailed where parts have different types."""
        facts = Facts(
            map_only=description.map_only,
            input_bytes=size_of(self.job.files),
            part_records=sum(part.records for part in self.parts(description)),
        )
        if differences := check_books(self.totals().ledger, facts):
            raise LedgerMismatch(
                f"run {self.job.run}: the books do not balance: {differences[0]}; no output was "
                "made. This is a defect of GoMR, please report it",
                detail="\n".join(differences),
            )
        self.types(description)


def _part_files(result: TaskResult) -> list[ResultFile]:
    return [file for file in result.files if file.role == "part"]


def _file(manifest: Manifest, role: str) -> ResultFile:
    for file in manifest.result.files:
        if file.role == role:
            return file
    raise LedgerMismatch(f"{manifest.attempt}: committed without a {role} file; run again")


def _check_same(before: Manifest, after: Manifest) -> None:
    """JobFailed unless reducers that read either read the same number of pairs."""
    old, new = before.result.ledger.written, after.result.ledger.written
    if old != new:
        raise JobFailed(
            f"{after.attempt.task} ran again because its stored output was damaged, and wrote "
            f"{new:,} pairs instead of {old:,}: its code does not do the same each time; run the "
            "job again"
        )


def _where(bad: BadRecord) -> str:
    return f"{bad.source}, offset {bad.offset}: {bad.cause}"
