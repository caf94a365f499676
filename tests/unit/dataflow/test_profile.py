"""`--profile`: where the time of tasks went. Figures exist and add up; how large they are is not
asserted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow import profile
from gomr_runtime.dataflow.profile import EmitSampler, Profile, profiled, timed, timed_each
from gomr_runtime.laws.results import KINDS

WORKER = """
import time
import gomr_runtime as gomr

def mapper(ctx, line):
    until = time.perf_counter() + 0.005
    while time.perf_counter() < until:
        pass
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "worker.py").write_text(WORKER)
    (folder / "input.txt").write_text("to be or not to be\n" * 40)
    command = [sys.executable, "worker.py", "--input", "input.txt", "--output", "out"]
    return subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_the_summary_says_where_the_time_went(tmp_path: Path, workers: tuple[str, ...]) -> None:
    done = run(tmp_path, "--profile", "--json", "--mappers", "2", "-q", *workers)
    summary = json.loads(done.stdout)
    assert list(summary["profile"]) == ["map", "reduce"]
    for kind, seconds in summary["profile"].items():
        assert set(seconds) == {*KINDS, "wait"}
        assert min(seconds.values()) >= 0
        phase = summary["phases"][kind] * summary["workers"]
        assert sum(seconds.values()) >= phase * 0.99  # wait is what is left of it
        # Tasks may begin a little before, and end after, the master takes note of the phase.
        assert sum(seconds.values()) - seconds["wait"] <= phase + summary["workers"]
    assert summary["profile"]["map"]["user"] >= 0.15  # 40 records of 5 ms, less what is sampled
    assert summary["profile"]["map"]["store"] > 0
    assert summary["profile"]["map"]["sort"] > 0


def test_people_see_it_too_and_only_when_they_ask(tmp_path: Path) -> None:
    text = run(tmp_path, "--profile").stderr
    (line,) = (line for line in text.split("\n") if line.startswith("   in map  "))
    assert re.search(r"\buser \d+\.\d s", line)
    assert "in reduce" in text
    text = run(tmp_path, "--overwrite").stderr
    assert "in map" not in text
    assert json.loads(run(tmp_path, "--overwrite", "--json", "-q").stdout)["profile"] == {}


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(profile, "perf_counter", found)
    return found


def test_every_second_belongs_to_the_innermost_block(clock: Clock) -> None:
    def slow() -> Any:
        for _ in range(3):
            clock.now += 10
            yield "item"

    with profiled(wanted=True) as found:
        clock.now += 1
        with timed("user"):
            clock.now += 2
            with timed("store"):
                clock.now += 4
            clock.now += 2
        for _ in timed_each("sort", slow()):
            clock.now += 1
    assert found.seconds == {"user": 4, "emit": 0, "sort": 30, "store": 4, "other": 4}


def test_a_block_that_raises_ends(clock: Clock) -> None:
    def fails() -> None:
        with timed("user"):
            clock.now += 2
            raise ValueError("bad")

    with profiled(wanted=True) as found:
        with pytest.raises(ValueError, match="bad"):
            fails()
        clock.now += 1
    assert (found.seconds["user"], found.seconds["other"]) == (2, 1)


def test_emits_are_sampled_and_the_rest_is_estimated(clock: Clock) -> None:
    def emit(key: Any, value: Any) -> None:
        del key, value
        clock.now += 3

    def block() -> None:
        clock.now += 1
        ctx.emit("k", 1)

    ctx = Context({}, "test")
    ctx.emit = emit
    ctx.emit_many = ctx.count = ctx.emit_batch = lambda *_: None
    with profiled(wanted=True) as found:
        sampler = EmitSampler(ctx)
        for _ in range(10):
            sampler.run(block)
            assert ctx.emit is emit
    assert found.seconds["user"] == pytest.approx(10)
    assert found.seconds["emit"] == pytest.approx(30)


def test_what_a_generator_of_the_users_does_is_no_emit(clock: Clock) -> None:
    def pairs() -> Any:
        for i in range(4):
            clock.now += 1
            yield i, 1

    def emit_many(given: Any) -> None:
        for _ in given:
            clock.now += 2

    ctx = Context({}, "test")
    ctx.emit = ctx.count = ctx.emit_batch = lambda *_: None
    ctx.emit_many = emit_many
    with profiled(wanted=True) as found:
        EmitSampler(ctx).run(lambda: ctx.emit_many(pairs()))
    assert (found.seconds["user"], found.seconds["emit"]) == pytest.approx((4, 8))


def test_without_a_profile_nothing_is_measured() -> None:
    with profiled(wanted=False) as found:
        items = [1, 2]
        assert timed_each("sort", items) is items
        with timed("user"):
            pass
    assert found.seconds == {}


def test_timing_an_emit_costs_little_beside_what_it_measures() -> None:
    inside, around = profile._timing_costs()
    assert 0 < inside < 1e-3
    assert 0 < around < 1e-3
    assert Profile().enter("user") == "other"


def test_a_profile_leaves_the_output_as_it_is(tmp_path: Path) -> None:
    outputs = []
    for name, options in (("a", ()), ("b", ("--profile",))):
        (tmp_path / name).mkdir()
        run(tmp_path / name, "--reducers", "2", *options)
        outputs.append([p.read_bytes() for p in sorted((tmp_path / name / "out").glob("output*"))])
    assert outputs[0] == outputs[1]
