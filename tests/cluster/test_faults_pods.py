"""Pods deleted in the middle of a run: the same bytes as without, and nothing left.

How long a run took from the fault to its end is in the property `seconds` of the report
(`pytest --junitxml`), and in what `pytest -rP` shows.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from k8s.manifest_objects import COMPONENT, MINIO_SELECTOR, of_run
from k8s.run.cluster_run import ClusterRun
from tests.cluster.support import held_runs
from tests.cluster.support.held_runs import HeldRun
from tests.cluster.support.runs_on_cluster import Program, Runs

WORKERS = 2
MOST_SECONDS = 120.0  # from the fault to the end of the run, whose own work takes a few of them
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def program() -> Program:
    return held_runs.PROGRAM


def check(held: HeldRun, expected: dict[str, bytes], record: Record, what: str) -> None:
    """See the run through."""
    summary = held.finish()
    assert held.runs.parts(summary) == expected
    record("seconds", round(held.seconds, 1))
    print(f"{what} while in {held.phase}: over {held.seconds:.1f} s later")
    assert held.seconds < MOST_SECONDS


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_W9_a_worker_pod_deleted_with_force(
    runs: Runs, expected: dict[str, bytes], record_property: Record, phase: str
) -> None:
    def delete(run: ClusterRun) -> None:
        pod = first_pod(runs, f"{of_run(run.job.run)},{COMPONENT}=worker")
        runs.kubectl("delete", pod, "--force", "--grace-period=0", "--wait=false")

    held = HeldRun(runs, phase, delete, lambda event: 0 < event.progress.workers < WORKERS)
    check(held, expected, record_property, "worker pod deleted with force")
    assert held.run.summary is not None
    tasks = held_runs.MAPPERS + held_runs.REDUCERS
    assert held.run.summary.attempts > tasks, "what it was at runs again"


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_M2_the_master_pod_deleted(
    runs: Runs, expected: dict[str, bytes], record_property: Record, phase: str
) -> None:
    """The workers end what they do while it is away."""

    def delete(run: ClusterRun) -> None:
        runs.kubectl("delete", master_pod(runs, run), "--wait=true")

    held = HeldRun(runs, phase, delete)
    check(held, expected, record_property, "master pod deleted")
    done = held_runs.DONE_BEFORE["map"] if phase == "map" else held_runs.MAPPERS + 2
    assert [line for line in held.lines if line.startswith("master 2 goes on: ")] == [
        f"master 2 goes on: {done} tasks are committed"
    ]


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_S1_the_pod_of_minio_deleted(
    runs: Runs, expected: dict[str, bytes], record_property: Record, phase: str
) -> None:
    """Held tasks end, and are to be stored, while it is away."""

    def delete(_: ClusterRun) -> None:
        runs.kubectl("delete", "pod", "-l", MINIO_SELECTOR, "--wait=true")

    check(HeldRun(runs, phase, delete), expected, record_property, "MinIO's pod deleted")


def master_pod(runs: Runs, run: ClusterRun) -> str:
    return first_pod(runs, f"{of_run(run.job.run)},{COMPONENT}=master")


def first_pod(runs: Runs, selector: str) -> str:
    return runs.kubectl("get", "pods", "-l", selector, "--output=name").split()[0]
