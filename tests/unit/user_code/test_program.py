"""What a config says of a job, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gomr_runtime.api import aggregates
from gomr_runtime.api.config import MapReduceConfig, total_order
from gomr_runtime.api.context import Context
from gomr_runtime.api.user_frames import describe, user_frames
from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.program import Program, program_of


def mapper(ctx: Context, chunk: str) -> None:
    """Emits nothing."""


def bare(ctx, key, values):  # type: ignore[no-untyped-def]
    """No annotation."""


def ints(ctx: Context, key: str, values: list[int]) -> None:
    """A list of ints."""


def floats(ctx: Context, key: str, values: Iterator[float]) -> None:
    """A stream of floats."""


def lists(ctx: Context, key: str, values: Iterable[list[int]]) -> None:
    """A stream of lists."""


def unresolved(ctx: Context, key: str, values: list[Nowhere]) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Names a type that does not exist."""


class Reducing:
    def __call__(self, ctx: Context, key: str, values: list[int]) -> None:
        """An object as a reducer."""


def adding(start: int, ctx: Context, key: str, values: list[int]) -> None:
    """To be a partial."""


def program(**fields: Any) -> Program:
    return program_of(MapReduceConfig(mapper=mapper, **fields), b"", "worker.py")


@pytest.mark.parametrize(
    ("reducer", "delivery", "value_type"),
    [
        (bare, "list", ""),
        (ints, "list", "int"),
        (floats, "iterator", "float"),
        (lists, "iterator", "list"),
        (Reducing(), "list", "int"),
        (functools.partial(adding, 1), "list", "int"),
        (aggregates.max, "list", ""),
    ],
)
def test_annotations_decide_delivery_and_conversion(
    reducer: Any, delivery: str, value_type: str
) -> None:
    got = program(reducer=reducer)
    assert (got.delivery, got.description.value_type) == (delivery, value_type)


@pytest.mark.parametrize(
    ("combiner", "reducer", "value_type"),
    [
        (floats, bare, "float"),
        (floats, floats, "float"),
        (bare, ints, "int"),
        (aggregates.max, ints, "int"),
        (None, ints, "int"),
        (bare, bare, ""),
    ],
)
def test_the_combiners_annotation_comes_first(combiner: Any, reducer: Any, value_type: str) -> None:
    assert program(combiner=combiner, reducer=reducer).description.value_type == value_type


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reducer": unresolved}, "annotation of 'values' cannot be resolved: NameError"),
        ({"reducer": mapper}, r"takes \(ctx, key, values\), not 2 parameters"),
        ({"reducer": max}, "max takes no .ctx, key, values.: name gomr.max"),
        ({"reducer": 3}, "reducer=3"),
        ({"reducer": aggregates.top}, "name n"),
        ({"reducer": ints, "combiner": aggregates.count}, "it is a reducer only"),
        ({"combiner": aggregates.sum}, "map-only"),
        ({"partitioner": total_order}, "map-only"),
        ({"reducer": ints, "partitioner": 3}, "partitioner=3"),
        ({"reducer": ints, "setup": "x"}, "setup='x'"),
    ],
)
def test_a_wrong_config_is_a_usage_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        program(**fields)


def test_a_config_that_is_none() -> None:
    with pytest.raises(UsageError, match="not dict"):
        program_of({}, b"", "worker.py")


def test_the_description_names_what_was_chosen() -> None:
    said = program(reducer=aggregates.top(3), combiner=aggregates.top(3), sort_values=True)
    assert said.description.reducer == said.description.combiner == "top(3)"
    assert said.description.sort_values
    assert not said.description.map_only
    assert program().description.map_only
    assert program(reducer=ints, partitioner=total_order).description.partitioner == "total_order"
    assert program(reducer=ints, partitioner=lambda key, n: 0).description.partitioner == "user"
    assert len(said.description.worker_sha256) == 64


def raised(function: Any) -> BaseException:
    try:
        function()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("it did not raise")


def test_frames_are_the_users_in_every_link_of_the_chain() -> None:
    def reducer() -> None:
        try:
            aggregates.top(0)
        except ValueError as error:
            raise LookupError("while asking for the top") from error

    error = raised(reducer)
    shown = user_frames(error)
    assert "LookupError: while asking for the top" in shown
    assert "gomr.top(0)" in shown
    assert "aggregates.py" not in shown
    assert shown.count(__file__) == 3
    assert describe(error) == "LookupError: while asking for the top"


def test_an_error_without_user_frames_shows_none() -> None:
    error = raised(lambda: program(reducer=3))
    assert describe(error).startswith("MapReduceConfig(reducer=3)")
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next.tb_next.tb_next  # type: ignore[union-attr]
    assert user_frames(error) == ""
