"""How many workers fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from k8s.pods import capacity

GI = 2**30
RECORDED = Path(__file__).parent / "recorded"


def node(name: str, cpu: str, memory: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def spec(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
    return {"containers": [{"resources": resources}], **more}


def pod(on: str, pod_spec: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    return {"spec": {**pod_spec, "nodeName": on}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("250m", 0.25), ("1", 1.0), ("0.5", 0.5), (".5", 0.5), (3, 3.0)),
        *(("1Gi", GI), ("1G", 1e9), ("128974848", 128974848.0), ("129e6", 129e6)),
        *(("129M", 129e6), ("123Mi", 123 * 2**20), ("12E", 12e18), ("1k", 1e3), ("100n", 1e-7)),
    ],
)
def test_quantities(text: str | int, number: float) -> None:
    assert capacity.quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "1gi", "1 Gi", "x", "1KB", "--1"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        capacity.quantity(text)


def test_room_is_what_the_pods_leave() -> None:
    nodes = [node("a", "2", "4Gi"), node("b", "2", "16Gi")]
    pods = [
        pod("a", spec("500m", "1Gi")),
        pod("b", spec("1", "1Gi")),
        pod("b", spec("1", "1Gi"), phase="Succeeded"),  # takes nothing any more
        pod("gone", spec("9", "9Gi")),
    ]
    found = capacity.room(nodes, pods, spec("250m", "1Gi"))
    # a: 1.5 cpu and 3 Gi left, so memory ends it at 3; b: 1 cpu, 15 Gi, so cpu ends it at 4.
    assert found.node_room == {"a": 3, "b": 4}
    assert found.fits == 7


def test_the_master_takes_its_place_first() -> None:
    nodes = [node("a", "1", "2Gi")]
    assert capacity.room(nodes, [], spec("100m", "1Gi")).fits == 2
    assert capacity.room(nodes, [], spec("100m", "1Gi"), [spec("100m", "512Mi")]).fits == 1


@pytest.mark.parametrize(
    "closed",
    [
        node("n", "8", "8Gi", unschedulable=True),
        node("n", "8", "8Gi", taints=[{"key": "k", "effect": "NoSchedule"}]),
        {**node("n", "8", "8Gi"), "status": {"allocatable": {"cpu": "8"}, "conditions": []}},
    ],
)
def test_nodes_that_take_no_pods_do_not_count(closed: dict[str, Any]) -> None:
    assert capacity.room([closed], [], spec("1", "1Gi")).fits == 0


def test_pods_a_node_can_have_end_it_too() -> None:
    small = node("a", "64", "64Gi")
    small["status"]["allocatable"]["pods"] = "3"
    found = capacity.room([small], [pod("a", spec("0", "0"))], spec("1m", "1Mi"))
    assert (found.fits, found.limit) == (2, "pods")


def test_init_containers_count_when_they_are_larger() -> None:
    heavy = spec("100m", "1Gi", initContainers=[{"resources": {"requests": {"cpu": "2"}}}])
    assert capacity.requests_of(heavy) == {"pods": 1.0, "cpu": 2.0, "memory": GI}


def test_limits_stand_in_for_requests() -> None:
    only_limits = {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}
    assert capacity.requests_of(only_limits)["cpu"] == 2.0


def quota(hard: dict[str, str], used: dict[str, str], **more: Any) -> dict[str, Any]:
    status = {"hard": hard, "used": used}
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **more}, "status": status}


def test_quotas_end_it() -> None:
    worker, master = spec("250m", "1Gi"), spec("100m", "1Gi")
    quotas = [
        quota({"requests.memory": "10Gi", "count/jobs.batch": "1"}, {"requests.memory": "2Gi"}),
        quota({"limits.memory": "6Gi"}, {"limits.memory": "0"}),
    ]
    fits, reason = capacity.quota_room(quotas, worker, [master])
    assert (fits, reason) == (5, "quota q: limits.memory 6Gi")
    assert capacity.quota_room([], worker, []) == (capacity.UNLIMITED, "")


def test_a_quota_that_is_used_up_leaves_nothing() -> None:
    used_up = quota({"pods": "3"}, {"pods": "3"})
    assert capacity.quota_room([used_up], spec("1", "1"), [spec("1", "1")])[0] == 0


def test_quotas_of_other_pods_do_not_count() -> None:
    scoped = quota({"pods": "0"}, {}, scopes=["BestEffort"])
    assert capacity.quota_room([scoped], spec("1", "1"), [])[0] == capacity.UNLIMITED


def test_what_is_free_is_said_by_node() -> None:
    nodes = [node("b", "2", "2G"), node("a", "2", "4G")]
    text = capacity.free_text(nodes, [pod("a", spec("500m", "1G"))])
    assert text == "free: a 1.5 cpu and 3.0 GB, b 2.0 cpu and 2.0 GB"


def test_nodes_and_quotas_as_a_real_api_server_gives_them() -> None:
    nodes = json.loads((RECORDED / "nodes.json").read_text())["nodes"]
    found = capacity.room(nodes, [], spec("250m", "1192M"))
    assert found.node_room == {"fake-a": 3}, "the other is tainted"
    quotas = json.loads((RECORDED / "quotas.json").read_text())["quotas"]
    assert capacity.quota_room(quotas, spec("1", "1"), []) == (0, "quota none: pods 0")
