"""What a job is, as plain values that travel as JSON: no behaviour, no I/O.

The client writes a `JobSpec` once; the worker file describes itself as a `JobDescription`; the
master turns both into `TaskSpec`s; every attempt answers with a `TaskResult`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, TypeVar

from gomr_runtime.quantities import parse_duration, parse_size

TaskKind = Literal["sample", "map", "reduce"]
Compression = Literal["", "gzip", "bz2", "xz", "zstd"]

DEFAULT_MEMORY, DEFAULT_MAX_RECORD, DEFAULT_TASK_TIMEOUT = "1GB", "64MiB", "10m"
MEMORY = parse_size(DEFAULT_MEMORY)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input, in input order.

    source: the name the user sees (`ctx.source`). location: an absolute path, `s3://bucket/key`,
    or `store:<key>` for an object in the run's own store. size: bytes as stored. version: changes
    when the content may have changed (mtime and size of a file, the etag of an object). content:
    what it holds, where its first bytes say that it is no text, such as "a zip archive".
    """

    source: str
    location: str
    size: int
    compression: Compression = ""
    version: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `[start, end)` of one input file; `end` is the file's size for a whole file."""

    file: InputFile
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Format:
    """A record format by name (`chunk`, `lines`, `jsonl`, `csv`, `whole_file`, `raw_bytes`).

    batches: the mapper gets many records at once, as columns.
    """

    name: str = "chunk"
    quoted_newlines: bool = True
    batches: bool = False


@dataclass(frozen=True, slots=True)
class JobDescription:
    """What the worker file says of itself; equal on all workers or the run is refused."""

    format: Format
    map_only: bool
    combiner: str  # "", "user", or the name of a built-in
    reducer: str  # "", "user", or the name of a built-in
    partitioner: Literal["hash", "user", "total_order"]
    value_type: str  # "", "int", "float", "str", ...: what values are converted to at emit
    sort_values: bool
    worker_sha256: str


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
    """

    run: str
    files: tuple[InputFile, ...]
    workers: int
    mappers: int
    reducers: int
    worker_sha256: str
    worker_name: str
    output_format: Literal["text", "jsonl", "csv", "parquet"] = "text"
    params: dict[str, str] = field(default_factory=dict)
    memory: int = MEMORY
    max_record: int = parse_size(DEFAULT_MAX_RECORD)
    skip_bad_records: int = 0
    task_timeout: float = parse_duration(DEFAULT_TASK_TIMEOUT)
    timeout: float | None = None
    keep: bool = False
    heartbeat: float = 2.0
    lease: float = 10.0
    max_attempts: int = 4
    max_lost: int = 16
    first_epoch: int = 1
    backups: bool = True
    backup_floor: float = 30.0
    profile: bool = False


@dataclass(frozen=True, slots=True)
class MapOutput:
    """A committed map attempt as reducers read it: one object with an index of its partitions.

    The last `index_bytes` of the object `key` are the partition index.
    """

    task: int
    key: str
    size: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One attempt of one task, complete: a worker needs nothing else but the worker file.

    pieces: the input of a sample or map task, in input order. maps_key: for a reduce, the store
    object that lists every committed `MapOutput` in task order. cuts_key: with total order, the
    store object with the reducers' cut points ("" for a sample task and other partitioners).
    skipped: record numbers, counted from 0 within this task, that earlier attempts proved bad.
    """

    run: str
    kind: TaskKind
    index: int
    attempt: int
    nonce: str
    pieces: tuple[Piece, ...] = ()
    maps_key: str = ""
    cuts_key: str = ""
    reducers: int = 1
    skipped: tuple[int, ...] = ()

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

    records_read: int = 0
    bytes_read: int = 0
    mapped: int = 0
    skipped: int = 0
    set_aside: int = 0
    map_out: int = 0
    combine_in: int = 0
    combine_out: int = 0
    written: int = 0
    written_bytes: int = 0
    reduce_in: int = 0
    reduce_groups: int = 0
    reduce_out: int = 0

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

    name: str
    type: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file an attempt made in its scratch folder, to be published by the supervisor.

    role: `map` (map output), `cuts` (sample), `part` (a part of the final output) or `bad` (the
    records a map task set aside). columns: of a part whose format has a type for each.
    """

    role: Literal["map", "cuts", "part", "bad"]
    path: str
    size: int
    sha256: str
    records: int
    index_bytes: int = 0
    key: str = ""  # filled in once it is published
    columns: tuple[ColumnType, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was set aside: where it is and why (`detail` is the user's traceback)."""

    source: str
    offset: int
    record: int
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a successful attempt did.

    bad_records: the first few of those set aside. `peak_rss` is in bytes, times in seconds.
    profile: where the time went, by the kinds of `profile.KINDS`; empty unless it was asked for.
    """

    files: tuple[ResultFile, ...]
    ledger: Ledger
    counters: dict[str, int] = field(default_factory=dict)
    bad_records: tuple[BadRecord, ...] = ()
    cpu_seconds: float = 0.0
    peak_rss: int = 0
    profile: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: the input's name, its offset in bytes there (uncompressed), and its
    number within its task, counted from 0."""

    source: str
    offset: int
    number: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One call in the user's own code when it raised."""

    file: str
    line: int
    function: str
    code: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run, as `--json` tells it.

    kind: a `TaskFailure.kind`, or what was wrong outside of tasks: `usage`, `books`, `permission`,
    `environment`, `deadline`, `conflict`, `cancelled`. message: one line. task: such as `map-3`,
    "" for none; attempt: its number, from 1. record: where it is, if it was one record. frames:
    the user's own calls, the innermost last.
    """

    kind: str
    message: str = ""
    task: str = ""
    attempt: int = 0
    record: Place | None = None
    frames: tuple[Frame, ...] = ()


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
    message: str
    detail: str = ""
    retry: bool = True
    record: int = -1
    bad_map: int = -1
    # Not part of what failed: where and how it was seen.
    attempt: int = field(default=0, compare=False)
    place: Place | None = field(default=None, compare=False)
    frames: tuple[Frame, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the output; `name` is its file name."""

    name: str
    key: str
    size: int
    records: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished run as `Run.Summary`, `_SUCCESS` and `--json` tell it.

    bad_records: the first few of those set aside; set_aside: the files with all of them. Times are
    in seconds.
    """

    run: str
    state: Literal["succeeded", "failed", "cancelled"]
    exit_code: int = 0
    message: str = ""
    detail: str = ""
    parts: tuple[Part, ...] = ()
    ledger: Ledger = Ledger()
    counters: dict[str, int] = field(default_factory=dict)
    bad_records: tuple[BadRecord, ...] = ()
    workers: int = 0
    mappers: int = 0
    reducers: int = 0
    attempts: int = 0
    lost_workers: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    failure: Failure | None = None
    set_aside: tuple[Part, ...] = ()

    @property
    def files(self) -> tuple[Part, ...]:
        """Every file of the output: its parts, and those with the records set aside."""
        return self.parts + self.set_aside


def to_json(value: Any) -> bytes:
    """A dataclass above as compact, key-sorted JSON: equal values give equal bytes.

    ASCII: protobuf refuses the lone surrogates of file names and of what user code says.
    """
    return _to_json(value).encode()


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass above by name, those that are dataclasses as they are: for JSON
    encoders, which call this for each (`dataclasses.asdict` copies every string)."""
    return {name: getattr(value, name) for name in _names(type(value))}


