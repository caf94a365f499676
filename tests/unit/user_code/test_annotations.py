"""Annotations: met, checked, or refused before anything starts."""

from __future__ import annotations

import datetime
import decimal
import enum
import numbers
import typing
from collections.abc import (
    AsyncIterator,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    MutableSequence,
    Sequence,
)
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import UsageError
from gomr_runtime.testing import config_of
from gomr_runtime.user_code.program import Program, program_of

Number = TypeVar("Number", int, float)
Bounded = TypeVar("Bounded", bound=str)
Free = TypeVar("Free")
Count = NewType("Count", int)
Counts = NewType("Counts", list[int])


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    name: str
    city: str


class Typed(TypedDict):
    name: str
    age: int


class Colour(enum.Enum):
    RED = "red"


class Ints(list[int]):
    """A subclass."""


class Addable(Protocol):
    def __add__(self, other: Any) -> Any: ...


def mapper(ctx: gomr.Context, line: str) -> None:
    """Emits nothing."""


def reducer_of(**annotations: Any) -> Any:
    def reducer(ctx, key, values):  # type: ignore[no-untyped-def]
        """Annotated below."""

    reducer.__annotations__.update(annotations)
    return reducer


def mapper_of(annotation: Any) -> Any:
    def mapper(ctx, record):  # type: ignore[no-untyped-def]
        """Annotated below."""

    mapper.__annotations__["record"] = annotation
    return mapper


def program(**fields: Any) -> Program:
    return program_of(gomr.MapReduceConfig(**{"mapper": mapper, **fields}), b"", "worker.py")


def refusal(**fields: Any) -> str:
    with pytest.raises(UsageError) as caught:
        program(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "delivery", "value_type"),
    [
        (list[int], "list", "int"),
        (typing.List[int], "list", "int"),  # noqa: UP006
        ("list[int]", "list", "int"),
        (list, "list", ""),
        (Any, "list", ""),
        (object, "list", ""),
        (Free, "list", ""),
        (list[Any], "list", ""),
        (list[Free], "list", ""),  # type: ignore[valid-type]
        (Sequence[str], "list", "str"),
        (typing.Sequence[str], "list", "str"),
        (MutableSequence[float], "list", "float"),
        (Collection[bytes], "list", "bytes"),
        (list[int] | None, "list", "int"),
        (Annotated[list[int], "in order"], "list", "int"),
        (list[Annotated[int, "seconds"]], "list", "int"),
        (Counts, "list", "int"),
        (list[Count], "list", "int"),
        (Iterator[int], "iterator", "int"),
        (Iterable[float], "iterator", "float"),
        (typing.Iterator[int], "iterator", "int"),
        (Generator[int, None, None], "iterator", "int"),
        (list[int | None], "list", "None|int"),
        (list[typing.Optional[int]], "list", "None|int"),  # noqa: UP045
        (list[float | str], "list", "float|str"),
        (list[Number], "list", "int|float"),  # type: ignore[valid-type]
        (list[Bounded], "list", "str"),  # type: ignore[valid-type]
        (list[Literal["a", "b"]], "list", "str"),
        (list[Literal["a", 1]], "list", "int|str"),
        (list[numbers.Number], "list", "bool|int|float"),
        (list[Sequence[int]], "list", "str|bytes|list|tuple"),
        (list[Mapping[str, int]], "list", "dict"),
        (list[Row], "list", "dict"),
        (list[tuple[str, int]], "list", "tuple"),
        (list[list[list[int]]], "list", "list"),
        (list[dict[str, Any]], "list", "dict"),
        (list[Addable], "list", ""),
        (list[int | Point], "list", "int"),
        (list[None], "list", "None"),
    ],
    ids=str,
)
def test_values_are_delivered_and_typed_as_annotated(
    annotation: Any, delivery: str, value_type: str
) -> None:
    got = program(reducer=reducer_of(values=annotation))
    assert (got.delivery, got.description.value_type) == (delivery, value_type)


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (set[int], "annotate `list[int]` for a list, or `Iterator[int]` for a stream; set(values)"),
        (frozenset[str], "frozenset(values) makes one of it"),
        (tuple[int, ...], "tuple(values) makes one of it"),
        (int, "`values: int` cannot be met: annotate `list[...]`"),
        (dict, "`values: dict` cannot be met"),
        (dict[str, int], "cannot be met"),
        (str, "cannot be met"),
        (None, "cannot be met: "),
        (Ints, "`values: Ints` cannot be met"),
        (np.ndarray, "`values: ndarray` cannot be met"),
        (AsyncIterator[int], "`values: AsyncIterator[int]` cannot be met"),
        (list[int] | Iterator[int], "name one: list[...] for a list, or Iterator[...]"),
        (list[datetime.date], "a value is None, bool, int, float, str, bytes, list, tuple or dict"),
        (list[decimal.Decimal], "a value is None, bool"),
        (list[set[int]], "`values: list[set[int]]` cannot be met: a value is None"),
        (Iterator[Point], "a value is a tuple, never of a subclass such as Point"),
        (list[Colour], "a value is None, bool"),
        (list[np.int64], "a value is None, bool"),
        (list[np.float64], "a value is a float, never of a subclass such as float64"),
        (list[dict[int, str]], "a dict in a value has str keys"),
        (list[tuple[str, datetime.date]], "a value is None, bool"),
        (list[complex], "a value is None, bool"),
        ("list[Nowhere]", "annotation of 'values' cannot be resolved: NameError: name 'Nowhere'"),
        (5, "cannot be met"),
    ],
    ids=str,
)
def test_values_that_nothing_can_be_are_refused(annotation: Any, says: str) -> None:
    for field in ("reducer", "combiner"):
        message = refusal(**{"reducer": gomr.identity, field: reducer_of(values=annotation)})
        assert says in message
        assert f"the {field}'s annotation " in message


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (str, {str}),
        ("int", {int}),
        (int | None, {int, type(None)}),
        (tuple[str, int], {tuple}),
        (Literal["a"], {str}),
        (Count, {int}),
        (Bounded, {str}),
        (numbers.Integral, {int, bool}),
        (float, {float}),
        (Any, None),
        (Free, None),
        (typing.Hashable, None),
        (Addable, None),
        ("Nowhere", None),
        (bytes | bool, {bytes, bool}),
    ],
    ids=str,
)
def test_keys_are_held_to_their_annotation(annotation: Any, types: Any) -> None:
    for fields in (
        {"reducer": reducer_of(key=annotation)},
        {"reducer": gomr.sum, "combiner": reducer_of(key=annotation)},
    ):
        assert program(**fields).declared.keys == types


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (list[int], "`key: list[int]` cannot be met: a key is None, bool, int, float, str, bytes"),
        (dict, "a key is None"),
        (datetime.date, "`key: date` cannot be met: a key is None"),
        (Point, "a key is a tuple, never of a subclass such as Point"),
        (Colour, "a key is None"),
        (Path, "a key is None"),
    ],
    ids=str,
)
def test_keys_that_nothing_can_be_are_refused(annotation: Any, says: str) -> None:
    assert says in refusal(reducer=reducer_of(key=annotation))


