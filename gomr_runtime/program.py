"""The user's code, loaded: its functions, and what they say of the job."""

from __future__ import annotations

import collections.abc
import functools
import hashlib
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from gomr_runtime.aggregates import Aggregate
from gomr_runtime.api import MapReduceConfig, TotalOrder
from gomr_runtime.context import Context
from gomr_runtime.errors import UsageError
from gomr_runtime.formats import BatchFormat, plain_format
from gomr_runtime.job import JobDescription
from gomr_runtime.user_errors import describe

Delivery = Literal["list", "iterator", "batch"]
Frames = Literal["arrow", "polars"]

_VALUE_TYPES = (int, float, str, bytes, bool, list, tuple, dict)
_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)


@dataclass(frozen=True, slots=True)
class Program:
    """A worker file's config, checked. `delivery` is how the reducer takes its values,
    `combiner_delivery` how the combiner does; `map_frames` and `reduce_frames` are what batches are
    given as."""

    config: MapReduceConfig
    description: JobDescription
    delivery: Delivery
    combiner_delivery: Delivery
    path: str
    map_frames: Frames = "arrow"
    reduce_frames: Frames = "arrow"


def program_of(config: object, source: bytes, path: str) -> Program:
    """The config checked and described; UsageError naming the field that is wrong.

    source: what makes the program the one it is, see `ProgramFiles.manifest`.
    """
    if not isinstance(config, MapReduceConfig):
        raise UsageError(f"gomr.run takes a gomr.MapReduceConfig, not {type(config).__name__}")
    for field in ("mapper", "reducer", "combiner", "setup", "finish", "sort_key"):
        function = getattr(config, field)
        if not callable(function) and (function is not None or field == "mapper"):
            raise UsageError(f"MapReduceConfig({field}={function!r:.80}): expected a function")
    _check_aggregates(config)
    sort_values = _sorts(config)
    if sort_values and _name(config.reducer) == "identity":
        config = replace(config, reducer=_each)
    delivery, value_type = _annotation(config.reducer, "reducer")
    combiner_delivery, combined_type = _annotation(config.combiner, "combiner")
    _check_batches(config, delivery, combiner_delivery)
    if callable(config.combiner) and not isinstance(config.combiner, Aggregate):
        value_type = combined_type or value_type
    elif not value_type and "sum" in (_name(config.combiner), _name(config.reducer)):
        value_type = "number"  # nothing that could change after emit
    if _name(config.reducer) == "count":  # whatever they are
        value_type = ""
    description = JobDescription(
        format=plain_format(config.input),
        map_only=config.reducer is None,
        combiner=_name(config.combiner),
        reducer=_name(config.reducer),
        partitioner=_partitioner(config),
        value_type=value_type,
        sort_values=sort_values,
        worker_sha256=hashlib.sha256(source).hexdigest(),
    )
    program = Program(
        config,
        description,
        delivery,
        combiner_delivery,
        path,
        (description.format.batches and _frames(config.mapper, "mapper")) or "arrow",
        (delivery == "batch" and _frames(config.reducer, "reducer")) or "arrow",
    )
    _check_schema(program)
    return program


def _check_schema(program: Program) -> None:
    """UsageError for a schema on which no record can be tried."""
    given = program.config.input
    if isinstance(given, BatchFormat) and given.schema is not None:
        from gomr_runtime.dataflow.record_batches import checked_schema

        checked_schema(given.schema, given.name, program.map_frames)


def _sorts(config: MapReduceConfig) -> bool:
    return config.sort_values or config.sort_key is not None


def _each(ctx: Context, key: Any, values: Iterator[Any]) -> None:
    """`gomr.identity` where the values come in an order of their own."""
    for value in values:
        ctx.emit(key, value)


def _check_batches(config: MapReduceConfig, delivery: Delivery, combiner: Delivery) -> None:
    if combiner == "batch":
        raise UsageError(
            "the combiner takes (ctx, key, values): combine in the mapper's batch, or use a "
            "built-in such as gomr.sum"
        )
    if delivery == "batch" and _sorts(config):
        raise UsageError(
            "a reducer of batches, (ctx, batch), takes no sort_values or sort_key: sort its batch"
        )


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


def _annotation(
    function: Callable[..., Any] | Aggregate | None, field: str
) -> tuple[Delivery, str]:
    """How values are delivered and which type they are converted to ("" for as emitted)."""
    if function is None or isinstance(function, Aggregate):
        return "list", ""
    parameters = _parameters(function, field)
    if len(parameters) == 2 and _frames(function, field):
        return "batch", ""
    if len(parameters) < 3:
        raise UsageError(
            f"the {field} takes (ctx, key, values), not {len(parameters)} parameters; a reducer of "
            "batches, (ctx, batch), annotates its batch as pyarrow.RecordBatch or polars.DataFrame"
        )
    hint = _hint(function, parameters[2], field)
    origin = typing.get_origin(hint) or hint
    delivery: Delivery = "iterator" if origin in _STREAMS else "list"
    inner = (typing.get_args(hint) or (None,))[0]
    inner = typing.get_origin(inner) or inner
    return delivery, inner.__name__ if inner in _VALUE_TYPES else ""


def _parameters(function: Callable[..., Any], field: str) -> list[str]:
    """The names of its parameters."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the {field}'s parameters are not known: {error}; use a def") from None
    return [parameter.name for parameter in found]


def _hint(function: Callable[..., Any], parameter: str, field: str) -> Any:
    try:
        return _hints(function).get(parameter)
    except Exception as error:  # noqa: BLE001  (an annotation is code of the user's)
        raise UsageError(
            f"the {field}'s annotation of {parameter!r} cannot be resolved: {describe(error)}"
        ) from None


def _frames(function: Any, field: str) -> Frames | None:
    """What a function of batches wants them as, by the module of its annotation; None for another
    one, or none."""
    parameters = _parameters(function, field)
    if len(parameters) < 2:
        raise UsageError(f"the {field} takes (ctx, batch), not {len(parameters)} parameters")
    hint = _hint(function, parameters[1], field)
    module = str(getattr(hint, "__module__", "")).partition(".")[0]
    known: dict[str, Frames] = {"polars": "polars", "pyarrow": "arrow"}
    return known.get(module)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Its resolved annotations; a partial's are its function's, an object's those of `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = type(function).__call__
    return typing.get_type_hints(function)
