"""What the functions of a config declare: how they are called, and with values of which types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.api.formats import Frames, plain_format
from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.annotations import (
    KEY_TYPES,
    VALUE_TYPES,
    Delivery,
    Types,
    Unfit,
    Unresolved,
    delivery_of,
    frames_of,
    hint_of,
    record_types,
    refused,
    types_of,
    unresolved,
)
from gomr_runtime.user_code.signatures import accepts, check_function, parameter_at, signature_of


@dataclass(frozen=True, slots=True)
class Declared:
    """What a config's functions ask of the engine.

    delivery, combiner_delivery: how the reducer and the combiner take their values. values: the
    types that values are converted to, or have to be of. keys: the types that keys have to be of.
    records: the types that jsonl records have to be of. map_frames, reduce_frames: what batches
    are given as.
    """

    delivery: Delivery = "list"
    combiner_delivery: Delivery = "list"
    values: Types = None
    keys: Types = None
    records: Types = None
    map_frames: Frames = "arrow"
    reduce_frames: Frames = "arrow"


def declared(config: MapReduceConfig, *, any_record: bool = False) -> Declared:
    """Check every function of a config and read its annotations.

    Args:
        config: a job.
        any_record: leave the annotation of the mapper's record alone.

    Raises:
        UsageError: a function cannot be called as it will be, or asks for what no job can give.
    """
    _check_functions(config)
    map_frames, records = _of_mapper(config, any_record=any_record)
    reduce_frames = _batch_frames(config.reducer, "reducer")
    delivery, values = _of_values(config.reducer, "reducer")
    combiner_delivery, combined = _of_values(config.combiner, "combiner")
    if combined is not None and values is not None and not combined <= values:
        raise UsageError(
            f"the combiner's values are {_names(combined)}, the reducer's {_names(values)}: they "
            "must agree, since the reducer gets what the combiner gives"
        )
    if combined is not None:
        values = combined
    _check_sort_key(config, values)
    return Declared(
        delivery,
        combiner_delivery,
        values,
        _key_types(config),
        records,
        map_frames,
        reduce_frames or "arrow",
    )


def type_name(kind: type) -> str:
    """What messages and job descriptions call a type of values."""
    return "None" if kind is type(None) else kind.__name__


def _check_functions(config: MapReduceConfig) -> None:
    for field in ("mapper", "reducer", "combiner", "partitioner", "setup", "finish", "sort_key"):
        function = getattr(config, field)
        if function is None and field != "mapper":
            continue
        if isinstance(function, Aggregate):
            if field not in ("reducer", "combiner"):
                raise UsageError(f"MapReduceConfig({field}=gomr.{function}): it is a reducer")
            continue
        if field == "partitioner" and not callable(function):
            continue  # gomr.total_order, or refused by what knows of it
        batches = field == "mapper" and plain_format(config.input).batches
        if field == "reducer":
            batches = _batch_frames(function, field) is not None
        if field == "combiner" and _batch_frames(function, field):
            raise UsageError(
                "the combiner takes (ctx, key, values): combine in the mapper's batch, or use a "
                "built-in such as gomr.sum"
            )
        check_function(field, function, batches=batches)


def _of_mapper(config: MapReduceConfig, *, any_record: bool) -> tuple[Frames, Types]:
    record_format = plain_format(config.input)
    try:
        name, hint = _hint_at(config.mapper, 1)
    except Unresolved as why:
        if record_format.batches:
            raise unresolved(config.mapper, "mapper", "batch", why) from None
        return "arrow", None
    if record_format.batches:
        frames = frames_of(hint)
        if not frames and hint not in (Any, object):
            given = "batches are pyarrow.RecordBatch or polars.DataFrame"
            raise refused(config.mapper, "mapper", name, hint, given)
        return frames or "arrow", None
    if any_record:
        return "arrow", None
    try:
        return "arrow", record_types(record_format, hint)
    except Unfit as why:
        raise refused(config.mapper, "mapper", name, hint, str(why)) from None


def _batch_frames(function: object, field: str) -> Frames | None:
    """What a function of (ctx, batch) wants its batch as; None for every other one."""
    if function is None or isinstance(function, Aggregate) or not callable(function):
        return None
    signature = signature_of(function)
    if signature is None or accepts(signature, 3) or not accepts(signature, 2):
        return None
    try:
        return frames_of(_hint_at(function, 1)[1])
    except Unresolved as why:
        raise unresolved(function, field, "batch", why) from None


def _of_values(function: object, field: str) -> tuple[Delivery, Types]:
    """How its values are delivered, and their types."""
    if function is None or isinstance(function, Aggregate):
        return "list", None
    assert callable(function)
    if _batch_frames(function, field):
        return "batch", None
    try:
        name, hint = _hint_at(function, 2)
    except Unresolved as why:
        raise unresolved(function, field, "values", why) from None
    try:
        delivery, inner = delivery_of(hint)
        return delivery, types_of(inner, VALUE_TYPES)
    except Unfit as why:
        raise refused(function, field, name, hint, str(why)) from None


def _key_types(config: MapReduceConfig) -> Types:
    """Those that every function which gets a key can take."""
    found: Types = None
    for field, function, name, hint in _key_hints(config):
        try:
            some = types_of(hint, KEY_TYPES)
        except Unfit as why:
            raise refused(function, field, name, hint, str(why)) from None
        if found is not None and some is not None and not found & some:
            raise UsageError(
                f"no key fits the {field}'s annotation `{name}: {_names(some)}` and that of "
                f"another function, {_names(found)}"
            )
        found = some if found is None else found if some is None else found & some
    return found


def _key_hints(config: MapReduceConfig) -> Iterator[tuple[str, Callable[..., Any], str, Any]]:
    for field, position in (("reducer", 1), ("combiner", 1), ("partitioner", 0)):
        function = getattr(config, field)
        if not callable(function) or isinstance(function, Aggregate):
            continue
        if field == "reducer" and _batch_frames(function, field):
            continue
        try:
            name, hint = _hint_at(function, position)
        except Unresolved:  # nothing depends on it but a check
            continue
        yield field, function, name, hint


def _check_sort_key(config: MapReduceConfig, values: Types) -> None:
    if config.sort_key is None or values is None:
        return
    try:
        name, hint = _hint_at(config.sort_key, 0)
        taken = types_of(hint, VALUE_TYPES)
    except (Unresolved, Unfit):
        return
    if taken is not None and not values <= taken:
        why = f"the values are {_names(values)}"
        raise refused(config.sort_key, "sort_key", name, hint, why)


def _hint_at(function: Callable[..., Any], position: int) -> tuple[str, Any]:
    """The name and the annotation of the parameter that gets the argument at `position`."""
    signature = signature_of(function)
    parameter = None if signature is None else parameter_at(signature, position)
    return ("" if parameter is None else parameter.name), hint_of(function, parameter)


def _names(types: frozenset[type]) -> str:
    return " or ".join(type_name(kind) for kind in VALUE_TYPES if kind in types)
