"""The same bytes whatever the plan, the combiner and the path through the engine."""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.dataflow import stages
from gomr_runtime.dataflow.emit import emitter
from gomr_runtime.dataflow.map import combine, native_emit
from gomr_runtime.dataflow.reduce import fan_in, groups, native_merge
from gomr_runtime.dataflow.shuffle import columns, gather, lists
from gomr_runtime.errors import RecordFailed
from gomr_runtime.testing import Result, run_local

pytestmark = pytest.mark.usefixtures("engine")

LINES = 90
WORDS = ["a", "b", "tab\there", "é", "\U0001f600", "long " * 40, ""]


def mapper(ctx: gomr.Context, line: str) -> None:
    for word in line.split("|"):
        ctx.emit(word, 1)


def add(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def config(combiner: Any, reducer: Any = add) -> gomr.MapReduceConfig:
    return gomr.MapReduceConfig(mapper=mapper, reducer=reducer, combiner=combiner, input=gomr.lines)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("|".join), max_size=40),
    st.integers(1, 4),
    st.integers(2, 12),
)
def test_random_text_gives_equal_bytes_for_any_mappers_and_combiner(
    lines: list[str], reducers: int, mappers: int
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    first = run_local(config(None), text, mappers=1, reducers=reducers)
    assert dict(first.pairs) == Counter(word for line in lines for word in line.split("|"))
    for combiner in (None, add, gomr.sum):
        found = run_local(config(combiner), text, mappers=mappers, reducers=reducers)
        assert found.parts == first.parts
    found = run_local(config(None, gomr.count), text, mappers=mappers, reducers=reducers)
    assert found.parts == first.parts


@pytest.mark.parametrize("output_format", ["text", "jsonl", "csv", "parquet"])
def test_mapper_counts_give_equal_bytes_in_every_format(output_format: Any) -> None:
    chance = random.Random(3)
    lines = ["|".join(chance.choices(WORDS, k=3)) for _ in range(60)]
    text = "".join(f"{line}\n" for line in lines)
    outputs = {
        tuple(run_local(config(combiner), text, mappers=n, output_format=output_format).parts)
        for n in (1, 2, 7, 40)
        for combiner in (None, add)
    }
    assert len(outputs) == 1


KEYS: list[Any] = [
    None,
    True,
    False,
    1,
    -1,
    2**70,
    -(2**70),
    0.5,
    -2.0,
    "a",
    "é",
    b"\x00",
    ("t", 1),
]
VALUES: list[Any] = [None, True, 1, 2**70, 0.5, "text", b"\xff", [1, [2]], {"a": (1,)}, (1, "x")]


MODULES: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (columns, combine, emitter, fan_in, gather, groups, lists, native_merge, stages)
}


