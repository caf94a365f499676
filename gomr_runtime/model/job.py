"""What a job is, as plain values that travel as JSON: no behaviour, no I/O.

The client writes a `JobSpec` once; the worker file describes itself as a `JobDescription`; the
master turns both into `TaskSpec`s; every attempt answers with a `TaskResult`. What their fields may
hold when they are received is in the annotations (`wire_types`), and `typed_json` holds to it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from gomr_runtime.codec.fields import fields_of
from gomr_runtime.codec.wire_types import (
    Count,
    Counters,
    ExitCode,
    Few,
    Index,
    IndexOrNone,
    Interval,
    Kinds,
    Many,
    ManyOrTable,
    Name,
    Nonce,
    Number,
    Params,
    Positive,
    RunName,
    Seconds,
    Sha256,
    Text,
    Total,
    UserCount,
    UserTotal,
    Word,
)
from gomr_runtime.model.output_formats import OutputFormatName
from gomr_runtime.model.quantities import parse_duration, parse_size

TaskKind = Literal["sample", "map", "reduce"]
Compression = Literal["", "gzip", "bz2", "xz", "zstd"]

DEFAULT_MEMORY, DEFAULT_MAX_RECORD, DEFAULT_TASK_TIMEOUT = "1GB", "64MiB", "10m"
MEMORY = parse_size(DEFAULT_MEMORY)
MAX_RECORD = parse_size(DEFAULT_MAX_RECORD)
TASK_TIMEOUT = parse_duration(DEFAULT_TASK_TIMEOUT)


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input, in input order.

    source: the name the user sees (`ctx.source`). location: an absolute path, `s3://bucket/key`,
    or `store:<key>` for an object in the run's own store. size: bytes as stored. version: changes
    when the content may have changed (mtime and size of a file, the etag of an object). content:
    what it holds, where its first bytes say that it is no text, such as "a zip archive".
    """

    source: Name
    location: Name
    size: Count
    compression: Compression = ""
    version: Name = ""
    content: Word = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `[start, end)` of one input file; `end` is the file's size for a whole file."""

    file: InputFile
    start: Count
    end: Count

    def violation(self) -> str:
        """What is wrong with a piece that was received; "" for nothing."""
        if self.start <= self.end and (self.file.compression or self.end <= self.file.size):
            return ""
        return f"bytes {self.start} to {self.end} of {self.file.size} are no piece"


@dataclass(frozen=True, slots=True)
class FileRange:
    """Consecutive input files of a job, by their numbers: `first` from byte `start` on, `last` up
    to byte `end`, and all of those between. Of these, files without bytes count only where `empty`
    says so: where a file is one record. `Pieces` are the files in it."""

    first: Index
    start: Count
    last: Index
    end: Count
    empty: bool = False

    def violation(self) -> str:
        """What is wrong with a range that was received; "" for nothing."""
        if self.first < self.last or (self.first == self.last and self.start <= self.end):
            return ""
        return "it ends before it begins"


@dataclass(frozen=True, slots=True)
class TableRecord:
    """Where the files of a job are that are too many for `job.json`; see `file_table`.

    sha256: of the object, whose name it is. count: of files. size: of the object in bytes, of which
    the last `index_bytes` are its index.
    """

    sha256: Sha256
    count: Index
    size: Count
    index_bytes: Count

    def violation(self) -> str:
        """What is wrong with a record that was received; "" for nothing."""
        return "" if self.index_bytes <= self.size else "an index that is longer than its object"


@dataclass(frozen=True, slots=True)
class Format:
    """A record format by name (`chunk`, `lines`, `jsonl`, `csv`, `whole_file`, `raw_bytes`).

    batches: the mapper gets many records at once, as columns.
    """

    name: Word = "chunk"
    quoted_newlines: bool = True
    batches: bool = False


