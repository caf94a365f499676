"""What all columns of cells have in common: how a cell that does not fit its type is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from gomr_runtime.errors import UsageError

Cells = Sequence[Any]
Convert = Callable[[Cells], Any]
"""A converter takes the cells of a column and returns the Arrow array of exactly its type."""
Applies = Callable[[pa.DataType], bool]
Scalar = Callable[[Cells, pa.DataType], Any]
"""A converter of many types is also given the type."""

_T = pa.types
_NAMES: Final = {
    bool: "a bool",
    int: "an int",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class Unfit(ValueError):
    """Records do not fit the schema; the message says why."""


class TooManyCategories(Unfit):
    """A dictionary column has more different values than its index type can number: what fits a
    record alone may not fit many at once."""


REFUSALS: Final = (pa.ArrowException, OverflowError, ValueError)
"""What converting cells raises for a cell that does not fit."""


def check_types(cells: Cells, allowed: tuple[type, ...], wanted: pa.DataType) -> set[type]:
    """Return the types of the cells.

    Raises:
        Unfit: A cell is neither null nor of an allowed type.
    """
    types = set(map(type, cells))
    if wrong := types.difference(allowed, (type(None),)):
        cell = next(cell for cell in cells if type(cell) in wrong)
        given = _NAMES.get(type(cell), type(cell).__name__)
        if type(cell) in (list, dict):
            raise Unfit(f"{given} is no {wanted}")
        raise Unfit(f"{cell!r:.60} is {given}, not {wanted}")
    return types


def check_no_null(cells: Iterable[Any], what: str) -> None:
    """Raise Unfit, saying `what`, where a cell is null."""
    if any(cell is None for cell in cells):
        raise Unfit(f"{what}, and the schema says nullable=False")


def check_names(fields: Iterable[pa.Field], where: str) -> None:
    """Raise UsageError where two fields have one name."""
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{where} names {twice[0]!r} twice")


def dictionary_of(make: Callable[[pa.DataType, str], Convert]) -> Callable[..., Convert]:
    """Return the maker of converters to dictionary types, whose values `make` converts."""

    def dictionary(wanted: pa.DataType, place: str) -> Convert:
        of_values = make(wanted.value_type, place)
        try:
            pa.nulls(0, wanted.value_type).dictionary_encode()
        except pa.ArrowException:
            raise UsageError(
                f"the schema's column {place!r} has the type {wanted}: Arrow makes no dictionary "
                f"of {wanted.value_type}; name that type itself"
            ) from None
        most = 1 << (wanted.index_type.bit_width - _T.is_signed_integer(wanted.index_type))

        def convert(cells: Cells) -> Any:
            encoded = of_values(cells).dictionary_encode()
            if len(encoded.dictionary) > most:
                raise TooManyCategories(
                    f"{len(encoded.dictionary)} different values are too many for {wanted}"
                )
            return pa.DictionaryArray.from_arrays(
                encoded.indices.cast(wanted.index_type), encoded.dictionary, ordered=wanted.ordered
            )

        return convert

    return dictionary


def types_in(given: pa.DataType) -> Iterator[pa.DataType]:
    """Yield the type and every type nested in it."""
    yield given
    if _T.is_dictionary(given) or _T.is_run_end_encoded(given):
        yield from types_in(given.value_type)
        return
    for i in range(given.num_fields):
        yield from types_in(given.field(i).type)


def is_any_string(wanted: pa.DataType) -> bool:
    """Whether it is a type of text, however it is laid out."""
    return any(of(wanted) for of in (_T.is_string, _T.is_large_string, _T.is_string_view))


def is_any_binary(wanted: pa.DataType) -> bool:
    """Whether it is a type of bytes, however it is laid out."""
    kinds = (_T.is_binary, _T.is_large_binary, _T.is_binary_view, _T.is_fixed_size_binary)
    return any(of(wanted) for of in kinds)


def is_any_list(wanted: pa.DataType) -> bool:
    """Whether it is a type of lists of any length, however it is laid out."""
    kinds = (_T.is_list, _T.is_large_list, _T.is_list_view, _T.is_large_list_view)
    return any(of(wanted) for of in kinds)


def is_moment(wanted: pa.DataType) -> bool:
    """Whether it is a date or a timestamp."""
    return any(of(wanted) for of in (_T.is_date, _T.is_timestamp))
