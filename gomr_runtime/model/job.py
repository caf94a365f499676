"""What a job is, as plain values that travel as JSON: no behaviour, no I/O.

The client writes a `JobSpec` once; the worker file describes itself as a `JobDescription`; the
master turns both into `TaskSpec`s; every attempt answers with a `TaskResult`. What their fields may
hold when they are received is in the annotations (`wire_types`), and `typed_json` holds to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gomr_runtime.codec.wire_types import (
    Count,
    Index,
    Interval,
    ManyOrTable,
    Name,
    Params,
    Positive,
    RunName,
    Seconds,
    Sha256,
    Word,
)
from gomr_runtime.model.inputs.files import InputFile, TableRecord
from gomr_runtime.model.output_formats import OutputFormatName
from gomr_runtime.model.quantities import parse_duration, parse_size

DEFAULT_MEMORY, DEFAULT_MAX_RECORD, DEFAULT_TASK_TIMEOUT = "1GB", "64MiB", "10m"
MEMORY = parse_size(DEFAULT_MEMORY)
MAX_RECORD = parse_size(DEFAULT_MAX_RECORD)
TASK_TIMEOUT = parse_duration(DEFAULT_TASK_TIMEOUT)


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
