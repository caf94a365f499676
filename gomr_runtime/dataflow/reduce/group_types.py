"""The Arrow types that keys and values have as columns: nothing is converted to fit another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa

from gomr_runtime.dataflow.pairs.keys import INT64_MAX, INT64_MIN

UINT64_MAX: Final = (1 << 64) - 1
_PLAIN: Final = {
    bool: pa.bool_(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
}


class NoColumn(ValueError):
    """A key, or the values of one, has no column type; the message says what to do.

    Attributes:
        key: Whose they are.
    """

    key: Any = None


def type_of(cells: Sequence[Any], what: str) -> pa.DataType:
    """Return the one type of all the cells, None being of any.

    Ints are int64, or uint64 where one of them needs it. Lists and tuples are lists of items of
    one type, dicts are structs of all the names in them.

    Args:
        cells: Values as they were emitted, or parts of them.
        what: How errors call them.

    Raises:
        NoColumn: There is no such type.
    """
    kinds = set(map(type, cells)) - {type(None)}
    if not kinds:
        return pa.null()
    if len(kinds) > 1:
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise NoColumn(f"{what} of types {named} are no column; emit one type")
    (kind,) = kinds
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is int:
        return _int_type([cell for cell in cells if cell is not None], what)
    there = [cell for cell in cells if cell is not None]
    if kind is dict:
        names = dict.fromkeys(name for cell in there for name in cell)
        return pa.struct(
            [(name, type_of([cell.get(name) for cell in there], what)) for name in names]
        )
    return pa.list_(type_of([item for cell in there for item in cell], what))


def type_of_key(key: Any) -> pa.DataType:
    """Return the type of a key: a tuple is a struct with the fields `0`, `1` and so on.

    Raises:
        NoColumn: It has none, as an int beyond 64 bits or the empty tuple.
    """
    if type(key) is not tuple:
        return type_of([key], "keys")
    if not key:
        raise NoColumn("the empty tuple is no column; use a reducer of one key")
    return pa.struct([(str(i), type_of_key(item)) for i, item in enumerate(key)])


def _int_type(ints: Iterable[int], what: str) -> pa.DataType:
    least, most = min(ints), max(ints)
    if least >= INT64_MIN and most <= INT64_MAX:
        return pa.int64()
    if least >= 0 and most <= UINT64_MAX:
        return pa.uint64()
    raise NoColumn(f"{what} with ints beyond 64 bits are no column; use a reducer of one key")
