"""JSON values into Arrow columns of scalar types.

The type of a column is the schema's, never found in the cells, and each cell fits or does not fit
by itself: so a column is the same, and the same cells are refused, wherever the input was cut.
`docs/worker-api.md` has the rule as users read it.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from gomr_runtime.columns.cells import (
    Applies,
    Cells,
    Scalar,
    Unfit,
    check_types,
    is_any_binary,
    is_any_string,
    is_moment,
)

_T = pa.types
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY_SECONDS: Final = 86_400
_DAY_MILLISECONDS: Final = 86_400_000
_MOST_SECONDS: Final = (1 << 63) // 1000 - 1
"""Polars, whose unit is the millisecond, would wrap what is beyond."""
_TIME: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


def nulls(cells: Cells, wanted: pa.DataType) -> Any:
    """Nothing but null fits."""
    check_types(cells, (), wanted)
    return pa.nulls(len(cells), wanted)


def bools(cells: Cells, wanted: pa.DataType) -> Any:
    """`true` and `false` fit."""
    check_types(cells, (bool,), wanted)
    return pa.array(cells, wanted)


def ints(cells: Cells, wanted: pa.DataType) -> Any:
    """Whole numbers within the type's range fit; 1.0 does not."""
    check_types(cells, (int,), wanted)
    return pa.array(cells, wanted)


def floats(cells: Cells, wanted: pa.DataType) -> Any:
    """A number becomes the float that is nearest to it; one beyond the type's range is refused."""
    if int in check_types(cells, (int, float), wanted):
        cells = [float(cell) if type(cell) is int else cell for cell in cells]
    array = pa.array(cells, pa.float64()).cast(wanted)
    beyond = pc.is_inf(array)
    if pc.any(beyond).as_py():  # JSON has no infinity
        raise Unfit(f"a number is beyond {wanted}: {cells[pc.index(beyond, True).as_py()]!r}")
    return array


def strings(cells: Cells, wanted: pa.DataType) -> Any:
    """Strings fit."""
    check_types(cells, (str,), wanted)
    return pa.array(cells, wanted)


def binaries(cells: Cells, wanted: pa.DataType) -> Any:
    """Bytes are written `{"$bytes": base64}`, as in jsonl parts; a string is its UTF-8."""
    if dict in check_types(cells, (str, dict), wanted):
        cells = [_bytes_of(cell) if type(cell) is dict else cell for cell in cells]
    return pa.array(cells, wanted)


def _bytes_of(cell: dict[str, Any]) -> bytes:
    text = cell.get("$bytes")
    if len(cell) != 1 or type(text) is not str:
        raise Unfit('an object is no bytes, except {"$bytes": base64}')
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Unfit(f"{text!r:.60} is not base64: {error}") from None


def decimals(cells: Cells, wanted: pa.DataType) -> Any:
    """Numbers fit, and strings that are numbers, where the type takes all of their digits."""
    if check_types(cells, (int, float, str), wanted) & {int, float}:
        cells = [repr(cell) if type(cell) in (int, float) else cell for cell in cells]
    return pa.array(cells, pa.string()).cast(wanted)


def moments(cells: Cells, wanted: pa.DataType) -> Any:
    """ISO 8601 strings are dates and timestamps, and so are ints: units of the type since 1970."""
    types = check_types(cells, (int, str), wanted)
    texts = [cell if type(cell) is str else None for cell in cells]
    array = pa.array(texts, pa.string()).cast(wanted)
    if int not in types:
        return array
    counts = [cell if type(cell) is int else None for cell in cells]
    if _T.is_date64(wanted) and any(count % _DAY_MILLISECONDS for count in counts if count):
        raise Unfit("a date64 counts milliseconds of whole days")
    return pc.coalesce(array, _counted(counts, wanted))


def times(cells: Cells, wanted: pa.DataType) -> Any:
    """Strings such as 23:59:30.5 are times, and so are ints: units of the type since midnight."""
    a_second = _UNITS[wanted.unit]
    if str in check_types(cells, (int, str), wanted):
        cells = [_time_of(cell, a_second) if type(cell) is str else cell for cell in cells]
    for count in cells:
        if count is not None and not 0 <= count < _DAY_SECONDS * a_second:
            raise Unfit(f"{count} is no time of the day")
    return _counted(cells, wanted)


def _time_of(text: str, a_second: int) -> int:
    found = _TIME.fullmatch(text)
    hours, minutes, seconds, fraction = found.groups(default="0") if found else ("24", "", "", "")
    if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 59:
        raise Unfit(f"{text!r:.60} is no time of the day, as 23:59:30.5 is")
    parts, lost = divmod(int(fraction.ljust(9, "0")) * a_second, 1_000_000_000)
    if lost:
        raise Unfit(f"{text!r} has more digits than the type's unit")
    return (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * a_second + parts


def durations(cells: Cells, wanted: pa.DataType) -> Any:
    """Ints count units of the type."""
    check_types(cells, (int,), wanted)
    return _counted(cells, wanted)


def _counted(counts: Cells, wanted: pa.DataType) -> Any:
    if getattr(wanted, "unit", "") == "s" and any(abs(c) > _MOST_SECONDS for c in counts if c):
        raise Unfit(f"a count of seconds is beyond {_MOST_SECONDS:,}")
    return pa.array(counts, pa.int32() if wanted.bit_width == 32 else pa.int64()).cast(wanted)


SCALARS: tuple[tuple[Applies, Scalar], ...] = (
    (_T.is_null, nulls),
    (_T.is_boolean, bools),
    (_T.is_integer, ints),
    (_T.is_floating, floats),
    (is_any_string, strings),
    (_T.is_decimal, decimals),
    (is_any_binary, binaries),
    (is_moment, moments),
    (_T.is_time, times),
    (_T.is_duration, durations),
)
