"""Nodes lost in the middle of a run: the same bytes as without, and nothing left.

How long a run took from the fault to its end is in the property `seconds` of the report
(`pytest --junitxml`), and in what `pytest -rP` shows.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.errors import EXIT_ENVIRONMENT, EnvironmentFailed
from gomr_runtime.model import layout
from gomr_runtime.model.summary import Summary
from k8s import manifest_objects
from k8s.manifest_objects import COMPONENT, MINIO_SELECTOR, RunPods, of_run
from k8s.run import run_objects
from k8s.run.cluster_run import ClusterRun
from tests.cluster.support import held_runs
from tests.cluster.support.built.images import ensure_on_nodes
from tests.cluster.support.held_runs import HeldRun
from tests.cluster.support.runs_on_cluster import Program, Runs

MOST_SECONDS = 120.0  # from the fault to the end of the run
OUTAGE = 60.0  # of MinIO's node
RECOVERY_SECONDS = 180.0  # from the fault to the end of the run that nobody watches
GONE_SECONDS = 150.0  # from there until nothing is left, with a reaper that comes every minute
NODES_OF = "jsonpath={.items[*].spec.nodeName}"
PATIENCE = 30.0  # with MinIO, instead of minutes
RBAC = Path(__file__).parents[2] / "k8s" / "manifests" / "rbac"
Record = Callable[[str, object], None]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def program() -> Program:
    return held_runs.PROGRAM


def node_of(runs: Runs, selector: str) -> str:
    """The node of the first pod of those."""
    path = "jsonpath={.items[0].spec.nodeName}"
    return runs.kubectl("get", "pods", "-l", selector, f"--output={path}")


def other_node(runs: Runs) -> str:
    """The node that MinIO is not on."""
    (other,) = set(runs.administrator.workers) - {node_of(runs, MINIO_SELECTOR)}
    return other


def report(held: HeldRun, record: Record, what: str) -> None:
    record("seconds", round(held.seconds, 1))
    print(f"{what} while in {held.phase}: over {held.seconds:.1f} s later")


@pytest.mark.parametrize("phase", ["map", "reduce"])
@pytest.mark.parametrize("fault", ["stopped", "cut_off"])
def test_W9_M2_a_node_without_minio_is_lost(
    runs: Runs, expected: dict[str, bytes], record_property: Record, fault: str, phase: str
) -> None:
    with contextlib.ExitStack() as until_then:

        def lose(run: ClusterRun) -> None:
            node = other_node(runs)
            on_it = runs.kubectl("get", "pods", "-l", of_run(run.job.run), "--output=wide")
            assert f" {node} " in on_it
            master = node_of(runs, f"{of_run(run.job.run)},{COMPONENT}=master")
            print(f"node {node} {fault}, the master is {'too' if master == node else 'not'}")
            lost = getattr(runs.administrator, fault)
            until_then.enter_context(lost(node))

        held = HeldRun(runs, phase, lose)
        summary = held.finish()
        report(held, record_property, f"node {fault}")
        assert [line for line in held.lines if line.startswith("node ") and " is lost: " in line]
        assert runs.parts(summary) == expected
        assert held.seconds < MOST_SECONDS


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_S1_the_node_of_minio_is_away_for_a_minute(
    runs: Runs, expected: dict[str, bytes], record_property: Record, phase: str
) -> None:
    with contextlib.ExitStack() as until_then:
        back = threading.Timer(OUTAGE, until_then.close)

        def lose(_: ClusterRun) -> None:
            node = node_of(runs, MINIO_SELECTOR)
            until_then.enter_context(runs.administrator.stopped(node))
            back.start()

        held = HeldRun(runs, phase, lose)
        try:
            summary = held.finish()
        finally:
            if back.ident is not None:
                back.join()
        report(held, record_property, f"MinIO's node stopped for {OUTAGE:.0f} s")
        assert runs.parts(summary) == expected
        assert held.seconds < OUTAGE + MOST_SECONDS


def test_S1_the_node_of_minio_stays_away(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s.pods.trouble.STORE_PATIENCE", PATIENCE)
    with contextlib.ExitStack() as until_then:

        def lose(_: ClusterRun) -> None:
            until_then.enter_context(runs.administrator.stopped(node_of(runs, MINIO_SELECTOR)))

        held = HeldRun(runs, "map", lose, noticed=lambda _: False)
        with pytest.raises(EnvironmentFailed, match="MinIO is not ready, tasks wait for it") as end:
            held.finish()
        assert end.value.exit_code == EXIT_ENVIRONMENT
        assert [line for line in held.lines if line.startswith("MinIO is not ready")]


class _Seen(Exception):
    """Enough was seen of a run."""


@pytest.mark.timeout(600, func_only=True)
def test_M2_the_master_comes_back_while_no_client_watches(
    runs: Runs, expected: dict[str, bytes], record_property: Record
) -> None:
    """The node that is lost has all pods of the run, and stays away: then nothing is left."""
    node = other_node(runs)
    with reaper(runs), left_alone(runs, node) as held, runs.administrator.stopped(node):
        run = held.run.job.run
        began = time.monotonic()
        held.open()
        runs.wait_until_over(run, RECOVERY_SECONDS)
        over = time.monotonic() - began
        runs.wait_until_gone(run, GONE_SECONDS)
        gone = time.monotonic() - began
    summary = from_json(Summary, runs.store.get(layout.summary(run)))
    record_property("seconds", round(over, 1))
    print(f"node of the master stopped, no client: over {over:.1f} s later, gone {gone:.1f} s")
    assert runs.parts(summary) == expected


@pytest.mark.timeout(600, func_only=True)
def test_a_run_without_its_store_goes_while_no_client_watches(
    runs: Runs, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MinIO's node is lost with all pods of the run, and stays away. Masters are fewer, and wait
    for seconds in place of minutes."""
    usual = manifest_objects.master_job

    def impatient(pods: RunPods) -> dict[str, Any]:
        job = usual(pods)
        (container,) = job["spec"]["template"]["spec"]["containers"]
        container["env"].append({"name": "GOMR_S3_RETRY_SECONDS", "value": "5"})
        job["spec"]["backoffLimit"] = 2
        return job

    monkeypatch.setattr(manifest_objects, "master_job", impatient)
    node = node_of(runs, MINIO_SELECTOR)
    with reaper(runs), left_alone(runs, node) as held, runs.administrator.stopped(node):
        began = time.monotonic()
        runs.wait_until_gone(held.run.job.run, RECOVERY_SECONDS + GONE_SECONDS)
        took = time.monotonic() - began
    record_property("seconds", round(took, 1))
    print(f"node of MinIO and all pods stopped, no client: gone {took:.1f} s later")


