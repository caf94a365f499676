"""What the JSON of pods, and of the Jobs that make them, says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Object = dict[str, Any]

YOUNG = 30.0  # seconds
CRASHES = 2  # restarts after which a container that keeps dying is given up
# A Job whose pods are not all gone, as on a node that does not answer, is only about to be over.
OVER = {"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"}
SIGNALS = {134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}


def works(pod: Object) -> bool:
    """Whether the pod runs and did not just come back from a crash."""
    status = container_status(pod)
    running = "running" in (status.get("state") or {})
    return running and not is_going(pod) and status.get("restartCount", 0) < CRASHES


def is_going(pod: Object) -> bool:
    """Whether somebody deleted the pod."""
    return "deletionTimestamp" in pod["metadata"]


def is_lost(pod: Object) -> bool:
    """Whether the pod was given up because its node does not answer."""
    for condition in pod.get("status", {}).get("conditions") or ():
        lost = condition["type"] == "DisruptionTarget" and condition["status"] == "True"
        if lost and condition.get("reason") == "DeletionByTaintManager":
            return True
    return False


def is_ready(pod: Object) -> bool:
    """Whether the pod takes connections and is not on its way out."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_running(pod: Object) -> bool:
    """Whether the pod has been started: it will soon take connections, for clients that try."""
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"


def grace_of(pod: Object) -> float:
    """Seconds that the pod has for its end."""
    return float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def how_ended(job: Object) -> str | None:
    """Why a Job is over, for people; None while it is not."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["type"] in OVER and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or condition["type"])
    return None


def dies_young(pod: Object) -> bool:
    """Whether the pod failed before it can have done anything."""
    ended = terminated(container_status(pod))
    if phase(pod) != "Failed" or ended is None or not ended.get("exitCode"):
        return False
    try:
        started, finished = (
            datetime.fromisoformat(ended[name]) for name in ("startedAt", "finishedAt")
        )
    except (KeyError, ValueError):
        return False
    return (finished - started).total_seconds() < YOUNG


def phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def name_of(pod: Object) -> str:
    return f"pod {pod['metadata']['name']}"


def role_of(pod: Object) -> str:
    """The component the pod is of."""
    return str(pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", "pod"))


def container(pod: Object) -> Object:
    found: Object = pod["spec"]["containers"][0]
    return found


def container_status(pod: Object) -> Object:
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    found: Object = statuses[0]
    return found


def waiting(status: Object) -> tuple[str, str]:
    waiting = (status.get("state") or {}).get("waiting") or {}
    return waiting.get("reason", ""), waiting.get("message", "")


def terminated(status: Object) -> Object | None:
    """How the container ended last; None when it never did."""
    for when in ("state", "lastState"):
        if ended := (status.get(when) or {}).get("terminated"):
            found: Object = ended
            return found
    return None


def ending(ended: Object) -> str:
    code = ended["exitCode"]
    return f"exit code {code}" + (f" ({SIGNALS[code]})" if code in SIGNALS else "")
