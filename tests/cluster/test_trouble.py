"""Runs that cannot work end within seconds and say why; nothing of them is left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gomr_runtime.errors import EXIT_ENVIRONMENT, EnvironmentFailed, JobFailed, NotPermitted
from gomr_runtime.storage.s3.settings import S3Settings
from k8s.api.connection import Cluster, connect
from k8s.manifest_objects import RunPods
from k8s.run import cluster_run
from k8s.run.cluster_run import ClusterRun
from k8s.run.fit import fitting_workers
from k8s.store.access import StoreAccess
from k8s.store.minio import find_or_start
from k8s.store.run_login import master_settings
from tests.cluster.support.built.images import ensure_on_nodes
from tests.cluster.support.layout import CONTEXT, kubeconfig_path
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import (
    STORE_SIZE,
    TEXT,
    Log,
    Runs,
    counted,
    minio_image,
    warnings_of,
    within,
    words,
)

RBAC = Path(__file__).parents[2] / "k8s" / "manifests" / "rbac"
CANARY = "canary-S3cr3t-0123456789"
SECONDS = 60.0  # far less than a person waits in silence; patience and a loaded machine included


def connected_as(cluster: RunningCluster, namespace: str, account: str) -> Cluster:
    """With the rights of a service account of the namespace."""
    token = cluster.kubectl(f"--namespace={namespace}", "create", "token", account).strip()
    config: dict[str, Any] = yaml.safe_load(kubeconfig_path().read_text())
    config["users"][0]["user"] = {"token": token}
    return connect(CONTEXT, namespace, kubeconfig=config)


def with_role(cluster: RunningCluster, namespace: str, *without: tuple[str, str]) -> Cluster:
    """With the documented Role. without: verbs that are taken out of it, with a resource."""
    wanted: list[dict[str, Any]] = []
    for name in ("role.yaml", "flow.yaml"):
        wanted += yaml.safe_load_all((RBAC / name).read_text())
    for found in wanted:
        for subject in found.get("subjects", ()):
            subject["namespace"] = namespace
        for rule in found.get("rules", ()):
            lost = {verb for verb, resource in without if resource in rule["resources"]}
            rule["verbs"] = [verb for verb in rule["verbs"] if verb not in lost]
    listed = {"apiVersion": "v1", "kind": "List", "items": wanted}
    cluster.kubectl(f"--namespace={namespace}", "apply", "-f", "-", given=json.dumps(listed))
    return connected_as(cluster, namespace, "gomr-flow")


def pods_of(memory: int) -> RunPods:
    s3 = S3Settings("http://minio:9000", access_key="k", secret_key="s", allow_http=True)
    return RunPods("any", "mr-master:x", "mr-worker:x", 1, memory, "s3://map-reduce-bucket", s3)


def test_K5_a_run_with_the_documented_role_where_pod_security_is_restricted(
    cluster: RunningCluster, restricted_namespace: str, runs: Runs
) -> None:
    with with_role(cluster, restricted_namespace) as connection:
        warnings = warnings_of(connection)
        with pytest.raises(NotPermitted, match="you may not list secrets in namespace"):
            connection.select("Secret")
        with find_or_start(connection, STORE_SIZE, minio_image()) as minio:
            there = Runs(cluster, connection, minio, runs.images, runs.folder)
            summary = there.finish(there.make())
            assert words(there.parts(summary)) == counted(TEXT)
        assert warnings == []


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "jobs"),
        ("patch", "jobs"),
        ("create", "secrets"),
        ("list", "pods"),
        ("create", "deployments"),
    ],
)
def test_a_missing_right_is_named(
    cluster: RunningCluster, namespace: str, runs: Runs, verb: str, resource: str
) -> None:
    with with_role(cluster, namespace, (verb, resource)) as connection:
        run = replace_cluster(runs, connection).make()
        with (
            within(SECONDS),
            pytest.raises(NotPermitted, match=f"you may not {verb} {resource} in") as caught,
        ):
            see_through(run)
        assert caught.value.exit_code == EXIT_ENVIRONMENT
        assert "k8s/manifests/rbac/role.yaml" in str(caught.value)


def see_through(run: ClusterRun) -> None:
    """Without the check that nothing is left, which takes rights too."""
    try:
        run.start()
        run.result()
    finally:
        run.leave()


def replace_cluster(runs: Runs, connection: Cluster) -> Runs:
    """Runs with the same store and images, with another connection."""
    return Runs(runs.administrator, connection, runs.minio, runs.images, runs.folder)


def test_W11_an_image_that_no_node_has(runs: Runs) -> None:
    run = runs.make(pods={"worker_image": "mr-worker:nowhere"})
    with (
        within(SECONDS),
        pytest.raises(EnvironmentFailed, match=r"image mr-worker:nowhere is not on node \S+ and"),
    ):
        runs.finish(run)


def test_W11_an_image_that_no_registry_gives(runs: Runs) -> None:
    run = runs.make(pods={"master_image": "localhost:1/mr-master:x", "pull": "IfNotPresent"})
    with (
        within(SECONDS),
        pytest.raises(EnvironmentFailed, match="cannot get image localhost:1/mr-master:x"),
    ):
        runs.finish(run)


def test_W11_workers_that_crash_show_their_last_lines(runs: Runs) -> None:
    run = runs.make(pods={"worker_image": ensure_on_nodes("gomr-python")})
    log = Log()
    with within(SECONDS), pytest.raises(EnvironmentFailed, match="ended with exit code 1") as found:
        runs.finish(run, log)
    assert "No module named 'gomr_runtime'" in found.value.detail
    assert len([line for line in log.lines if "ended with exit code 1" in line]) == 1, "told once"


def test_M4_a_master_that_cannot_start_shows_its_last_lines(runs: Runs) -> None:
    run = runs.make(pods={"master_image": ensure_on_nodes("gomr-python")})
    with within(SECONDS), pytest.raises(EnvironmentFailed) as caught:
        runs.finish(run)
    assert "No module named 'gomr_runtime'" in caught.value.detail


def test_U4_memory_names_the_limit_and_the_record(runs: Runs) -> None:
    run = runs.make(params={"hold": str(10**9)})
    with within(SECONDS), pytest.raises(JobFailed, match=r"the limit is 300 MB \(--memory\) in"):
        runs.finish(run)


def test_W11_pods_without_room_are_said_to_have_none(runs: Runs) -> None:
    run = runs.make(memory=500 * 10**9)
    with within(SECONDS), pytest.raises(EnvironmentFailed, match="no node takes pod") as caught:
        runs.finish(run)
    assert "too little memory" in str(caught.value)
    assert "free: " in str(caught.value)


def test_a_run_starts_with_the_workers_that_fit(runs: Runs) -> None:
    fit = fitting_workers(runs.cluster, pods_of(10**9), 500)
    assert 1 <= fit.workers < 500
    assert f"500 workers were asked for, {fit.workers} fit" in fit.note
    assert fitting_workers(runs.cluster, pods_of(10**9), 1).note == ""
    with pytest.raises(EnvironmentFailed, match=r"has no room for a worker of 0.25 cpu and 500"):
        fitting_workers(runs.cluster, pods_of(500 * 10**9), 2)


def test_a_run_goes_on_with_the_workers_that_found_room(runs: Runs) -> None:
    """Somebody took the room meanwhile; nobody waits for it."""
    slow = {"map": "0.25"}  # 25 s a task: longer than it is waited for room before it is told
    run = runs.make(workers=60, memory=10**9, params=slow)
    log = Log()
    with within(120):
        summary = runs.finish(run, log)
    assert words(runs.parts(summary)) == counted(TEXT)
    assert [line for line in log.lines if "no node takes pod worker-" in line]


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ("pods=0", "no pod can be made for job"),
        ("limits.memory=700M", "no pod can be made for deployment"),
    ],
)
def test_a_quota_is_named(
    cluster: RunningCluster, namespace: str, runs: Runs, quota: str, message: str
) -> None:
    cluster.kubectl(f"--namespace={namespace}", "create", "quota", "small", f"--hard={quota}")
    with connect(CONTEXT, namespace) as connection:
        limited = replace_cluster(runs, connection)
        with within(SECONDS), pytest.raises(EnvironmentFailed, match=message) as caught:
            limited.finish(limited.make())
        assert "exceeded quota: small" in str(caught.value)


def test_a_namespace_that_is_not_there(cluster: RunningCluster, runs: Runs) -> None:
    with connect(CONTEXT, "no-such-namespace") as connection:
        limited = replace_cluster(runs, connection)
        with pytest.raises(EnvironmentFailed, match="kubectl create namespace no-such-namespace"):
            limited.make().start()


def test_credentials_that_do_not_fit(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master is refused by the store; what pods say and are holds no secret."""

    def not_those(access: StoreAccess, run: str) -> S3Settings:
        return replace(master_settings(access, run), secret_key=CANARY)

    monkeypatch.setattr(cluster_run, "master_settings", not_those)
    run = runs.make()
    try:
        run.start()
        with within(SECONDS), pytest.raises(EnvironmentFailed, match="access denied") as caught:
            run.result()
        told = runs.kubectl("get", "pods,events,jobs,deployments", "--output=json")
    finally:
        run.close()
    for text in (told, str(caught.value), caught.value.detail):
        assert CANARY not in text