def paths(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Module constants of the dataflow, so that small data takes the ways of large data."""
    for name, value in settings.items():
        module, _, constant = name.partition("__")
        places = [MODULES[module]] + [native_emit] * hasattr(native_emit, constant)
        for place in places:
            monkeypatch.setattr(place, constant, value)


TINY: dict[str, dict[str, Any]] = {
    "arrow": {"gather__SMALL_ROWS": 0, "fan_in__SMALL_ROWS": -1},
    "arrow map, plain reduce": {"gather__SMALL_ROWS": 0},
    "plain map, arrow reduce": {"fan_in__SMALL_ROWS": -1},
    "small drains": {
        "emitter__MOST_PAIRS": 3,
        "emitter__CHECK_PAIRS": 2,
        "emitter__LEAST_PAIRS": 1,
    },
    "spills": {"stages__budget_of": lambda memory: 2_000, "gather__SMALL_BYTES": 300},
    "plain spills": {"stages__budget_of": lambda memory: 2_000},
    "many passes": {
        "stages__budget_of": lambda memory: 2_000,
        "gather__SMALL_ROWS": 5,
        "fan_in__SMALL_ROWS": -1,
        "columns__TARGET_ROWS": 3,
    },
    "small frames": {"columns__TARGET_ROWS": 2, "lists__TARGET_ROWS": 2, "fan_in__SMALL_ROWS": -1},
    "giant groups": {
        "groups__GIANT_ROWS": 4,
        "gather__SMALL_ROWS": 0,
        "fan_in__SMALL_ROWS": -1,
        "columns__TARGET_ROWS": 3,
        "native_merge__WINDOW_ROWS": 2,
    },
    "small windows": {"native_merge__WINDOW_ROWS": 1, "fan_in__SMALL_ROWS": -1},
    "giant groups, plain": {"groups__GIANT_ROWS": 4},
}


@pytest.fixture(params=TINY)
def tiny(request: pytest.FixtureRequest) -> dict[str, Any]:
    return TINY[str(request.param)]


def mixed_job(kinds: str, reducer: Any, combiner: Any = None, mappers: int = 5) -> Result:
    def emit_mixed(ctx: gomr.Context, line: str) -> None:
        i = int(line)
        keys = KEYS if kinds == "mixed" else ["x", "y", "z" * 50, "é"]
        values = VALUES if kinds == "mixed" else range(1000)
        for k in range(4):
            ctx.emit(keys[(i * 5 + k * 3) % len(keys)], values[(i * 7 + k) % len(values)])

    job = gomr.MapReduceConfig(
        mapper=emit_mixed, reducer=reducer, combiner=combiner, input=gomr.lines
    )
    text = "".join(f"{i}\n" for i in range(LINES))
    return run_local(job, text, mappers=mappers, reducers=3)


def as_list(ctx: gomr.Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, values)


def stream(ctx: gomr.Context, key: Any, values: Iterator[Any]) -> None:
    ctx.emit(key, list(values))


@pytest.mark.parametrize(("kinds", "reducer"), [("mixed", stream), ("plain", gomr.identity)])
def test_spills_merges_and_giants_give_the_bytes_of_the_plain_path(
    monkeypatch: pytest.MonkeyPatch, tiny: dict[str, Any], kinds: str, reducer: Any
) -> None:
    expected = mixed_job(kinds, reducer)
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for i in range(LINES):
        keys = KEYS if kinds == "mixed" else ["x", "y", "z" * 50, "é"]
        values = VALUES if kinds == "mixed" else range(1000)
        for k in range(4):
            by_key[repr(keys[(i * 5 + k * 3) % len(keys)])].append(
                repr(values[(i * 7 + k) % len(values)])
            )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in expected.pairs:
        found[repr(key)] += map(repr, value if reducer is stream else [value])
    assert found == by_key
    paths(monkeypatch, **tiny)
    for mappers in (1, 13):
        assert mixed_job(kinds, reducer, mappers=mappers).parts == expected.parts


def test_sums_are_equal_on_every_path(
    monkeypatch: pytest.MonkeyPatch, tiny: dict[str, Any]
) -> None:
    expected = mixed_job("plain", gomr.sum).parts
    paths(monkeypatch, **tiny, combine__TRIAL_PAIRS=100)
    for reducer, combiner in ((stream_sum, None), (stream_sum, add), (gomr.sum, gomr.sum)):
        assert mixed_job("plain", reducer, combiner, mappers=2).parts == expected


def stream_sum(ctx: gomr.Context, key: Any, values: Iterator[int]) -> None:
    ctx.emit(key, sum(values))


@pytest.mark.parametrize("aggregate", [gomr.max, gomr.top(3), gomr.distinct])
def test_built_ins_are_equal_on_every_path(
    monkeypatch: pytest.MonkeyPatch, tiny: dict[str, Any], aggregate: Any
) -> None:
    expected = mixed_job("plain", aggregate).parts
    paths(monkeypatch, **tiny, combine__TRIAL_PAIRS=100)
    assert mixed_job("plain", aggregate, aggregate, mappers=7).parts == expected


def test_a_reducer_that_fails_while_runs_are_merged_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(ctx: gomr.Context, key: Any, values: list[Any]) -> None:
        raise LookupError(key)

    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    paths(monkeypatch, **TINY["many passes"])
    with pytest.raises(RecordFailed, match="LookupError"):
        mixed_job("plain", failing, mappers=30)
    gc.collect()
    assert ignored == []


def test_the_paths_are_really_taken(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    from gomr_runtime.dataflow.reduce import fan_in, groups, native_merge

    taken: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            taken[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    counted(gather.RunWriter, "write_columns")
    counted(native_emit, "write_pairs")
    counted(fan_in, "_pass")
    counted(groups, "Giant")
    counted(native_merge, "Giant")
    paths(monkeypatch, **TINY["many passes"])
    mixed_job("plain", stream, mappers=30)
    assert taken["write_pairs" if engine == "compiled" else "write_columns"] >= 30
    assert taken["_pass"] >= 3
    paths(monkeypatch, **TINY["giant groups"])
    mixed_job("plain", stream)
    assert taken["Giant"] >= 4
