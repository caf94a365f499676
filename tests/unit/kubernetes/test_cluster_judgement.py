"""Which troubles end a run, and after how long."""

from __future__ import annotations

from typing import Any

import pytest

from k8s.pods.judgement import MEMORY_DEATHS, Judge
from k8s.pods.trouble import Trouble

SLOW = Trouble("room:worker", "no room", patience=15.0, tell_after=2.0)


def pod(role: str, **state: Any) -> dict[str, Any]:
    status = {"containerStatuses": [{"state": state or {"running": {}}, "restartCount": 0}]}
    return {
        "metadata": {"labels": {"app.kubernetes.io/component": role}},
        "spec": {},
        "status": {"phase": "Running", **status},
    }


def test_a_trouble_is_told_once_it_lasts_and_then_never_again() -> None:
    judge = Judge()
    told = [judge.judge((), [SLOW], now).new for now in (0.0, 1.9, 2.0, 3.0, 14.0)]
    assert told == [(), (), (SLOW,), (), ()]


def test_what_passes_is_not_told() -> None:
    judge = Judge()
    assert judge.judge((), [SLOW], 0.0).new == ()
    assert judge.judge((), [], 1.0).new == ()
    assert judge.judge((), [SLOW], 2.5).new == (), "it began anew"


def test_it_ends_the_run_when_its_patience_is_over() -> None:
    judge = Judge()
    fatal = [judge.judge((), [SLOW], now).fatal for now in (100.0, 114.9, 115.0)]
    assert fatal == [None, None, SLOW]


def test_a_pause_begins_the_count_anew() -> None:
    judge = Judge()
    judge.judge((), [SLOW], 0.0)
    judge.judge((), [], 10.0)
    assert judge.judge((), [SLOW], 16.0).fatal is None


def test_a_run_goes_on_with_the_workers_that_work() -> None:
    judge = Judge()
    for now in (0.0, 100.0):
        assert judge.judge([pod("worker")], [SLOW], now).fatal is None
    # A master that works does not help workers that do not.
    fatal = [judge.judge([pod("master")], [SLOW], now).fatal for now in (200.0, 214.9, 215.0)]
    assert fatal == [None, None, SLOW]


def test_what_an_earlier_master_died_of_does_not_end_the_run_when_the_next_one_goes() -> None:
    """As when a node restarts with the first, and somebody deletes the second."""
    died = Trouble("crash:master-1", "ended with 255", patience=15.0, role="master")
    judge = Judge()
    assert judge.judge((), [died], 0.0).fatal is None
    assert judge.judge([pod("master")], [died], 10.0).fatal is None
    assert judge.judge((), [died], 20.0).fatal is None, "a third one is on its way"
    assert judge.judge([pod("master")], [died], 30.0).fatal is None
    assert [judge.judge((), [died], now).fatal for now in (40.0, 55.0)] == [None, died]


@pytest.mark.parametrize("state", [{"waiting": {"reason": "x"}}, {"terminated": {}}])
def test_a_pod_that_does_not_run_helps_nobody(state: dict[str, Any]) -> None:
    judge = Judge()
    judge.judge([pod("worker", **state)], [SLOW], 0.0)
    assert judge.judge([pod("worker", **state)], [SLOW], 15.0).fatal is SLOW


def test_some_troubles_end_it_at_once_and_some_never() -> None:
    at_once = Trouble("image:x", "not there", patience=0.0)
    never = Trouble("node:n", "lost", patience=None, tell_after=0.0)
    assert Judge().judge((), [never, at_once], 0.0).fatal is at_once
    judge = Judge()
    assert judge.judge((), [never], 0.0).new == (never,)
    assert judge.judge((), [never], 1e6).fatal is None


def test_so_many_deaths_for_want_of_memory_end_it_although_others_work() -> None:
    judge, pods = Judge(), [pod("worker")]
    deaths = [Trouble(f"memory:pod-{n}:0", "killed", None) for n in range(MEMORY_DEATHS)]
    for n, death in enumerate(deaths[:-1]):
        assert judge.judge(pods, [death], float(n)).fatal is None
    assert judge.judge(pods, [deaths[-1]], 9.0).fatal is deaths[-1]
