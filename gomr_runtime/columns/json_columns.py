"""JSON values into Arrow columns of the types that a schema names, nested ones too.

A nested column is made level by level, each by the rule of its own type (`json_scalars`): a value
is treated alike at every depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from gomr_runtime.columns.cells import (
    REFUSALS,
    Applies,
    Cells,
    Convert,
    TooManyCategories,
    Unfit,
    check_names,
    check_no_null,
    check_types,
    dictionary_of,
    is_any_list,
)
from gomr_runtime.columns.json_scalars import SCALARS
from gomr_runtime.errors import UsageError

_T = pa.types


def of_json(wanted: pa.DataType, place: str) -> Convert:
    """Return the converter of JSON values to `wanted`.

    Args:
        wanted: Any Arrow type.
        place: The column's name, with those of the nested types around it, for messages.

    Raises:
        UsageError: No JSON value stands for a value of that type.
    """
    for applies, make in _NESTED:
        if applies(wanted):
            return make(wanted, place)
    for applies, convert in SCALARS:
        if applies(wanted):
            return lambda cells: convert(cells, wanted)
    raise UsageError(
        f"the schema's column {place!r} has the type {wanted}, which no JSON value stands for: "
        "name another type"
    )


def _struct(wanted: pa.DataType, place: str) -> Convert:
    """Objects fit. A name that the type does not have is left out; one that is missing is null."""
    fields = [wanted.field(i) for i in range(wanted.num_fields)]
    check_names(fields, f"the schema's column {place!r}")
    children = [of_json(field.type, f"{place}.{field.name}") for field in fields]

    def convert(cells: Cells) -> Any:
        types = check_types(cells, (dict,), wanted)
        arrays = []
        for field, child in zip(fields, children, strict=True):
            name = field.name
            if not field.nullable:
                there = (cell.get(name) for cell in cells if cell is not None)
                check_no_null(there, f"{name} is null or missing")
            below = [None if cell is None else cell.get(name) for cell in cells]
            arrays.append(_below(name, child, below))
        if not fields:
            valid = pa.array([cell is not None for cell in cells], pa.bool_()).buffers()[1]
            return pa.StructArray.from_buffers(wanted, len(cells), [valid])
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=_mask(cells, types))

    return convert


def _list(wanted: pa.DataType, place: str) -> Convert:
    """Arrays fit."""
    child = of_json(wanted.value_type, f"{place}[]")
    small = _T.is_list(wanted) or _T.is_list_view(wanted)
    index_type = pa.int32() if small else pa.int64()
    viewed = _T.is_list_view(wanted) or _T.is_large_list_view(wanted)

    def convert(cells: Cells) -> Any:
        types = check_types(cells, (list,), wanted)
        items, ends = _flat([cell or () for cell in cells])
        if not wanted.value_field.nullable:
            check_no_null(items, "an item is null")
        values, mask = _below("[]", child, items), _mask(cells, types)
        if viewed:
            view: Any = pa.ListViewArray if small else pa.LargeListViewArray
            sizes = pa.array([len(cell or ()) for cell in cells], index_type)
            starts = pa.array(ends[:-1], index_type)
            return view.from_arrays(starts, sizes, values, type=wanted, mask=mask)
        array: Any = pa.ListArray if small else pa.LargeListArray
        return array.from_arrays(pa.array(ends, index_type), values, type=wanted, mask=mask)

    return convert


def _fixed_list(wanted: pa.DataType, place: str) -> Convert:
    """Arrays of the type's length fit."""
    child = of_json(wanted.value_type, f"{place}[]")
    size = wanted.list_size

    def convert(cells: Cells) -> Any:
        types = check_types(cells, (list,), wanted)
        for cell in cells:
            if cell is None:
                continue
            if len(cell) != size:
                raise Unfit(f"an array of {len(cell)} items is no {wanted}")
            if not wanted.value_field.nullable:
                check_no_null(cell, "an item is null")
        none = [None] * size
        items, _ = _flat([none if cell is None else cell for cell in cells])
        values = _below("[]", child, items)
        return pa.FixedSizeListArray.from_arrays(values, type=wanted, mask=_mask(cells, types))

    return convert


def _map(wanted: pa.DataType, place: str) -> Convert:
    """Arrays of [key, value] pairs fit, and objects, whose names are keys that are strings."""
    of_keys = of_json(wanted.key_type, f"{place} keys")
    of_items = of_json(wanted.item_type, f"{place}[]")

    def convert(cells: Cells) -> Any:
        types = check_types(cells, (dict, list), wanted)
        entries, ends = _flat([_entries(cell) for cell in cells])
        keys, items = [entry[0] for entry in entries], [entry[1] for entry in entries]
        check_no_null(keys, "a key is null")
        if not wanted.item_field.nullable:
            check_no_null(items, "a value is null")
        return pa.MapArray.from_arrays(
            pa.array(ends, pa.int32()),
            _below("a key", of_keys, keys),
            _below("a value", of_items, items),
            type=wanted,
            mask=_mask(cells, types),
        )

    return convert


def _entries(cell: Any) -> Iterable[Any]:
    if cell is None:
        return ()
    if type(cell) is dict:
        return cell.items()
    for entry in cell:
        if type(entry) is not list or len(entry) != 2:
            raise Unfit("an array is a map where its items are [key, value] pairs")
    return cell  # type: ignore[no-any-return]


def _flat(lists: Sequence[Iterable[Any]]) -> tuple[list[Any], list[int]]:
    """All items, and where each list begins, with the end of the last one."""
    items: list[Any] = []
    ends = [0]
    for some in lists:
        items.extend(some)
        ends.append(len(items))
    return items, ends


def _below(name: str, convert: Convert, cells: Cells) -> Any:
    """The converted cells of a nested type; an error says where in it."""
    try:
        return convert(cells)
    except TooManyCategories:
        raise
    except REFUSALS as error:
        raise Unfit(f"{name}: {error}") from None


def _mask(cells: Cells, types: set[type]) -> Any:
    if type(None) not in types:
        return None
    return pa.array([cell is None for cell in cells], pa.bool_())


_NESTED: tuple[tuple[Applies, Callable[..., Convert]], ...] = (
    (_T.is_struct, _struct),
    (_T.is_map, _map),
    (_T.is_fixed_size_list, _fixed_list),
    (is_any_list, _list),
    (_T.is_dictionary, dictionary_of(of_json)),
)
