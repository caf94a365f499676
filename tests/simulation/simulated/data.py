"""The simulated job: every byte of its input is a record, and its output says where each went.

Record n is the n-th byte. A map writes its records' numbers into the partitions n % reducers, in
the real format; a reducer reads them back by the real code and writes them in order. So a record
that is lost, doubled or out of place shows in the output, and damage shows where it would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gomr_runtime.dataflow import stages
from gomr_runtime.dataflow.pairs.frames import encode_keys, encode_values, write_frame
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.reduce.fan_in import grouped
from gomr_runtime.dataflow.reduce.groups import Window
from gomr_runtime.dataflow.shuffle.cut_points import read_cuts, write_cuts
from gomr_runtime.errors import CorruptBlock, DataError
from gomr_runtime.master.core.plan import Plan as Splits
from gomr_runtime.model import layout
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.files import FileRange, InputFile
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.model.output_formats import part_name
from gomr_runtime.model.run_index import Run, encode_index
from gomr_runtime.model.task import Ledger, ResultFile, TaskResult, TaskSpec
from tests.simulation.swarm import LEASE, MAX_ATTEMPTS, MAX_LOST, Plan

RUN = "sim"
SHA = "0" * 64
BUDGET = 1 << 30
UNREAD = 16  # bytes at the start of a map output


def job_of(plan: Plan) -> JobSpec:
    """The job as its client writes it."""
    files = (InputFile("in", "/in", records_of(plan)),) if plan.maps else ()
    return JobSpec(
        run=RUN,
        files=files,
        workers=plan.workers,
        mappers=plan.maps,
        reducers=max(1, plan.reduces),
        worker_sha256=SHA,
        worker_name="worker.py",
        timeout=plan.deadline,
        lease=LEASE,
        max_attempts=MAX_ATTEMPTS,
        max_lost=MAX_LOST,
    )


def records_of(plan: Plan) -> int:
    return sum(2 + index % 3 for index in range(plan.maps))


def splits_of(plan: Plan, job: JobSpec) -> Splits:
    """How the job is cut up, the same for every master."""
    ranges, start = [], 0
    for index in range(plan.maps):
        end = start + 2 + index % 3
        ranges.append((FileRange(0, start, 0, end),))
        start = end
    description = JobDescription(
        format=Format(),
        map_only=plan.reduces == 0,
        combiner="",
        reducer="" if plan.reduces == 0 else "user",
        partitioner="total_order" if plan.sample else "hash",
        value_type="",
        sort_values=False,
        worker_sha256=SHA,
    )
    sample = (FileRange(0, 0, 0, job.files[0].size),) if plan.sample and job.files else ()
    return Splits(description, tuple(ranges), sample)


def expected_parts(plan: Plan) -> dict[str, bytes]:
    """Every part of the output, as one process would write it, by key."""
    if plan.reduces:
        every = range(records_of(plan))
        parts = [[n for n in every if n % plan.reduces == p] for p in range(plan.reduces)]
    else:
        parts = [list(_numbers(split)) for split in splits_of(plan, job_of(plan)).splits]
    prefix = layout.output_prefix(RUN)
    return {
        prefix + part_name(index, "text"): _part(numbers) for index, numbers in enumerate(parts)
    }


def sample(task: TaskSpec) -> tuple[TaskResult, bytes]:
    data = write_cuts([])
    file = ResultFile("cuts", "", len(data), hashlib.sha256(data).hexdigest(), 0)
    return TaskResult((_stored(task, file),), Ledger()), data


def mapped(task: TaskSpec, blobs: Blobs, map_only: bool) -> tuple[TaskResult, bytes]:
    """What a map task makes: the result and the bytes of its one file."""
    if task.cuts_key:
        _check_cuts(task, blobs)
    numbers = list(_numbers(task.ranges))
    count = len(numbers)
    ledger = Ledger(
        records_read=count,
        bytes_read=count,
        mapped=count,
        map_out=count,
        written=count,
        reduce_out=count if map_only else 0,
    )
    data, index_bytes = (_part(numbers), 0) if map_only else _partitions(numbers, task)
    role = "part" if map_only else "map"
    file = ResultFile(
        role,  # type: ignore[arg-type]
        "",
        len(data),
        hashlib.sha256(data).hexdigest(),
        count,
        index_bytes,
    )
    return TaskResult((_stored(task, file),), ledger, {"mapped": count}), data


def reduced(task: TaskSpec, blobs: Blobs) -> tuple[TaskResult, bytes]:
    """What a reduce task makes of the runs of its partition; CorruptBlock as in the real one."""
    runs = list(stages._runs(task, blobs))
    numbers: list[int] = []
    for window in grouped(runs, blobs, Path("/nowhere"), BUDGET):
        assert isinstance(window, Window)
        assert window.keys == window.values
        numbers.extend(window.keys)
    data = _part(numbers)
    count = len(numbers)
    file = ResultFile("part", "", len(data), hashlib.sha256(data).hexdigest(), count)
    ledger = Ledger(reduce_in=count, reduce_groups=count, reduce_out=count)
    return TaskResult((_stored(task, file),), ledger, {"reduced": count}), data


def _check_cuts(task: TaskSpec, blobs: Blobs) -> None:
    try:
        read_cuts(stages._read_all(blobs, task.cuts_key))
    except (ValueError, DataError) as error:
        raise CorruptBlock(f"{task.cuts_key}: {error}") from None


def _numbers(ranges: tuple[FileRange, ...]) -> Iterator[int]:
    for of in ranges:
        yield from range(of.start, of.end)


def _part(numbers: list[int]) -> bytes:
    return json.dumps(numbers).encode()


def _partitions(numbers: list[int], task: TaskSpec) -> tuple[bytes, int]:
    """A map output of sorted runs, and how many bytes its index takes at the end."""
    # No two attempts store the same bytes, so that it shows when one's key is written by another.
    data, index = task.nonce.encode(), []
    assert len(data) == UNREAD
    for partition in range(task.reducers):
        keys = [n for n in numbers if n % task.reducers == partition]
        columns = encode_keys(Kind.INT, keys), encode_values(Kind.INT, keys)
        frame = write_frame(Kind.INT, Kind.INT, len(keys), *columns, compress=False)
        index.append([Run(len(data), len(frame), len(keys), 16 * len(keys))] if keys else [])
        data += frame if keys else b""
    tail = encode_index(index)
    return data + tail, len(tail)


def _stored(task: TaskSpec, file: ResultFile) -> ResultFile:
    return replace(file, key=layout.attempt_data(task, file.role))
