"""The text of csv fields into Arrow columns of the types that a schema names."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gomr_runtime.columns.cells import (
    Applies,
    Cells,
    Convert,
    Scalar,
    Unfit,
    dictionary_of,
    is_any_binary,
    is_any_string,
    is_moment,
)
from gomr_runtime.columns.json_scalars import nulls, times
from gomr_runtime.errors import UsageError

_T = pa.types


def of_text(wanted: pa.DataType, place: str) -> Convert:
    """Return the converter of csv fields to `wanted`. An empty field is null unless it is text.

    Args:
        wanted: Any Arrow type.
        place: The column's name, for messages.

    Raises:
        UsageError: No text stands for a value of that type.
    """
    if _T.is_dictionary(wanted):
        return dictionary_of(of_text)(wanted, place)
    if is_any_string(wanted):
        return lambda cells: pa.array(cells, wanted)
    for applies, convert in _TEXTS:
        if applies(wanted):
            return lambda cells: convert([cell or None for cell in cells], wanted)
    raise UsageError(
        f"the schema's column {place!r} has the type {wanted}, which no csv field stands for: "
        "name pyarrow.string() and parse it in the mapper"
    )


def _cast(cells: Cells, wanted: pa.DataType) -> Any:
    return pa.array(cells, pa.string()).cast(wanted)


def _ints(cells: Cells, wanted: pa.DataType) -> Any:
    texts = pa.array(cells, pa.string())
    hexadecimal = pc.match_substring(texts, "x", ignore_case=True)
    if pc.any(hexadecimal).as_py():  # Arrow reads 0xff as the bits of an int
        raise Unfit(f"{cells[pc.index(hexadecimal, True).as_py()]!r:.60} is no int")
    return texts.cast(wanted)


def _floats(cells: Cells, wanted: pa.DataType) -> Any:
    """A number beyond the type's range is refused; a field may say `inf` or `nan`."""
    texts = pa.array(cells, pa.string())
    array = texts.cast(wanted)
    said = pc.match_substring(texts, "inf", ignore_case=True)
    beyond = pc.and_(pc.is_inf(array), pc.invert(said))
    if pc.any(beyond).as_py():
        raise Unfit(f"{cells[pc.index(beyond, True).as_py()]!r:.60} is beyond {wanted}")
    return array


def _durations(cells: Cells, wanted: pa.DataType) -> Any:
    return _ints(cells, pa.int64()).cast(wanted)


_TEXTS: tuple[tuple[Applies, Scalar], ...] = (
    (_T.is_null, nulls),
    (_T.is_boolean, _cast),
    (_T.is_integer, _ints),
    (_T.is_floating, _floats),
    (_T.is_decimal, _cast),
    (is_any_binary, _cast),
    (is_moment, _cast),
    (_T.is_time, times),
    (_T.is_duration, _durations),
)