def test_functions_that_no_key_fits_together_are_refused() -> None:
    def by_number(key: int, n: int) -> int:
        return key % n

    def either(key: int | str, n: int) -> int:
        return 0

    assert program(reducer=reducer_of(key=str), partitioner=either).declared.keys == frozenset(
        {str}
    )
    message = refusal(reducer=reducer_of(key=str), partitioner=by_number)
    assert "no key fits the partitioner's annotation `key: int`" in message


def test_what_the_combiner_gives_must_suit_the_reducer() -> None:
    some, all_of_it = reducer_of(values=list[int]), reducer_of(values=list[int | float])
    assert program(reducer=all_of_it, combiner=some).description.value_type == "int"
    message = refusal(reducer=reducer_of(values=list[float]), combiner=some)
    assert "the combiner's values are int, the reducer's float: they must agree" in message


def test_a_sort_key_takes_what_the_values_are() -> None:
    def longest(value: str) -> int:
        return len(value)

    assert program(reducer=reducer_of(values=list[str]), sort_key=longest)
    message = refusal(reducer=reducer_of(values=list[int]), sort_key=longest)
    assert "the sort_key's annotation `value: str` cannot be met: the values are int" in message


TEXT = [str, "str", Any, object, Free, Sequence[str], Iterable[str], str | None, NewType("T", str)]
ROWS = [dict, dict[str, str], dict[str, Any], Mapping[str, str], Row, Any, dict[str, str | None]]


@pytest.mark.parametrize(
    ("record_format", "annotation"),
    [
        *((f, a) for f in (gomr.lines, gomr.chunk, gomr.whole_file) for a in TEXT),
        *((gomr.raw_bytes, a) for a in (bytes, Any, Sequence[int], bytes | None)),
        *((gomr.csv, a) for a in ROWS),
        *((gomr.csv(quoted_newlines=False), a) for a in ROWS),
        *((gomr.jsonl, a) for a in (dict, dict[str, int], Typed, list, int | str, Any, "Nowhere")),
        (gomr.batches, pa.RecordBatch),
        (gomr.batches(gomr.lines), pl.DataFrame),
        (gomr.batches, Any),
    ],
    ids=str,
)
def test_records_that_are_what_the_format_gives(record_format: Any, annotation: Any) -> None:
    program(mapper=mapper_of(annotation), input=record_format)