@contextlib.contextmanager
def reaper(runs: Runs) -> Iterator[None]:
    """The one of k8s/manifests/rbac, which comes more often and waits less."""
    made = runs.kubectl("kustomize", str(RBAC))
    wanted = [o for o in yaml.safe_load_all(made) if o["metadata"]["name"] == "gomr-reaper"]
    kinds = {found["kind"]: found for found in wanted}
    kinds["RoleBinding"]["subjects"][0]["namespace"] = runs.cluster.namespace
    kinds["CronJob"]["spec"]["schedule"] = "* * * * *"
    pod = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"][0] |= {
        "image": ensure_on_nodes("gomr-python"),
        "env": [{"name": "GOMR_REAPER_PATIENCE", "value": "5"}],
    }
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
    runs.kubectl("apply", "--filename=-", given=listed)
    try:
        yield
    finally:
        runs.kubectl("delete", "--filename=-", given=listed)


@contextlib.contextmanager
def left_alone(runs: Runs, node: str) -> Iterator[HeldRun]:
    """A run that is held in its map, with all pods on the node, and that nobody watches."""

    def stop_watching(_: ClusterRun) -> None:
        raise _Seen

    held = HeldRun(runs, "map", stop_watching)
    run = held.run
    try:
        with only_on(runs, node):
            run.start()
            with pytest.raises(_Seen):
                held.follow()
        run.leave()
        where = runs.kubectl("get", "pods", "-l", of_run(run.job.run), f"--output={NODES_OF}")
        assert set(where.split()) == {node}
        yield held
    finally:
        run_objects.delete(runs.cluster, run.job.run)


@contextlib.contextmanager
def only_on(runs: Runs, node: str) -> Iterator[None]:
    """Pods made meanwhile are placed on the node alone."""
    others = set(runs.administrator.workers) - {node}
    for other in others:
        runs.kubectl("cordon", other)
    try:
        yield
    finally:
        for other in others:
            runs.kubectl("uncordon", other)
