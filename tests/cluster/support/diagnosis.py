"""What is on the cluster when a test fails: all that there is to go by where only its output is."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.build_cache import BuildFailed
from tests.cluster.support.kubectl import kubectl

_EVENTS = 40
_LOG_LINES = 25
_PODS = 8


def diagnosis(namespaces: Iterable[str]) -> str:
    """Nodes, and pods, events and the last lines of logs in the namespaces, a heading each."""
    parts = [_told("nodes", "get", "nodes", "--output=wide")]
    for namespace in namespaces:
        place = f"--namespace={namespace}"
        parts.append(_told(f"pods in {namespace}", "get", "pods", place, "--output=wide"))
        order = "--sort-by=.metadata.creationTimestamp"
        parts.append(_told(f"events in {namespace}", "get", "events", place, order, last=_EVENTS))
        for pod, previous in _pods(place)[:_PODS]:
            logs = ["logs", place, pod, "--all-containers", f"--tail={_LOG_LINES}"]
            parts.append(_told(f"log of {pod}", *logs))
            if previous:
                parts.append(_told(f"log of {pod} before its restart", *logs, "--previous"))
    return "\n".join(parts)


def _told(heading: str, *arguments: str, last: int = _LOG_LINES) -> str:
    try:
        said = kubectl(*arguments, seconds=20)
    except BuildFailed as error:
        said = str(error)
    return "\n".join([f"-- {heading}", *said.splitlines()[-last:]])


def _pods(place: str) -> list[tuple[str, bool]]:
    """The pods by name, and whether a container of theirs was restarted; the newest first."""
    try:
        found = json.loads(kubectl("get", "pods", place, "--output=json", seconds=20))["items"]
    except BuildFailed:
        return []
    found.sort(key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    return [
        (
            pod["metadata"]["name"],
            any(one["restartCount"] for one in pod["status"].get("containerStatuses", ())),
        )
        for pod in found
    ]
