"""What a result or failure must be like beyond its types: that of the attempt it is reported for.

A supervisor holds its child to it, the master its workers: what breaks it is never committed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from gomr_runtime.laws.books import check_task
from gomr_runtime.laws.columns import SCALARS
from gomr_runtime.model.job import JobDescription, JobSpec
from gomr_runtime.model.output_formats import OUTPUT_FORMATS, OutputFormatName
from gomr_runtime.model.run_index import is_index_size
from gomr_runtime.model.task import Ledger, ResultFile, TaskFailure, TaskKind, TaskResult

MAX_COUNTERS: Final = 120
"""Names of counters of one task."""
FIRST: Final = 10
"""Bad records that a task shows; the file of those that it set aside has all."""
KINDS: Final = ("user", "emit", "sort", "store", "other")
"""Of work, in a profile: the user's functions; taking and checking pairs; sorting, partitioning
and merging; reading and writing; all else of a task, such as making records."""
MOST: Final = 2**53
"""Of each count of one task, so that the sums over all tasks stay numbers of every reader."""
LONGEST: Final = 1e9  # seconds of work of one task
COLUMN_TYPES: Final = frozenset({kind.__name__ for kind in SCALARS} | {""})


@dataclass(frozen=True, slots=True)
class Asked:
    """What an attempt was asked for, as far as its answer depends on it. maps: how many map tasks
    the run has."""

    kind: TaskKind
    map_only: bool
    reducers: int
    output_format: OutputFormatName
    profile: bool
    maps: int

    @property
    def role(self) -> str:
        """Of the one file that every such task makes."""
        if self.kind == "sample":
            return "cuts"
        return "part" if self.kind == "reduce" or self.map_only else "map"


def asked_of(kind: TaskKind, job: JobSpec, description: JobDescription, maps: int) -> Asked:
    """What a task of that kind is asked for in this run."""
    return Asked(kind, description.map_only, job.reducers, job.output_format, job.profile, maps)


def wrong_result(result: TaskResult, asked: Asked) -> str:
    """What is wrong with a result of the right types, in words; "" for nothing."""
    return (
        _wrong_files(result.files, asked)
        or _wrong_ledger(result, asked)
        or _wrong_bad_records(result, asked)
        or _wrong_rest(result, asked)
    )


def wrong_failure(failure: TaskFailure, asked: Asked) -> str:
    """What is wrong with a failure of the right types, in words; "" for nothing."""
    if failure.bad_map >= 0 and (failure.kind != "corrupt" or asked.kind != "reduce"):
        return f"a {failure.kind} failure of a {asked.kind} task blames map-{failure.bad_map}"
    if failure.bad_map >= asked.maps:
        return f"it blames map-{failure.bad_map}, and there are {asked.maps:,} maps"
    if failure.record >= 0 and asked.kind == "reduce":
        return f"a reduce task has no record {failure.record}"
    return ""


def _wrong_files(files: tuple[ResultFile, ...], asked: Asked) -> str:
    roles = sorted(file.role for file in files)
    if roles != [asked.role] and not (asked.kind == "map" and roles == sorted((asked.role, "bad"))):
        return f"files {', '.join(roles) or 'none'}: a {asked.kind} task makes {asked.role}"
    for file in files:
        if words := _wrong_file(file, asked):
            return f"file {file.role}: {words}"
    return ""


def _wrong_file(file: ResultFile, asked: Asked) -> str:
    if max(file.size, file.records) > MOST:
        return f"{file.size:,} bytes, {file.records:,} records"
    least = file.size if file.role == "map" else 0
    if file.index_bytes > least or (
        file.role == "map" and not is_index_size(file.index_bytes, asked.reducers)
    ):
        return f"an index of {file.index_bytes:,} bytes in {file.size:,}"
    typed = file.role == "part" and OUTPUT_FORMATS[asked.output_format].typed_columns
    if file.columns and not typed:
        return f"columns, which {asked.output_format} has none of"
    for column in file.columns:
        if column.type not in COLUMN_TYPES:
            return f"column {column.name}: type {column.type!r}"
    names = [column.name for column in file.columns]
    return f"a column {names[0]!r} twice" if len({*names}) < len(names) else ""


def _wrong_ledger(result: TaskResult, asked: Asked) -> str:
    ledger = result.ledger
    for field in fields(Ledger):
        if (count := getattr(ledger, field.name)) > MOST:
            return f"ledger.{field.name}: {count:,}"
    [made] = [file for file in result.files if file.role == asked.role]
    records = None if asked.kind == "sample" else made.records
    differences = check_task(ledger, asked.kind, records if asked.role == "part" else None)
    return f"its books do not balance: {differences[0]}" if differences else ""


def _wrong_bad_records(result: TaskResult, asked: Asked) -> str:
    examples, set_aside = result.bad_records, result.ledger.set_aside
    if len(examples) > min(FIRST, set_aside):
        return f"{len(examples):,} bad records told of, {set_aside:,} set aside"
    for file in result.files:
        if file.role == "bad" and file.records != set_aside:
            return f"a file with {file.records:,} bad records, {set_aside:,} set aside"
    return ""


def _wrong_rest(result: TaskResult, asked: Asked) -> str:
    if len(result.counters) > MAX_COUNTERS:
        return f"{len(result.counters):,} counters, at most {MAX_COUNTERS} belong there"
    wanted = set(KINDS) if asked.profile else set()
    if result.profile and result.profile.keys() != wanted:
        return f"a profile of {', '.join(sorted(result.profile))[:200]}"
    if max(result.cpu_seconds, *result.profile.values(), 0.0) > LONGEST:
        return f"{result.cpu_seconds:g} seconds of work"
    return ""