@dataclass(frozen=True, slots=True)
class JobDescription:
    """What the worker file says of itself; equal on all workers or the run is refused."""

    format: Format
    map_only: bool
    combiner: Word  # "", "user", or the name of a built-in
    reducer: Word  # "", "user", or the name of a built-in
    partitioner: Literal["hash", "user", "total_order"]
    value_type: Word  # "", "int", "float", "str", ...: what values are converted to at emit
    sort_values: bool
    worker_sha256: Sha256


def difference(one: JobDescription, other: JobDescription) -> str:
    """The first field in which two descriptions differ, in words; "" when they are equal."""
    for name in JobDescription.__slots__:
        if (a := getattr(one, name)) != (b := getattr(other, name)):
            return f"{name} is {a!r}, was {b!r}"
    return ""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What the client asks for; written once to `runs/<run>/job.json`.

    worker_sha256: of the program, the worker file and the modules beside it that it imports;
    see `ProgramFiles.sha256`.
    memory and max_record are in bytes, timeouts in seconds. `mappers` is the number of map tasks.
    first_epoch: of the first master since the run was started or resumed; `timeout` counts from it.
    backup_floor: seconds that an attempt must have run before it gets a backup.
    table: where the files are, in a job that is stored or sent without them.
    """

    run: RunName
    files: ManyOrTable[InputFile]
    workers: Index
    mappers: Index
    reducers: Index
    worker_sha256: Sha256
    worker_name: Name
    output_format: OutputFormatName = "text"
    params: Params = field(default_factory=dict)
    memory: Positive = MEMORY
    max_record: Positive = MAX_RECORD
    skip_bad_records: Count = 0
    task_timeout: Seconds = TASK_TIMEOUT
    timeout: Seconds | None = None
    keep: bool = False
    heartbeat: Interval = 2.0
    lease: Interval = 10.0
    max_attempts: Positive = 4
    max_lost: Positive = 16
    first_epoch: Positive = 1
    backups: bool = True
    backup_floor: Seconds = 30.0
    profile: bool = False
    table: TableRecord | None = None


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
class Failure:
    """What ended a run, as `--json` tells it.

    kind: a `TaskFailure.kind`, or what was wrong outside of tasks: `usage`, `books`, `permission`,
    `environment`, `deadline`, `conflict`, `cancelled`. message: one line. task: such as `map-3`,
    "" for none; attempt: its number, from 1. record: where it is, if it was one record. frames:
    the user's own calls, the innermost last.
    """

    kind: Word
    message: Text = ""
    task: Word = ""
    attempt: Index = 0
    record: Place | None = None
    frames: Few[Frame] = ()


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


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the output; `name` is its file name."""

    name: Name
    key: Name
    size: Count
    records: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished run as `Run.Summary`, `_SUCCESS` and `--json` tell it.

    bad_records: the first few of those set aside; set_aside: the files with all of them. Times are
    in seconds.
    """

    run: RunName
    state: Literal["succeeded", "failed", "cancelled"]
    exit_code: ExitCode = 0
    message: Text = ""
    detail: Text = ""
    parts: Many[Part] = ()
    ledger: Ledger = Ledger()
    counters: Counters[UserTotal] = field(default_factory=dict)
    bad_records: Few[BadRecord] = ()
    workers: Index = 0
    mappers: Index = 0
    reducers: Index = 0
    attempts: Count = 0
    lost_workers: Count = 0
    seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    peak_rss: Count = 0
    phases: Kinds[Seconds] = field(default_factory=dict)
    profile: Kinds[Kinds[Seconds]] = field(default_factory=dict)
    failure: Failure | None = None
    set_aside: Many[Part] = ()

    @property
    def files(self) -> tuple[Part, ...]:
        """Every file of the output: its parts, and those with the records set aside."""
        return self.parts + self.set_aside


def to_json(value: Any) -> bytes:
    """A dataclass above as compact, key-sorted JSON: equal values give equal bytes.

    ASCII: protobuf refuses the lone surrogates of file names and of what user code says.
    """
    return _to_json(value).encode()


_to_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=fields_of).encode
