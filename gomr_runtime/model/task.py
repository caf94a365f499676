"""What a task is asked for and what it answers. Plain values that travel as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

from gomr_runtime.codec.wire_types import (
    Count,
    Counters,
    Few,
    Index,
    IndexOrNone,
    Kinds,
    Many,
    Name,
    Nonce,
    Number,
    RunName,
    Seconds,
    Sha256,
    Text,
    Total,
    UserCount,
    Word,
)
from gomr_runtime.model.inputs.files import FileRange

TaskKind = Literal["sample", "map", "reduce"]


@dataclass(frozen=True, slots=True)
class MapOutput:
    """A committed map attempt as reducers read it: one object with an index of its partitions.

    The last `index_bytes` of the object `key` are the partition index.
    """

    task: Index
    key: Name
    size: Count
    index_bytes: Count

    def violation(self) -> str:
        """What is wrong with an output that was received; "" for nothing."""
        return "" if self.index_bytes <= self.size else "an index that is longer than its object"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One attempt of one task, complete: a worker needs nothing else but the worker file.

    ranges: the input of a sample or map task, in input order. maps_key: for a reduce, the store
    object that lists every committed `MapOutput` in task order. cuts_key: with total order, the
    store object with the reducers' cut points ("" for a sample task and other partitioners).
    skipped: record numbers, counted from 0 within this task, that earlier attempts proved bad.
    """

    run: RunName
    kind: TaskKind
    index: Index
    attempt: Index
    nonce: Nonce
    ranges: Many[FileRange] = ()
    maps_key: Name = ""
    cuts_key: Name = ""
    reducers: Index = 1
    skipped: Many[Count] = ()

    @property
    def name(self) -> str:
        """The task as people see it: `map-3`."""
        return f"{self.kind}-{self.index}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts of records and bytes; the books of a run are the sums over committed attempts.

    read: records and bytes taken from the input (for `chunk`, records are lines). mapped: records
    given to the mapper. skipped: empty jsonl lines. set_aside: bad records. map_out: pairs
    emitted. combine_in and combine_out: pairs into and out of combining. written: pairs in the
    partitions of the map output. reduce_in: pairs read by reducers; reduce_groups: keys;
    reduce_out: records in the parts.
    """

    records_read: Total = 0
    bytes_read: Total = 0
    mapped: Total = 0
    skipped: Total = 0
    set_aside: Total = 0
    map_out: Total = 0
    combine_in: Total = 0
    combine_out: Total = 0
    written: Total = 0
    written_bytes: Total = 0
    reduce_in: Total = 0
    reduce_groups: Total = 0
    reduce_out: Total = 0

    def __add__(self, other: Ledger) -> Ledger:
        return sum_of((self, other))


FIELDS_OF_LEDGER = dataclasses.fields(Ledger)
_counts = attrgetter(*(field.name for field in FIELDS_OF_LEDGER))


def sum_of(ledgers: Iterable[Ledger]) -> Ledger:
    """All counts added up."""
    return Ledger(*map(sum, zip(*map(_counts, ledgers), strict=True)))


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column of a csv or parquet part holds.

    name: `key` or `value`. type: the name of the cells' Python type, "" while all are None. key:
    the key of the first pair with a cell of that type, as people read it.
    """

    name: Word
    type: Word = ""
    key: Text = ""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file an attempt made in its scratch folder, to be published by the supervisor.

    role: `map` (map output), `cuts` (sample), `part` (a part of the final output) or `bad` (the
    records a map task set aside). columns: of a part whose format has a type for each.
    """

    role: Literal["map", "cuts", "part", "bad"]
    path: Name
    size: Count
    sha256: Sha256
    records: Count
    index_bytes: Count = 0
    key: Name = ""  # filled in once it is published
    columns: Few[ColumnType] = ()


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was set aside: where it is and why (`detail` is the user's traceback)."""

    source: Name
    offset: Count
    record: Count
    cause: Text
    detail: Text = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a successful attempt did.

    bad_records: the first few of those set aside. `peak_rss` is in bytes, times in seconds.
    profile: where the time went, by the kinds of `profile.KINDS`; empty unless it was asked for.
    """

    files: Few[ResultFile]
    ledger: Ledger
    counters: Counters[UserCount] = field(default_factory=dict)
    bad_records: Few[BadRecord] = ()
    cpu_seconds: Seconds = 0.0
    peak_rss: Count = 0
    profile: Kinds[Seconds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: the input's name, its offset in bytes there (uncompressed), and its
    number within its task, counted from 0."""

    source: Name
    offset: Count
    number: Count


@dataclass(frozen=True, slots=True)
class Frame:
    """One call in the user's own code when it raised."""

    file: Name
    line: Index
    function: Text
    code: Text


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """Why an attempt failed.

    kind: `user` (the mapper, reducer, ... raised or emitted something wrong), `data` (an input
    cannot be read), `crash` (the child died), `timeout` (no progress), `memory`, `storage`,
    `corrupt` (a stored block is wrong; `bad_map` names the map task), `worker` (the machine's
    fault). message: one line. detail: the user's traceback. retry: False when another attempt
    cannot end differently. record: the record in flight within the task, or -1. attempt, frames:
    as in `Failure`. place: of the record.
    """

    kind: Literal["user", "data", "crash", "timeout", "memory", "storage", "corrupt", "worker"]
    message: Text
    detail: Text = ""
    retry: bool = True
    record: Number = -1
    bad_map: IndexOrNone = -1
    # Not part of what failed: where and how it was seen.
    attempt: Index = field(default=0, compare=False)
    place: Place | None = field(default=None, compare=False)
    frames: Few[Frame] = field(default=(), compare=False)
