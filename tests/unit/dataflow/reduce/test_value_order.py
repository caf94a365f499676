"""Sorted values of a key of any size: as Python sorts them, in bounded memory, no file left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api.aggregates import identity
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.reduce import value_order
from gomr_runtime.dataflow.reduce.value_order import ValueSorter
from gomr_runtime.errors import RecordFailed, ScratchFailed
from tests.unit.support.dataflow_job import Job, Limits, config_of

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.booleans())
COLUMNS = st.one_of(
    st.lists(NUMBERS),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=9)),
    st.lists(st.binary(max_size=9)),
    st.lists(st.tuples(st.integers(0, 3), st.text("ab", max_size=2))),
)


def sorter(folder: Path, key: Callable[[Any], Any] | None = None) -> ValueSorter:
    return ValueSorter(key, folder, 200, lambda: None)


def chunks(values: list[Any], size: int) -> Iterator[tuple[list[Any], int]]:
    for start in range(0, len(values), size):
        some = values[start : start + size]
        yield some, 8 * len(some)


@settings(max_examples=60)
@given(COLUMNS, st.integers(1, 5), st.integers(1, 6))
def test_as_python_sorts_them(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], size: int, times: int
) -> None:
    folder = tmp_path_factory.mktemp("sorted")
    many = values * times
    made = sorter(folder)
    found = list(made.sort(chunks(many, size)))
    assert [(type(v), v) for v in found] == [(type(v), v) for v in sorted(many)]
    made.clear()
    assert list(folder.iterdir()) == []


def test_equal_values_keep_their_order_over_many_passes(tmp_path: Path) -> None:
    values = [(n % 3, n) for n in range(500)]
    made = sorter(tmp_path, key=lambda pair: pair[0])
    found = made.sort(chunks(values, 2))
    assert next(found) == (0, 0)
    assert 1 < len(list(tmp_path.iterdir())) <= 4, "merged in passes"
    assert [(0, 0), *found] == sorted(values, key=lambda pair: pair[0])
    made.clear()
    assert list(tmp_path.iterdir()) == []


def giant(folder: Path, reducer: Any, records: list[list[tuple[str, Any]]]) -> str:
    """A job whose only key has too many values for a window, each chunk being a run of its own."""
    config = config_of(records, reducer=reducer, sort_values=True)
    limits = Limits(small_rows=4, frame_rows=3, giant_rows=2, budget=200, widest=2)
    return Job(folder, config, len(records), limits=limits).run().text


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_order, "bytes_of", lambda values, stored: 1 << 40)


@pytest.mark.usefixtures("tiny")
def test_U12_a_giant_group_is_sorted_in_files(tmp_path: Path) -> None:
    def reducer(ctx: Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, list(values))

    def first(ctx: Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, next(values))

    records = [[("k", (n * 7) % 50)] for n in range(50)]
    assert giant(tmp_path / "all", reducer, records) == f"k\t{list(range(50))}\n".replace(" ", "")
    assert giant(tmp_path / "first", first, records) == "k\t0\n"


@pytest.mark.usefixtures("tiny")
def test_values_that_do_not_compare_are_the_keys_failure(tmp_path: Path) -> None:
    def swallowing(ctx: Context, key: str, values: Iterator[Any]) -> None:
        try:
            ctx.emit(key, list(values))
        except TypeError:
            ctx.emit(key, "swallowed")

    for number, records in enumerate(
        (
            [[("k", n)] for n in range(20)] + [[("k", "text")] for _ in range(20)],
            [[("k", n)] if n % 2 else [("k", "text")] for n in range(20)],
        )
    ):
        with pytest.raises(RecordFailed, match=r"reduce-0, key 'k': TypeError: '<' not supported"):
            giant(tmp_path / str(number), swallowing, records)


@pytest.mark.usefixtures("tiny")
def test_a_full_disk_while_sorting_is_no_keys_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device")

    def reducer(ctx: Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, list(values))

    monkeypatch.setattr(value_order, "open_scratch", full)
    with pytest.raises(ScratchFailed, match="No space left on device"):
        giant(tmp_path, reducer, [[("k", n)] for n in range(50)])


def _listed(ctx: Context, key: str, values: list[Any]) -> None:
    ctx.emit(key, len(values))


def _streamed(ctx: Context, key: str, values: Iterator[Any]) -> None:
    ctx.emit(key, len(list(values)))


@pytest.mark.parametrize("reducer", [_listed, _streamed])
@pytest.mark.parametrize("giant_rows", [2, 65_536])
@pytest.mark.parametrize(
    ("values", "key"),
    [([2.0, math.nan, 1.0], None), ([(2, 1.0), (1, math.nan)], None), ([1, 2], lambda _: math.nan)],
    ids=["float", "tuple", "key"],
)
def test_nan_has_no_place(
    tmp_path: Path, reducer: Any, giant_rows: int, values: list[Any], key: Any
) -> None:
    records = [[("k", value)] for value in values]
    config = config_of(records, reducer=reducer, sort_values=True, sort_key=key)
    job = Job(tmp_path, config, len(records), limits=Limits(giant_rows=giant_rows))
    with pytest.raises(RecordFailed, match="reduce-0, key 'k': TypeError: NaN has no place"):
        job.run()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("giant_rows", [2, 65_536])
def test_identity_passes_sorted_values_on(tmp_path: Path, giant_rows: int) -> None:
    records = [[("k", value), ("l", value)] for value in (3, 1, 2)]
    limits = Limits(giant_rows=giant_rows)
    up = config_of(records, reducer=identity, sort_values=True)
    down = config_of(records, reducer=identity, sort_key=lambda value: -value)
    found = Job(tmp_path / "up", up, 3, limits=limits, mappers=2).run().text
    assert found == "".join(f"{key}\t{n}\n" for key in "kl" for n in (1, 2, 3))
    found = Job(tmp_path / "down", down, 3, limits=limits).run().text
    assert found == "".join(f"{key}\t{n}\n" for key in "kl" for n in (3, 2, 1))
