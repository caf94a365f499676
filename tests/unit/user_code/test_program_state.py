"""A config of functions that are there already: each task in `gomr.testing` finds them fresh."""

from __future__ import annotations

import enum
import functools
import importlib
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import numpy
import pytest

import gomr_runtime as gomr
from gomr_runtime.testing import run_local, run_mapper, run_reducer
from gomr_runtime.user_code.program_state import ProgramState
from tests.unit.user_code.test_fresh_program import KEPT, TEXT, WAYS, WORDS, WORKER

SEEN: Counter[str] = Counter()
NAMES = {"seen": SEEN}  # the same object once more
LOCK = threading.Lock()
TOTAL = 0


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import modules from, which are gone afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["worker.py"])
    yield tmp_path
    for name in ("worker", "helper", "pack", "pack.inner"):
        sys.modules.pop(name, None)


def imported(folder: Path, way: str) -> ModuleType:
    before, keep, kept = WAYS[way]
    (folder / "pack").mkdir()
    files = {"helper": KEPT, "pack/__init__": "", "pack/inner": KEPT}
    files["worker"] = WORKER.format(before=before, keep=keep, kept=kept).replace(
        "gomr.run(gomr.MapReduceConfig(", "pass\nCONFIG = (gomr.MapReduceConfig("
    )
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module("worker")


@pytest.mark.parametrize("way", WAYS)
def test_what_a_task_keeps_is_gone_with_it(modules: Path, way: str) -> None:
    worker = imported(modules, way)
    for _ in range(2):
        assert dict(run_local(worker, TEXT, mappers=4).pairs) == WORDS


def count(ctx: gomr.Context) -> None:
    if "/map-" in ctx.attempt_id:
        for word, n in sorted(SEEN.items()):
            ctx.emit(word, n)


def in_the_test_module(ctx: gomr.Context, line: str) -> None:
    with LOCK:
        NAMES["seen"].update(line.split())


