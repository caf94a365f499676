"""The user's code, loaded: its functions, and what they say of the job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.config import MapReduceConfig, TotalOrder
from gomr_runtime.api.context import Context
from gomr_runtime.api.formats import BatchFormat, plain_format
from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import JobDescription
from gomr_runtime.user_code.annotations import VALUE_TYPES, Delivery, Types
from gomr_runtime.user_code.combine_plan import CombinePlan, combine_plan_of
from gomr_runtime.user_code.declared import Declared, declared, type_name


@dataclass(frozen=True, slots=True)
class Program:
    """A worker file's config, checked.

    declared: what its functions ask of the engine.
    combining: how values are combined before the shuffle.
    """

    config: MapReduceConfig
    description: JobDescription
    declared: Declared
    combining: CombinePlan
    path: str

    @property
    def delivery(self) -> Delivery:
        """How the reducer takes its values."""
        return self.declared.delivery


def program_of(config: object, source: bytes, path: str, *, any_record: bool = False) -> Program:
    """Check a config and describe its job.

    Args:
        config: what the worker file gave to `gomr.run`.
        source: what makes the program the one it is, see `ProgramFiles.manifest`.
        path: where the worker file is.
        any_record: leave the annotation of the mapper's record alone.

    Raises:
        UsageError: naming the field that is wrong.
    """
    if not isinstance(config, MapReduceConfig):
        raise UsageError(f"gomr.run takes a gomr.MapReduceConfig, not {type(config).__name__}")
    asked = declared(config, any_record=any_record)
    _check_aggregates(config)
    partitioner = _partitioner(config)
    sort_values = _sorts(config)
    if asked.delivery == "batch" and sort_values:
        raise UsageError(
            "a reducer of batches, (ctx, batch), takes no sort_values or sort_key: sort its batch"
        )
    combining = combine_plan_of(config)
    value_type = _value_type(combining, asked.values)
    if sort_values and _name(config.reducer) == "identity":
        config = replace(config, reducer=_each)
        asked = replace(asked, delivery="iterator")
    description = JobDescription(
        format=plain_format(config.input),
        map_only=config.reducer is None,
        combiner=_name(config.combiner),
        reducer=_name(config.reducer),
        partitioner=partitioner,
        value_type=value_type,
        sort_values=sort_values,
        worker_sha256=hashlib.sha256(source).hexdigest(),
    )
    program = Program(config, description, asked, combining, path)
    _check_schema(program)
    return program


def _check_schema(program: Program) -> None:
    """UsageError for a schema on which no record can be tried."""
    given = program.config.input
    if isinstance(given, BatchFormat) and given.schema is not None:
        from gomr_runtime.columns.record_columns import checked_schema

        checked_schema(given.schema, given.name, program.declared.map_frames)


def _value_type(combining: CombinePlan, values: Types) -> str:
    """The types of values by name, as descriptions have them; "number" where they are added up."""
    if combining.counts:  # whatever they are
        return ""
    if values is not None:
        return "|".join(type_name(kind) for kind in VALUE_TYPES if kind in values)
    return "number" if combining.numbers else ""


def _sorts(config: MapReduceConfig) -> bool:
    return config.sort_values or config.sort_key is not None


def _each(ctx: Context, key: Any, values: Iterator[Any]) -> None:
    """`gomr.identity` where the values come in an order of their own."""
    for value in values:
        ctx.emit(key, value)


def _check_aggregates(config: MapReduceConfig) -> None:
    for field in ("reducer", "combiner"):
        given = getattr(config, field)
        if isinstance(given, Aggregate) and given.name == "top" and not given.size:
            raise UsageError(f"MapReduceConfig({field}=gomr.top): name n, as in gomr.top(10)")
    if isinstance(config.combiner, Aggregate) and config.combiner.name in ("count", "identity"):
        raise UsageError(
            f"MapReduceConfig(combiner=gomr.{config.combiner}): it is a reducer only; "
            "counts are combined with gomr.sum"
        )
    if config.reducer is None and (config.combiner or config.partitioner or _sorts(config)):
        raise UsageError("a map-only job (reducer=None) takes no combiner, partitioner or sorting")


def _name(function: object) -> str:
    if function is None:
        return ""
    return str(function) if isinstance(function, Aggregate) else "user"


def _partitioner(config: MapReduceConfig) -> Literal["hash", "user", "total_order"]:
    if config.partitioner is None:
        return "hash"
    if isinstance(config.partitioner, TotalOrder):
        return "total_order"
    if not callable(config.partitioner):
        raise UsageError(
            f"MapReduceConfig(partitioner={config.partitioner!r:.80}): expected a function "
            "(key, n) -> int or gomr.total_order"
        )
    return "user"