@pytest.mark.parametrize(
    ("record_format", "annotation", "says"),
    [
        (gomr.lines, bytes, "`record: bytes` cannot be met: a record of gomr.lines is str"),
        (gomr.lines, list[str], "is str"),
        (gomr.lines, int, "is str"),
        (gomr.lines, Iterator[str], "is str"),
        (gomr.lines, dict, "is str"),
        (gomr.lines, Sequence[int], "is str"),
        (gomr.chunk, list[str], "a record of gomr.chunk is str"),
        (gomr.whole_file, bytes, "a record of gomr.whole_file is str"),
        (gomr.raw_bytes, str, "a record of gomr.raw_bytes is bytes"),
        (gomr.csv, str, "a record of gomr.csv is dict[str, str]"),
        (gomr.csv, list[str], "a record of gomr.csv is dict[str, str]"),
        (gomr.csv, dict[str, int], "a record of gomr.csv is dict[str, str]"),
        (gomr.csv, dict[int, str], "a record of gomr.csv is dict[str, str]"),
        (gomr.csv, Typed, "a record of gomr.csv is dict[str, str]"),
        (gomr.csv, Point, "a record of gomr.csv is dict[str, str]"),
        (gomr.jsonl, bytes, "a JSON record is None, bool, int, float, str, list or dict"),
        (gomr.jsonl, tuple[int, int], "a JSON record is None"),
        (gomr.jsonl, dict[int, str], "has str keys"),
        (gomr.jsonl, Point, "a JSON record is None"),
        (gomr.lines, pa.RecordBatch, "for batches, input=gomr.batches(gomr.lines)"),
        (gomr.lines, pl.DataFrame, "for batches, input=gomr.batches(gomr.lines)"),
        (gomr.batches, str, "batches are pyarrow.RecordBatch or polars.DataFrame"),
        (gomr.batches, pa.Table, "batches are pyarrow.RecordBatch or polars.DataFrame"),
        (gomr.batches, pl.LazyFrame, "batches are pyarrow.RecordBatch or polars.DataFrame"),
        (gomr.batches, "Nowhere", "annotation of 'batch' cannot be resolved"),
    ],
    ids=str,
)
def test_records_that_the_format_never_gives_are_refused(
    record_format: Any, annotation: Any, says: str
) -> None:
    message = refusal(mapper=mapper_of(annotation), input=record_format)
    assert says in message
    assert "the mapper's annotation " in message


HIDDEN = """
from __future__ import annotations
from typing import TYPE_CHECKING
import gomr_runtime as gomr
if TYPE_CHECKING:
    import typing as t
    from collections.abc import Iterator, Sequence
    from typing import Any
    import polars as pl
    from shop.models import Order, UserId

def mapper(ctx: Hidden, {record}) -> Iterator[Order]:
    yield "a", 1

def reducer(ctx: Hidden, {values}) -> Nothing:
    yield key, sum(values)

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input={format}))
"""


@pytest.mark.parametrize(
    ("record", "values", "delivery", "value_type"),
    [
        ("line: str", "key: str, values: Iterator[int]", "iterator", "int"),
        ("line: Order", "key: UserId, values: Sequence[Any]", "list", ""),
        ("line", "key, values: t.Iterator[float]", "iterator", "float"),
        ("line: t.Any", "key: Nobody, values: list[t.Any]", "list", ""),
    ],
)
def test_names_that_only_type_checkers_see(
    tmp_path: Path, record: str, values: str, delivery: str, value_type: str
) -> None:
    path = tmp_path / "worker.py"
    path.write_text(HIDDEN.format(record=record, values=values, format="gomr.lines"))
    got = program_of(config_of(path), b"", "worker.py")
    assert (got.delivery, got.description.value_type) == (delivery, value_type)


def test_frames_that_only_type_checkers_see_are_known(tmp_path: Path) -> None:
    path = tmp_path / "worker.py"
    text = HIDDEN.format(record="batch: pl.DataFrame", values="key, values", format="gomr.batches")
    path.write_text(text)
    assert program_of(config_of(path), b"", "worker.py").declared.map_frames == "polars"


def test_types_of_values_that_only_type_checkers_see_are_refused(tmp_path: Path) -> None:
    """Of another type, values would have to be converted."""
    path = tmp_path / "worker.py"
    path.write_text(HIDDEN.format(record="x", values="key, values: list[Order]", format="gomr.csv"))
    with pytest.raises(UsageError, match="'Order' is not defined; import what it names outside"):
        config_of(path)