class Words:
    """An object as a mapper."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, ctx: gomr.Context, line: str) -> None:
        self.seen.update(line.split())

    def finish(self, ctx: gomr.Context) -> None:
        if "/map-" in ctx.attempt_id:
            ctx.emit_many(self.seen.items())


def closures() -> tuple[Any, Any]:
    seen: defaultdict[str, int] = defaultdict(int)

    def mapper(ctx: gomr.Context, line: str) -> None:
        for word in line.split():
            seen[word] += 1

    def finish(ctx: gomr.Context) -> None:
        if "/map-" in ctx.attempt_id:
            ctx.emit_many(seen.items())

    return mapper, finish


def decorated() -> tuple[Any, Any]:
    def twice(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*given: Any) -> Any:
            return function(*given)

        return wrapper

    mapper, finish = closures()
    return twice(functools.partial(mapper)), twice(finish)


def bound() -> tuple[Any, Any]:
    words = Words()
    return words.__call__, words.finish


CONFIGS = {
    "globals of the test module": lambda: (in_the_test_module, count),
    "an object": lambda: ((words := Words()), words.finish),
    "bound methods": bound,
    "closures": closures,
    "decorators and partials": decorated,
}


@pytest.mark.parametrize("how", CONFIGS)
def test_functions_of_a_test(how: str) -> None:
    mapper, finish = CONFIGS[how]()
    config = gomr.MapReduceConfig(mapper=mapper, finish=finish, reducer=gomr.sum, input=gomr.lines)
    for _ in range(2):
        assert dict(run_local(config, TEXT, mappers=4).pairs) == WORDS
    assert Counter() == SEEN


def test_what_was_patched_stays_patched(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = imported(modules, "a module beside it")
    monkeypatch.setattr(sys.modules["helper"], "SEEN", Counter(patched=1))
    found = dict(run_local(worker, "a\n", mappers=1, reducers=1).pairs)
    assert found == {"a": 1, "patched": 1}


def test_a_mock_hears_of_all_calls() -> None:
    heard = Mock(return_value=1)

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, heard(line))

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    assert run_local(config, "a\nb\n").pairs == [("a", 1), ("b", 1)]
    assert [call.args for call in heard.call_args_list] == [("a",), ("b",)]


@pytest.mark.parametrize("mappers", [1, 4])
def test_variables_of_the_test_collect_what_all_tasks_add(mappers: int) -> None:
    lines: list[str] = ["before"]
    words: set[str] = set()
    counts: Counter[str] = Counter()
    last: dict[str, int] = {}
    calls, latest = 0, ""

    def mapper(ctx: gomr.Context, line: str) -> None:
        nonlocal calls, latest
        lines.append(line)
        words.update(line.split())
        counts.update(line.split())
        last[line] = calls
        calls, latest = calls + 1, line

    def finish(ctx: gomr.Context) -> None:
        if "/map-" in ctx.attempt_id:
            ctx.emit_many(counts.items())
            ctx.emit("calls", calls)
            ctx.emit("before", lines.count("before"))

    config = gomr.MapReduceConfig(mapper=mapper, finish=finish, reducer=gomr.sum, input=gomr.lines)
    for run in (1, 2):
        found = dict(run_local(config, TEXT, mappers=mappers).pairs)
        assert found == {**WORDS, "calls": 9, "before": mappers}
        assert lines == ["before", *TEXT.splitlines() * run]
        assert (words, calls, latest) == (set(WORDS), 9 * run, TEXT.splitlines()[-1])
        assert counts == {word: n * run for word, n in WORDS.items()}
        assert last.keys() == set(TEXT.splitlines())


def test_variables_of_earlier_tests_are_compared_with_nothing() -> None:
    """Theirs may hold what does not take `==`, as an array does not."""

    def total(seen: Any, lines: str) -> list[tuple[Any, Any]]:
        calls = 0

        def mapper(ctx: gomr.Context, line: str) -> None:
            nonlocal calls
            calls += len(seen[:0]) + 1

        def finish(ctx: gomr.Context) -> None:
            if "/map-" in ctx.attempt_id:
                ctx.emit("calls", calls)

        config = gomr.MapReduceConfig(mapper=mapper, finish=finish, input=gomr.lines)
        return [run_local(config, lines, mappers=1).pairs[0] for _ in range(2)]

    assert total(numpy.arange(3), "a\n") == [("calls", 1)] * 2
    assert total([], "a\nb\n") == [("calls", 2)] * 2


def test_one_call_is_a_task_too() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        global TOTAL
        TOTAL += int(line)
        ctx.emit("total", TOTAL)

    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
        global TOTAL
        TOTAL += sum(values)
        ctx.emit(key, TOTAL)

    assert [run_mapper(mapper, "2") for _ in range(2)] == [[("total", 2)]] * 2
    assert [run_reducer(reducer, "k", [1, 2]) for _ in range(2)] == [[("k", 3)]] * 2
    assert TOTAL == 0


class Colour(enum.Enum):
    RED = 1


@dataclass
class Held:
    colour: Colour = Colour.RED
    words: list[str] = field(default_factory=list)
    made = 0


HELD = Held()
SELF: list[Any] = []
SELF.append(SELF)


def test_classes_and_identities_stay_what_they_are() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        Held.made += 1
        Held.last = line  # type: ignore[attr-defined]
        HELD.words.append(line)
        right = (
            type(HELD) is Held
            and HELD.colour is Colour.RED
            and SELF[0] is SELF
            and sys.modules[__name__].__dict__["HELD"] is HELD
        )
        ctx.emit(line, (right, Held.made, HELD.words[:]))

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    pairs = run_local(config, "a\nb\n", mappers=2).pairs
    assert pairs == [("a", (True, 1, ["a"])), ("b", (True, 1, ["b"]))]
    assert (Held.made, HELD.words, hasattr(Held, "last")) == (0, [], False)


def test_what_cannot_be_copied_is_shared() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    lock, lines = threading.Lock(), (line for line in "ab")

    def mapper(ctx: gomr.Context, line: str) -> None:
        with lock:
            ctx.emit(line, next(lines) if deep else "")

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    assert run_local(config, "1\n2\n", mappers=2).pairs == [("1", "a"), ("2", "b")]
    while deep:
        deep = deep[0]


def test_nothing_of_libraries_is_touched() -> None:
    state = ProgramState(
        gomr.MapReduceConfig(mapper=in_the_test_module, finish=count, reducer=gomr.sum)
    )
    with state.fresh() as config:
        assert config.mapper is in_the_test_module
        assert config.reducer is gomr.sum
        assert SEEN is NAMES["seen"]
