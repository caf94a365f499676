"""A job, and what honest processes say of its tasks: the grammar's starting points."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gomr_runtime.codec.fields import to_json
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.model.run_index import encode_index
from gomr_runtime.model.task import (
    BadRecord,
    ColumnType,
    Frame,
    Ledger,
    Place,
    ResultFile,
    TaskFailure,
    TaskResult,
    TaskSpec,
)

RUN = "fuzz"
SHA = "0" * 64
DESCRIPTION = JobDescription(Format("lines"), False, "", "user", "hash", "", False, SHA)
RECORDS = 5  # of a task; one of them is bad


def job_of(folder: str = "/nowhere", output_format: str = "csv") -> JobSpec:
    """Four map tasks and two reduce tasks that may fail and lose workers as often as they like."""
    file = InputFile("in", f"{folder}/in", 4 * RECORDS)
    return JobSpec(
        RUN,
        (file,),
        workers=2,
        mappers=4,
        reducers=2,
        worker_sha256=SHA,
        worker_name="worker.py",
        output_format=output_format,  # type: ignore[arg-type]
        skip_bad_records=1000,
        max_attempts=10**6,
        max_lost=10**6,
    )


def contents(spec: TaskSpec) -> dict[str, bytes]:
    """The files of the task, by role."""
    if spec.kind == "reduce":
        return {"part": b"key,value\na,1\n"}
    if spec.kind == "sample":
        return {"cuts": b"cuts"}
    return {"map": b"rows" + encode_index([[], []]), "bad": b"{}\n"}


def result_of(spec: TaskSpec, scratch: Path | None = None) -> TaskResult:
    """What a task did. Its files are in `scratch`; None: they are in the store."""
    files = []
    for role, data in contents(spec).items():
        files.append(
            ResultFile(
                role,  # type: ignore[arg-type]
                str(scratch / role) if scratch else "",
                len(data),
                hashlib.sha256(data).hexdigest(),
                {"bad": 1, "part": 1, "map": RECORDS - 1, "cuts": 0}[role],
                len(data) - 4 if role == "map" else 0,
                "" if scratch else layout.attempt_data(spec, role),
                (ColumnType("key", "str", "a"), ColumnType("value")) if role == "part" else (),
            )
        )
    done = RECORDS - 1
    mapped = Ledger(RECORDS, RECORDS, done, 0, 1, done, done, done, done, 4, 0, 0, 0)
    ledger = mapped if spec.kind == "map" else Ledger()
    if spec.kind == "reduce":
        ledger = Ledger(reduce_in=2 * done, reduce_groups=1, reduce_out=1)
    bad = (BadRecord("in", 3, 1, "ValueError: no", "their frames"),) if spec.kind == "map" else ()
    return TaskResult(tuple(files), ledger, {"seen": 3}, bad, 0.5, 1 << 20)


def failure_of(spec: TaskSpec) -> TaskFailure:
    """Why a task failed."""
    return TaskFailure(
        "corrupt" if spec.kind == "reduce" else "user",
        "n.txt: no",
        "their frames",
        record=-1 if spec.kind == "reduce" else 1,
        bad_map=0 if spec.kind == "reduce" else -1,
        attempt=spec.attempt,
        place=Place("in", 3, 1),
        frames=(Frame("w.py", 3, "mapper", "1 / 0"),),
    )


def plain(value: object) -> Any:
    """As decoded JSON."""
    return json.loads(to_json(value))
