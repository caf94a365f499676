"""Which Arrow types `ctx.emit_batch` takes: those whose every cell is a key, or a value."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from gomr_runtime.columns.cells import is_any_binary, is_any_list, is_any_string, types_in
from gomr_runtime.dataflow.pairs.keys import ColumnsRefused

_T = pa.types


@lru_cache(256)
def check_type(given: pa.DataType, what: str) -> None:
    """Raise ColumnsRefused unless columns of the type may be emitted, whatever is in them.

    Args:
        given: The type of the column.
        what: `keys` or `values`.
    """
    for inner in types_in(given):
        if _is_scalar(inner) or (what == "values" and _is_container(inner)):
            continue
        within = "" if inner is given else f" in {given}"
        raise ColumnsRefused(
            f"ctx.emit_batch: columns of type {inner}{within} are no {what}: cast to ints, "
            "floats, strings or binary first"
        )
    for inner in types_in(given):
        if what == "values" and _T.is_struct(inner) and len(set(inner.names)) < inner.num_fields:
            raise ColumnsRefused(f"ctx.emit_batch: a field of {inner} is named twice")


def _is_scalar(inner: pa.DataType) -> bool:
    """Whether cells are keys; a struct is a tuple, and what is encoded is its values."""
    return (
        _T.is_null(inner)
        or _T.is_boolean(inner)
        or _T.is_integer(inner)
        or _T.is_floating(inner)
        or is_any_string(inner)
        or is_any_binary(inner)
        or _T.is_struct(inner)
        or _T.is_dictionary(inner)
        or _T.is_run_end_encoded(inner)
    )


def _is_container(inner: pa.DataType) -> bool:
    return is_any_list(inner) or _T.is_fixed_size_list(inner) or _T.is_map(inner)
