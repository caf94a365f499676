"""Committed map output that a reducer finds bad: that map runs again, and nothing else."""

from __future__ import annotations

from typing import Any

from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.scheduler.commands import (
    AnnouncePhase,
    Command,
    CommitAttempt,
    FinishRun,
    PromoteOutput,
    RepeatMap,
    SealMaps,
)
from gomr_runtime.scheduler.events import CommitRecovered, CommitSettled, MapsSealed
from gomr_runtime.scheduler.state import Phase
from tests.unit.support.scheduler_script import Script, attempt, only, started


def reducing(maps: int = 2, reduces: int = 2, **config: Any) -> Script:
    """Maps are committed by worker m, and each reduce-i runs on worker ri."""
    run = Script(**config)
    run.plan(maps, reduces)
    run.join("m", want=maps)
    for index in range(maps):
        run.finish("m", attempt(index))
    run.tell(MapsSealed)
    run.join(*(f"r{index}" for index in range(reduces)), want=1)
    return run


def reduce(index: int, number: int = 1) -> AttemptId:
    return attempt(index, number, kind="reduce")


def blame(run: Script, index: int, bad_map: int, number: int = 1) -> list[Command]:
    """reduce-`index` says that the output of map-`bad_map` is bad."""
    return run.fail(f"r{index}", reduce(index, number), kind="corrupt", bad_map=bad_map)


def test_S6_the_bad_map_runs_again_and_the_reduce_after_it() -> None:
    run = reducing()
    out = blame(run, 0, bad_map=1)
    assert out == [RepeatMap(TaskId("map", 1), "it died"), AnnouncePhase("map")]
    assert started(run.want("m")) == [("m", "map-1/2")]
    assert run.finish("m", attempt(1, 2)) == [CommitAttempt(attempt(1, 2), 1), SealMaps()]
    run.want("m")
    assert started(run.tell(MapsSealed)) == [("m", "reduce-0/2")]
    assert run.scheduler.state.committed_attempts("map") == [attempt(0), attempt(1, 2)]
    assert run.scheduler.state.tasks["reduce"][0].failures == 0


def test_S6_a_reduce_that_could_read_its_part_stands() -> None:
    run = reducing()
    blame(run, 0, bad_map=0)
    assert run.finish("r1", reduce(1)) == [CommitAttempt(reduce(1))]
    run.want("m")
    run.finish("m", attempt(0, 2))
    run.want("r1")
    assert started(run.tell(MapsSealed)) == [("r1", "reduce-0/2")]
    assert run.finish("r1", reduce(0, 2))[-1] == PromoteOutput()


def test_S6_what_an_older_list_says_of_a_map_that_ran_again_costs_nothing() -> None:
    run = reducing(reduces=3)
    blame(run, 0, bad_map=0)
    assert only(RepeatMap, blame(run, 1, bad_map=0)) == []
    run.want("m")
    run.finish("m", attempt(0, 2))
    run.tell(MapsSealed)
    assert only(RepeatMap, blame(run, 2, bad_map=0)) == []
    assert run.scheduler.state.tasks["map"][0].generation == 1
    assert [task.failures for task in run.scheduler.state.tasks["reduce"]] == [0, 0, 0]


def test_S6_another_map_is_found_bad_while_the_first_runs_again() -> None:
    run = reducing()
    blame(run, 0, bad_map=0)
    assert only(RepeatMap, blame(run, 1, bad_map=1)) == [RepeatMap(TaskId("map", 1), "it died")]
    assert started(run.want("m", 2)) == [("m", "map-0/2"), ("m", "map-1/2")]
    run.finish("m", attempt(0, 2))
    assert run.finish("m", attempt(1, 2))[-1] == SealMaps()


def test_S6_another_map_is_found_bad_while_the_new_list_is_stored() -> None:
    run = reducing(reduces=3)
    blame(run, 0, bad_map=0)
    run.want("m")
    run.finish("m", attempt(0, 2))
    assert run.scheduler.state.phase is Phase.SEAL
    assert blame(run, 1, bad_map=1) == []
    assert blame(run, 2, bad_map=1) == []
    assert run.tell(MapsSealed) == [RepeatMap(TaskId("map", 1), "it died"), AnnouncePhase("map")]
    assert started(run.want("m")) == [("m", "map-1/2")]
    assert run.finish("m", attempt(1, 2))[-1] == SealMaps()
    assert run.tell(MapsSealed)[0] == AnnouncePhase("reduce")


def test_S6_damage_without_end_ends_the_run() -> None:
    run = reducing(maps=1, reduces=1, max_attempts=3)
    run.leave("m")
    for number in (1, 2):
        blame(run, 0, bad_map=0, number=number)
        assert started(run.want("r0")) == [("r0", f"map-0/{number + 1}")]
        run.finish("r0", attempt(0, number + 1))
        run.want("r0")
        assert started(run.tell(MapsSealed)) == [("r0", f"reduce-0/{number + 1}")]
    (end,) = only(FinishRun, blame(run, 0, bad_map=0, number=3))
    assert isinstance(end.error, CorruptBlock)
    assert "map-0 was stored 3 times and found damaged each time" in str(end.error)
    assert end.error.exit_code == 3


def test_S6_a_reader_that_blames_is_not_asked_again_first() -> None:
    run = reducing(reduces=1)
    run.join("other")
    blame(run, 0, bad_map=0)
    run.want("m")
    run.finish("m", attempt(0, 2))
    run.tell(MapsSealed)
    assert started(run.want("r0")) == []
    assert started(run.want("other")) == [("other", "reduce-0/2")]


def test_S6_what_is_damaged_but_no_maps_is_the_attempts_failure() -> None:
    for bad_map in (-1, 7):
        run = reducing(max_attempts=1)
        (end,) = only(FinishRun, blame(run, 0, bad_map=bad_map))
        assert isinstance(end.error, CorruptBlock)


def test_a_map_cannot_blame_a_map() -> None:
    run = Script(max_attempts=1)
    run.plan(2, 1)
    run.join("w", want=2)
    run.finish("w", attempt(0))
    out = run.fail("w", attempt(1), kind="corrupt", bad_map=0)
    assert isinstance(only(FinishRun, out)[0].error, CorruptBlock)


def test_S6_a_recovered_generation_goes_on_counting() -> None:
    run = Script(first_attempt=1001, max_attempts=3)
    run.plan(1, 1)
    run.tell(CommitRecovered, attempt(0, 7), 1)
    run.tell(MapsSealed)
    run.join("r0", want=1)
    blame(run, 0, bad_map=0, number=1001)
    run.join("m", want=1)
    assert run.succeed("m", attempt(0, 1001)) == [CommitAttempt(attempt(0, 1001), 2)]


def test_S6_manifests_that_do_not_last_end_the_run() -> None:
    run = Script(max_attempts=3)
    run.plan(2, 1)
    run.join("w", want=2)
    run.succeed("w", attempt(0))
    assert run.tell(CommitSettled, attempt(0), attempt(0), 2) == []
    assert run.scheduler.state.tasks["map"][0].generation == 2
    run.succeed("w", attempt(1))
    (end,) = only(FinishRun, run.tell(CommitSettled, attempt(1), attempt(1), 3))
    assert isinstance(end.error, CorruptBlock)
    assert "map-1: its manifest was stored 3 times" in str(end.error)