_to_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=fields_of).encode


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    """The names of a dataclass's fields; TypeError for anything else."""
    if kind not in _NAMES:
        _NAMES[kind] = tuple(field.name for field in dataclasses.fields(kind))
    return _NAMES[kind]


def from_json(kind: type[T], data: bytes | str) -> T:
    """The dataclass `kind` from `to_json`'s bytes; ValueError for a missing or unknown field."""
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    return build(kind, json.loads(text))


_NESTED: dict[type, dict[str, type]] = {
    Piece: {"file": InputFile},
    JobDescription: {"format": Format},
    JobSpec: {"files": InputFile},
    TaskSpec: {"pieces": Piece},
    ResultFile: {"columns": ColumnType},
    TaskResult: {"files": ResultFile, "ledger": Ledger, "bad_records": BadRecord},
    Failure: {"record": Place, "frames": Frame},
    TaskFailure: {"place": Place, "frames": Frame},
    Summary: {
        "parts": Part,
        "set_aside": Part,
        "ledger": Ledger,
        "bad_records": BadRecord,
        "failure": Failure,
    },
}


def build(kind: type[T], fields: Any) -> T:
    """The dataclass `kind` from decoded JSON, checked against its field names."""
    if not isinstance(fields, dict):
        raise ValueError(f"{kind.__name__}: expected an object, got {type(fields).__name__}")
    if unknown := set(fields).difference(_names(kind)):
        raise ValueError(f"{kind.__name__}: unknown fields {sorted(unknown)}")
    values = dict(fields)
    for name, inner in _NESTED.get(kind, {}).items():
        if (given := values.get(name)) is not None:
            values[name] = (
                tuple(build(inner, item) for item in given)
                if isinstance(given, list)
                else build(inner, given)
            )
    for name, given in values.items():
        if isinstance(given, list):
            values[name] = tuple(given)
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
