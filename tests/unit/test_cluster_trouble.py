"""What is said of pods in trouble, from answers that a real API server gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.cluster.trouble import (
    Evidence,
    Trouble,
    kind_of,
    refused_pods,
    trouble_of,
    unpack_scheduler,
    volume_trouble,
)

RECORDED = Path(__file__).parent / "kubernetes"


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
