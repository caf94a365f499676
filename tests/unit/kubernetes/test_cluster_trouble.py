"""What is said of pods in trouble, from answers that a real API server gave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.errors import EXIT_ENVIRONMENT, EXIT_JOB_FAILED
from k8s.pods.trouble import (
    AT_ONCE,
    CONFIG_PATIENCE,
    IMAGE_PATIENCE,
    MOUNT_PATIENCE,
    Evidence,
    Trouble,
    kind_of,
    refused_pods,
    trouble_of,
    unpack_scheduler,
    volume_trouble,
)
from k8s.pods.watch import each_once

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def of_pod(name: str) -> Trouble:
    found = recorded(name)
    trouble = trouble_of(Evidence(found["pod"], found["events"], found.get("log", "")))
    assert trouble is not None
    assert trouble.message.isprintable(), "one line"
    return trouble


def of_workload(name: str) -> Trouble:
    found = recorded(name)
    trouble = refused_pods(found["workload"], found["events"])
    assert trouble is not None
    return trouble


def test_no_node_has_room() -> None:
    trouble = of_pod("no-room")
    assert kind_of(trouble) == "room"
    assert trouble.role == "worker"
    assert "(it needs cpu 250m and memory 60192M)" in trouble.message
    assert trouble.message.endswith("1 node: too little memory; 1 node: set aside (tainted)")


def test_a_pod_that_runs_has_no_trouble() -> None:
    found = recorded("running")
    assert trouble_of(Evidence(found["pod"], found["events"])) is None


@pytest.mark.parametrize(
    ("name", "kind", "patience", "message"),
    [
        (
            "image-pull",
            "image",
            IMAGE_PATIENCE,
            r"node gomr-worker2 cannot get image localhost/minio:\S+: the registry cannot be "
            r"reached \(connection refused\)",
        ),
        (
            "pull-refused",
            "image",
            IMAGE_PATIENCE,
            r"cannot get image localhost:1/nope/mr-worker:x: the registry cannot be reached",
        ),
        (
            "never-pull",
            "image",
            AT_ONCE,
            r"image mr-worker:nope is not on node gomr-worker and is not to be pulled: load it",
        ),
        ("no-config", "config", CONFIG_PATIENCE, r'cannot be started: secret "nope" not found'),
        (
            "no-program",
            "config",
            CONFIG_PATIENCE,
            r'cannot be started: exec: "no-such-program": executable file not found in \$PATH',
        ),
        ("no-secret", "mount", MOUNT_PATIENCE, r'secret "run-words-1" not found'),
        (
            "evicted",
            "evicted",
            None,
            r'was evicted on node gomr-worker2: Usage of EmptyDir volume "tmp" exceeds the limit',
        ),
        ("out-of-memory", "memory", None, r"was killed: it reached its memory limit of 492M"),
        (
            "crash-loop",
            "crash",
            AT_ONCE,
            r"ended with exit code 1 and was started again 2 times: \S+: Error while finding",
        ),
    ],
)
def test_what_keeps_a_pod_from_working(
    name: str, kind: str, patience: float | None, message: str
) -> None:
    trouble = of_pod(name)
    assert kind_of(trouble) == kind
    assert trouble.patience == patience
    assert re.search(message, trouble.message), trouble.message


def test_the_last_lines_of_a_container_that_died() -> None:
    assert "No module named 'gomr_runtime'" in of_pod("crash-loop").detail


def test_too_little_memory_is_the_jobs_fault() -> None:
    assert of_pod("out-of-memory").exit_code == EXIT_JOB_FAILED
    assert of_pod("crash-loop").exit_code == EXIT_ENVIRONMENT


def test_of_several_pods_with_one_trouble_the_worst_counts() -> None:
    found = recorded("crash-loop")
    twice = trouble_of(Evidence(found["pod"], found["events"], found["log"]))
    found["pod"]["status"]["containerStatuses"][0]["restartCount"] = 1
    once = trouble_of(Evidence(found["pod"], found["events"], found["log"]))
    assert once is not None
    assert twice is not None
    assert once.patience is None, "once may be an accident"
    assert each_once([once, twice]) == each_once([twice, once]) == [twice]


def test_a_cluster_that_grows_is_given_more_time() -> None:
    found = recorded("no-room")
    scaling = [*found["events"], {"reason": "TriggeredScaleUp", "message": "pod triggered it"}]
    slow, quick = trouble_of(Evidence(found["pod"], scaling)), of_pod("no-room")
    assert slow is not None
    assert (slow.patience or 0) > 10 * (quick.patience or 0)
    assert "the cluster is adding a node" in slow.message


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint "
            "{node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu. preemption: 0/3 nodes "
            "are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims "
            "found for incoming pod.",
            "1 node: set aside (node-role.kubernetes.io/control-plane); 2 nodes: too little cpu",
        ),
        (
            "0/4 nodes are available: 1 node(s) had volume node affinity conflict, 3 node(s) "
            "didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: "
            "0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
            "1 node: the volume lies on another node; 3 nodes: didn't match Pod's node "
            "affinity/selector",
        ),
        ("no nodes available to schedule pods", "no nodes available to schedule pods"),
    ],
)
def test_the_scheduler_in_plain_words(message: str, plain: str) -> None:
    assert unpack_scheduler(message) == plain


def test_a_quota_ends_the_workers() -> None:
    trouble = of_workload("quota-workers")
    assert trouble.role == "worker"
    assert trouble.message.startswith("no pod can be made for deployment worker-words-1: exceeded")
    assert "quota: small, requested: limits.memory=1192M, used: limits.memory=512Mi" in (
        trouble.message
    )
    assert trouble.message.endswith("ask for more, or use fewer workers or less --memory")


def test_a_quota_ends_the_master() -> None:
    trouble = of_workload("quota-master")
    assert trouble.role == "master"
    assert "exceeded quota: none, requested: pods=1, used: pods=0" in trouble.message


def test_pod_security_is_named() -> None:
    trouble = of_workload("pod-security")
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true' in trouble.message


def test_no_storage_class() -> None:
    found = recorded("no-volume")
    trouble = volume_trouble(found["claim"], found["events"])
    assert trouble is not None
    assert trouble.message == (
        "no volume for minio-pvc: no persistent volumes available for this claim and no storage "
        "class is set; kubectl get storageclass shows what the cluster offers"
    )
    assert "its volume is not there" in of_pod("no-volume-pod").message
