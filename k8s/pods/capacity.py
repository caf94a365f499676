"""How many workers a cluster has room for. Pure: nodes, pods and quotas as JSON in, numbers out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gomr_runtime.model.quantities import format_size

Object = dict[str, Any]
Amounts = dict[str, float]  # resource -> cores, bytes or a count

RESOURCES = ("cpu", "memory", "ephemeral-storage", "pods")
NODES_SHOWN = 5
UNLIMITED = 10**9
ENDED = {"Succeeded", "Failed"}
_QUANTITY = re.compile(r"([+-]?\d+\.?\d*|[+-]?\.\d+)(?:([eE][+-]?\d+)|([a-zA-Z]{0,2}))")
_FACTORS = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", 1)},
}


@dataclass(frozen=True, slots=True)
class Room:
    """How many pods of a kind fit. node_room: by node, for those that take pods at all.
    limit: in plain words what ends it first, "" when nothing was found out."""

    fits: int
    node_room: Mapping[str, int]
    limit: str


def quantity(text: str | int | float) -> float:
    """The number of a Kubernetes quantity: `250m`, `1Gi`, `12e6`, `0.5`; ValueError otherwise."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if not match or (match[3] or "") not in _FACTORS:
        raise ValueError(f"{text!r} is no quantity")
    return float(match[1] + (match[2] or "")) * _FACTORS[match[3] or ""]


def requests_of(pod_spec: Object) -> Amounts:
    """What the scheduler sets aside for a pod: the containers' sum, or a larger init container."""
    found: Amounts = {"pods": 1.0}
    for container in pod_spec.get("containers", ()):
        for name, amount in _requested(container).items():
            found[name] = found.get(name, 0.0) + amount
    for container in pod_spec.get("initContainers", ()):
        for name, amount in _requested(container).items():
            found[name] = max(found.get(name, 0.0), amount)
    for name, amount in (pod_spec.get("overhead") or {}).items():
        found[name] = found.get(name, 0.0) + quantity(amount)
    return found


def room(
    nodes: Iterable[Object],
    pods: Iterable[Object],
    wanted: Object,
    before: Sequence[Object] = (),
) -> Room:
    """How many pods of the spec `wanted` fit on the nodes beside `pods` and, placed first, those
    of `before` (the master). Nodes that take no ordinary pods are left out."""
    needed = requests_of(wanted)
    free = _free(nodes, pods)
    for other in before:
        needs = requests_of(other)
        place = next((left for left in free.values() if _count(left, needs)), None)
        if place is not None:
            _take(place, needs)
    fits = {name: _count(left, needed) for name, left in free.items()}
    return Room(sum(fits.values()), fits, _scarcest(free.values(), needed))


def quota_room(quotas: Iterable[Object], pod: Object, before: Sequence[Object]) -> tuple[int, str]:
    """How many pods of the spec `pod` the quotas of the namespace still allow after those of
    `before`, and which quota ends it; UNLIMITED without one. Quotas with scopes are left out: they
    may be about other pods."""
    most, reason = UNLIMITED, ""
    for quota in quotas:
        if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
            continue
        status = quota.get("status", {})
        for name, hard in status.get("hard", {}).items():
            need = _quota_need(name, pod)
            if not need:
                continue
            left = quantity(hard) - quantity(status.get("used", {}).get(name, 0))
            left -= sum(_quota_need(name, other) for other in before)
            if (fits := max(0, math.floor(left / need + 1e-9))) < most:
                most, reason = fits, f"quota {quota['metadata']['name']}: {name} {hard}"
    return most, reason


def limits_of(pod_spec: Object) -> Amounts:
    found: Amounts = {}
    for container in pod_spec.get("containers", ()):
        for name, text in (container.get("resources", {}).get("limits") or {}).items():
            found[name] = found.get(name, 0.0) + quantity(text)
    return found


def takes_pods(node: Object) -> bool:
    """Whether an ordinary pod may be placed on the node."""
    spec = node.get("spec", {})
    taints = {taint.get("effect") for taint in spec.get("taints") or ()}
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in node.get("status", {}).get("conditions", ())
    )
    return ready and not spec.get("unschedulable") and not taints & {"NoSchedule", "NoExecute"}


def _free(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, Amounts]:
    """By node that takes ordinary pods."""
    free = {node["metadata"]["name"]: _allocatable(node) for node in nodes if takes_pods(node)}
    for pod in pods:
        left = free.get(pod.get("spec", {}).get("nodeName", ""))
        if left is not None and pod.get("status", {}).get("phase") not in ENDED:
            _take(left, requests_of(pod["spec"]))
    return free


def whole_cores(node: Object) -> int:
    """Processors of the node that pods may use."""
    return math.floor(_allocatable(node).get("cpu", 0.0))


def _requested(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    stated = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(text) for name, text in stated.items() if name in RESOURCES}


def _allocatable(node: Object) -> Amounts:
    stated = node.get("status", {}).get("allocatable", {})
    return {name: quantity(stated[name]) for name in RESOURCES if name in stated}


def _take(left: Amounts, needs: Amounts) -> None:
    for name, amount in needs.items():
        if name in left:
            left[name] -= amount


def _count(left: Amounts, needs: Amounts) -> int:
    counts = [
        math.floor(left.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items() if amount
    ]
    return max(0, min(counts, default=0))


def _scarcest(free: Iterable[Amounts], wanted: Amounts) -> str:
    """The resource of which the nodes have least, against what is wanted."""
    total: Amounts = {}
    for left in free:
        for name, amount in left.items():
            total[name] = total.get(name, 0.0) + max(0.0, amount)
    shares = {name: total.get(name, 0.0) / need for name, need in wanted.items() if need}
    return min(shares, key=lambda name: shares[name]) if total and shares else ""


def _quota_need(name: str, pod: Object) -> float:
    """What one pod counts against the quota entry `name`; 0 for one that is about other things."""
    if name in {"pods", "count/pods"}:
        return 1.0
    if name.startswith("limits."):
        return limits_of(pod).get(name.removeprefix("limits."), 0.0)
    return requests_of(pod).get(name.removeprefix("requests."), 0.0)


def free_text(nodes: Iterable[Object], pods: Iterable[Object]) -> str:
    """What is free where, for people: `free: node-1 1.5 cpu and 3.2 GB, node-2 …`."""
    free = _free(nodes, pods)
    if not free:
        return "no node takes pods"
    shown = [
        f"{name} {max(0.0, left.get('cpu', 0.0)):.1f} cpu and "
        f"{format_size(max(0.0, left.get('memory', 0.0)))}"
        for name, left in sorted(free.items())[:NODES_SHOWN]
    ]
    more = len(free) - len(shown)
    return "free: " + ", ".join(shown) + (f" and {more} more nodes" if more > 0 else "")
