"""The three kinds of task, put together from the pieces of the dataflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit.emitter import Drain
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.input.decompress import window_of
from gomr_runtime.dataflow.input.open import check_unchanged, open_input
from gomr_runtime.dataflow.input.reader import offset_of_record, read_blocks
from gomr_runtime.dataflow.limits import budget_of
from gomr_runtime.dataflow.map.combine import (
    Collector,
    GroupFold,
    PassOn,
    SumFold,
    aggregate_function,
)
from gomr_runtime.dataflow.map.map_task import MapTask
from gomr_runtime.dataflow.map.native_emit import Direct, direct_emit
from gomr_runtime.dataflow.map.set_aside import SetAside
from gomr_runtime.dataflow.map.user_combiner import UserCombine
from gomr_runtime.dataflow.output.column_types import CheckPair
from gomr_runtime.dataflow.output.native_text import DirectText, direct_text
from gomr_runtime.dataflow.output.part import PartWriter
from gomr_runtime.dataflow.pairs.pair_batch import check_ones, check_pairs
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.reduce.fan_in import Group, StoredRun, grouped
from gomr_runtime.dataflow.reduce.reduce_task import ReduceTask
from gomr_runtime.dataflow.scratch import HashedFile
from gomr_runtime.dataflow.shuffle.cut_points import read_cuts, write_cuts
from gomr_runtime.dataflow.shuffle.gather import Gatherer, RunWriter
from gomr_runtime.dataflow.shuffle.partition_law import in_own_partition
from gomr_runtime.dataflow.shuffle.partitioner import (
    CutPartitioner,
    HashPartitioner,
    KeySample,
    Partitioner,
    UserPartitioner,
    choose_cuts,
)
from gomr_runtime.dataflow.task_context import law_of, task_context
from gomr_runtime.errors import CorruptBlock, DataError
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.files import Piece
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.map_list import decode_maps
from gomr_runtime.model.monitor import TOTAL, Monitor
from gomr_runtime.model.output_formats import OutputFormatName, part_name
from gomr_runtime.model.run_index import decode_partition
from gomr_runtime.model.task import Ledger, MapOutput, ResultFile, TaskResult, TaskSpec
from gomr_runtime.user_code.program import Program

NewPart = Callable[[OutputFormatName, str, HashedFile], PartWriter]
"""(output format, file name, file) to the part's writer; `PartWriter`, or what also keeps the
pairs for a test."""


def map_shuffled(
    task: TaskSpec, job: JobSpec, program: Program, blobs: Blobs, scratch: Path, monitor: Monitor
) -> TaskResult:
    """A map task whose pairs go to reducers: one file of sorted runs."""
    with (
        HashedFile(scratch / "map") as out,
        _set_aside(job, scratch) as aside,
        task_context(task, job, monitor) as ctx,
    ):
        writer = RunWriter(out, _partitioner(task, program, blobs))
        budget = budget_of(job.memory)
        gatherer = Gatherer(writer, budget)
        law = law_of(program)
        collector = _collector(program, ctx, gatherer, budget, law, task.name)

        def drain(keys: list[Any], values: list[Any]) -> None:
            for batch in check_pairs(keys, values, law):
                collector.add(batch)

        def count(keys: list[Any]) -> None:
            for batch in check_ones(keys, law):
                collector.add(batch)

        sums = isinstance(collector, SumFold) and law.values in (None, frozenset({int}))
        direct = direct_emit(collector, gatherer, writer, budget, law)
        count_keys = count if sums else None
        mapped = _map(
            task, job, program, ctx, blobs, drain, monitor, law, count_keys, direct, set_aside=aside
        )
        if direct is not None:
            direct.stop()
        mapped.emitter.while_busy(collector.finish)
        if direct is not None:
            mapped.emitter.while_busy(direct.finish)
        size, index_bytes = writer.finish()
        file = ResultFile("map", str(out.path), size, out.close(), writer.rows, index_bytes)
        ledger = _map_ledger(mapped) + Ledger(
            combine_in=collector.combine_in,
            combine_out=collector.combine_out,
            written=writer.rows,
            written_bytes=size - index_bytes,
        )
        return _result((file,), ledger, ctx, mapped)


def map_only(
    task: TaskSpec,
    job: JobSpec,
    program: Program,
    blobs: Blobs,
    scratch: Path,
    monitor: Monitor,
    new_part: NewPart = PartWriter,
) -> TaskResult:
    """A map task that writes a part of the output itself."""
    with (
        HashedFile(scratch / "part") as out,
        _set_aside(job, scratch) as aside,
        task_context(task, job, monitor) as ctx,
    ):
        part = new_part(job.output_format, part_name(task.index, job.output_format), out)
        text = direct_text(part)
        check = part.checker(adding=not job.skip_bad_records)
        law = law_of(program)
        read = task, job, program, ctx, blobs
        mapped = _map(*read, part.add, monitor, law, direct=text, set_aside=aside, check=check)
        if text is not None:
            text.finish()
        file = _part_file(part, out)
        ledger = _map_ledger(mapped) + Ledger(
            written=part.records, written_bytes=file.size, reduce_out=part.records
        )
        return _result((file,), ledger, ctx, mapped)


def sample(
    task: TaskSpec, job: JobSpec, program: Program, blobs: Blobs, scratch: Path, monitor: Monitor
) -> TaskResult:
    """The first pass for total order: cut points from the keys of a sample of the input."""
    seen = KeySample()
    law = law_of(program)

    def drain(keys: list[Any], values: list[Any]) -> None:
        for batch in check_pairs(keys, values, law):
            seen.add(batch.kind, batch.keys)

    with task_context(task, job, monitor) as ctx:
        mapped = _map(task, job, program, ctx, blobs, drain, monitor, law)
    with HashedFile(scratch / "cuts") as out:
        out.write(write_cuts(choose_cuts(seen.keys, job.reducers)))
        file = ResultFile("cuts", str(out.path), out.size, out.close(), len(seen.keys))
        # Its records are read again by the maps, so nothing of it goes into the books.
        del mapped
        return TaskResult((file,), Ledger())


def reduce(
    task: TaskSpec,
    job: JobSpec,
    program: Program,
    blobs: Blobs,
    scratch: Path,
    monitor: Monitor,
    new_part: NewPart = PartWriter,
) -> TaskResult:
    """A reduce task: the runs of one partition merged, reduced and written as a part."""
    runs = list(_runs(task, blobs))
    monitor[TOTAL] = sum(stored.run.rows for stored in runs)
    with HashedFile(scratch / "part") as out, task_context(task, job, monitor) as ctx:
        part = new_part(job.output_format, part_name(task.index, job.output_format), out)
        budget = budget_of(job.memory)
        text = direct_text(part)
        reducer = _reduce_task_type(program)(
            task.name,
            program,
            ctx,
            part.add,
            monitor,
            scratch,
            budget,
            text,
            part.checker(adding=True),
        )
        # Closed by name: what it has open goes while the scratch folder is there, also on errors.
        with closing(grouped(runs, blobs, scratch, budget)) as merged:
            groups: Iterator[Group] = merged
            if program.description.partitioner == "user":
                asked = _user_partitioner(task, program)
                groups = in_own_partition(groups, asked, task.index)
            reducer.run(groups)
        if text is not None:
            text.finish()
        file = _part_file(part, out)
        ledger = Ledger(
            reduce_in=reducer.rows, reduce_groups=reducer.groups, reduce_out=part.records
        )
        return TaskResult((file,), ledger, ctx.counters)


def _part_file(part: PartWriter, out: HashedFile) -> ResultFile:
    part.finish()
    sha256 = out.close()
    return ResultFile("part", str(out.path), out.size, sha256, part.records, columns=part.columns)


def _runs(task: TaskSpec, blobs: Blobs) -> Iterator[StoredRun]:
    try:
        outputs = decode_maps(_read_all(blobs, task.maps_key))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptBlock(f"{task.maps_key}: {error}") from None
    for output in outputs:
        where = f"map-{output.task}, partition {task.index} of {output.key}"
        try:
            runs = decode_partition(_read_index(blobs, output, where), task.index, where)
        except CorruptBlock as error:
            raise error.of_map(output.task) from None
        for run in runs:
            yield StoredRun(f"store:{output.key}", run, where, output.task)


def _read_index(blobs: Blobs, output: MapOutput, where: str) -> bytes:
    try:
        blob = blobs.open(f"store:{output.key}")
        try:
            return blob.read_at(output.size - output.index_bytes, output.index_bytes)
        finally:
            blob.close()
    except DataError as error:  # not the user's data: a committed object is gone
        raise CorruptBlock(f"{where} is missing: {error}") from None


def _set_aside(job: JobSpec, scratch: Path) -> SetAside:
    """Takes the bad records of a task, into a file where some are allowed."""
    return SetAside(scratch / "bad" if job.skip_bad_records else None)


def _map(
    task: TaskSpec,
    job: JobSpec,
    program: Program,
    ctx: Context,
    blobs: Blobs,
    drain: Drain,
    monitor: Monitor,
    law: PairLaw,
    count_keys: Callable[[list[Any]], None] | None = None,
    direct: Direct | DirectText | None = None,
    check: CheckPair | None = None,
    set_aside: SetAside | None = None,
) -> MapTask:
    format = program.description.format
    pieces = Pieces(job.files, task.ranges)

    def locate(piece: int, block_offset: int, in_block: int) -> int:
        blob = open_input(blobs, pieces[piece].file)
        try:
            return offset_of_record(
                pieces[piece],
                blob,
                format,
                block_offset,
                in_block,
                max_record=job.max_record,
                window=window_of(job.memory),
            )
        finally:
            blob.close()

    mapping = _map_task_type(program)(
        task.name,
        program,
        ctx,
        pieces,
        drain,
        monitor,
        locate,
        allowed_bad=job.skip_bad_records,
        known_bad=frozenset(task.skipped),
        law=law,
        direct=direct,
        attempt=task.attempt,
        check=check,
        set_aside=set_aside,
    )
    mapping.emitter.count_keys = count_keys
    monitor[TOTAL] = pieces.size
    mapping.run(_blocks(pieces, job, program, blobs))
    return mapping


def _map_task_type(program: Program) -> type[MapTask]:
    if not program.description.format.batches:
        return MapTask
    from gomr_runtime.dataflow.map.batch_map_task import BatchMapTask

    return BatchMapTask


def _reduce_task_type(program: Program) -> type[ReduceTask]:
    if program.delivery != "batch":
        return ReduceTask
    from gomr_runtime.dataflow.reduce.batch_reduce_task import BatchReduceTask

    return BatchReduceTask


def _blocks(
    pieces: Sequence[Piece], job: JobSpec, program: Program, blobs: Blobs
) -> Iterator[Block]:
    record_format, window = program.description.format, window_of(job.memory)
    for index, piece in enumerate(pieces):
        blob = open_input(blobs, piece.file)
        try:
            yield from read_blocks(
                index,
                piece,
                blob,
                record_format,
                job.max_record,
                window=window,
                keep=job.skip_bad_records > 0,
            )
            check_unchanged(blob, piece.file)
        finally:
            blob.close()


def _partitioner(task: TaskSpec, program: Program, blobs: Blobs) -> Partitioner:
    how = program.description.partitioner
    if how == "total_order":
        try:
            cuts = read_cuts(_read_all(blobs, task.cuts_key))
        except (TypeError, ValueError) as error:
            raise CorruptBlock(f"{task.cuts_key}: {error}") from None
        return CutPartitioner(cuts, task.reducers)
    if how == "user":
        return _user_partitioner(task, program)
    return HashPartitioner(task.reducers)


def _user_partitioner(task: TaskSpec, program: Program) -> UserPartitioner:
    function: Any = program.config.partitioner
    return UserPartitioner(function, task.reducers, task.name)


def _collector(
    program: Program, ctx: Context, gatherer: Gatherer, budget: int, law: PairLaw, task: str
) -> Collector:
    plan = program.combining
    if plan.function is not None:
        delivery = program.declared.combiner_delivery
        combine = UserCombine(plan.function, delivery, ctx, law, task)
        return GroupFold(gatherer, budget, combine)
    if plan.aggregate is None:
        return PassOn(gatherer)
    if plan.sums or plan.counts:
        return SumFold(gatherer, budget, plan.aggregate)
    return GroupFold(gatherer, budget, aggregate_function(plan.aggregate))


def _map_ledger(mapped: MapTask) -> Ledger:
    books = mapped.books
    return Ledger(
        records_read=books.records_read,
        bytes_read=books.bytes_read,
        mapped=books.mapped,
        skipped=books.skipped,
        set_aside=mapped.set_aside.count,
        map_out=mapped.emitter.emitted,
    )


def _result(
    files: tuple[ResultFile, ...], ledger: Ledger, ctx: Context, mapped: MapTask
) -> TaskResult:
    aside = mapped.set_aside
    return TaskResult(files + aside.finish(), ledger, ctx.counters, tuple(aside.first))


def _read_all(blobs: Blobs, key: str) -> bytes:
    try:
        blob = blobs.open(f"store:{key}")
        try:
            return blob.read_at(0, blob.size)
        finally:
            blob.close()
    except DataError as error:  # not the user's data: the run's own
        raise CorruptBlock(f"{key} is missing: {error}") from None
