"""What is wrong with pods, in plain words. Pure: JSON of the Kubernetes API in, troubles out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gomr_runtime.errors import EXIT_ENVIRONMENT, EXIT_JOB_FAILED
from k8s.pods.state import (
    CRASHES,
    Object,
    container,
    container_status,
    dies_young,
    ending,
    is_going,
    is_lost,
    name_of,
    phase,
    role_of,
    terminated,
    waiting,
)

# Seconds that a trouble may last before it ends the run, if nothing else can go on.
AT_ONCE = 0.0
IMAGE_PATIENCE = 8.0  # a registry may stumble once
CONFIG_PATIENCE = 10.0
QUOTA_PATIENCE = 5.0
ROOM_PATIENCE = 15.0  # another pod may just be going
SCALE_UP_PATIENCE = 600.0  # a cluster that said it is adding a node
MOUNT_PATIENCE = 30.0
START_PATIENCE = 90.0  # a node that is gone loses its pods before
STORE_PATIENCE = 300.0
TELL_AFTER = 2.0
TELL_SLOW_AFTER = 10.0

PULLING = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
NO_IMAGE = {"ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_COUNTED = re.compile(r"(\d+) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. key: the same for the same trouble, whenever it is seen; it begins
    with what kind of trouble it is. role: `master` or `worker`. patience: seconds after which it
    ends the run if no other pod of the role works; None: it is only told. tell_after: seconds that
    it must last to be worth a line, unless it ends the run before."""

    key: str
    message: str
    patience: float | None
    role: str = "worker"
    exit_code: int = EXIT_ENVIRONMENT
    detail: str = ""
    tell_after: float = TELL_AFTER


@dataclass(frozen=True, slots=True)
class Evidence:
    """A pod, the events about it, and the end of the log of its container that ended last."""

    pod: Object
    events: Sequence[Object] = ()
    log: str = ""


def wants_events(pod: Object) -> bool:
    """Whether the pod's state does not say enough by itself."""
    return phase(pod) == "Pending" or bool(pod.get("status", {}).get("reason"))


def wants_log(pod: Object) -> bool:
    """Whether a container of the pod died."""
    status = container_status(pod)
    ended = terminated(status)
    return ended is not None and bool(ended.get("exitCode"))


def trouble_of(evidence: Evidence) -> Trouble | None:
    """What is wrong with one pod; None while nothing is, or nothing yet."""
    for rule in RULES:
        if found := rule(evidence):
            return replace(found, role=role_of(evidence.pod))
    return None


def master_gives_up(pods: Iterable[Object], troubles: Iterable[Trouble]) -> list[Trouble]:
    """The troubles, those of a master that died young as often as CRASHES now at once fatal: its
    Job would try again for minutes."""
    young = sum(role_of(pod) == "master" and dies_young(pod) for pod in pods)
    if young < CRASHES:
        return list(troubles)
    return [
        replace(t, patience=AT_ONCE) if t.role == "master" and kind_of(t) == "crash" else t
        for t in troubles
    ]


def refused_pods(workload: Object, events: Iterable[Object]) -> Trouble | None:
    """Why a Deployment or Job cannot make its pods: a quota, a policy, a webhook."""
    kind, name = workload["kind"], workload["metadata"]["name"]
    said = ""
    for condition in workload.get("status", {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            said = condition.get("message", "")
    for event in events:
        if event.get("reason") == "FailedCreate":
            said = event.get("message", "")
    if not said:
        return None
    cause = said.rpartition("is forbidden: ")[2] or said
    cause = cause.removeprefix("Error creating: ")
    advice = "ask for more, or use fewer workers or less --memory" if "quota" in cause else ""
    if "PodSecurity" in cause:
        advice = "the namespace's Pod Security level does not allow it"
    return Trouble(
        f"refused:{kind}/{name}",
        f"no pod can be made for {kind.lower()} {name}: {_sentence(cause, advice)}",
        QUOTA_PATIENCE,
        "master" if kind == "Job" else "worker",
    )


def volume_trouble(claim: Object, events: Sequence[Object]) -> Trouble | None:
    """Why a volume is not there."""
    if claim.get("status", {}).get("phase") != "Pending":
        return None
    for event in reversed(events):
        if event.get("reason") in {"FailedBinding", "ProvisioningFailed"}:
            said = event.get("message", "").strip().rstrip(".")
            return Trouble(
                f"volume:{claim['metadata']['name']}",
                f"no volume for {claim['metadata']['name']}: {said}; kubectl get storageclass "
                "shows what the cluster offers",
                MOUNT_PATIENCE,
                "store",
            )
    return None


def no_store(causes: Sequence[Trouble]) -> Trouble:
    """The store in the cluster has no pod that is ready. causes: what is known of it."""
    why = f": {causes[0].message}" if causes else ""
    return Trouble(
        "store:",
        f"MinIO is not ready, tasks wait for it for up to {STORE_PATIENCE / 60:.0f} minutes{why}",
        STORE_PATIENCE,
        "store",
        tell_after=TELL_SLOW_AFTER,
    )


def with_room(trouble: Trouble, room: str) -> Trouble:
    """The trouble with what the cluster has."""
    return replace(trouble, message=f"{trouble.message}; {room}") if room else trouble


def kind_of(trouble: Trouble) -> str:
    """`room`, `image`, `config`, `memory`, `crash`, `evicted`, `mount`, `pull`,
    `start`, `node`, `volume`, `refused`, `store` or `api`."""
    return trouble.key.partition(":")[0]


def unpack_scheduler(message: str) -> str:
    """The scheduler's reasons without its preamble and its thoughts on preemption: `2 nodes: too
    little memory; 1 node: set aside`."""
    _, preamble, rest = message.partition("nodes are available: ")
    if not preamble:
        return message.strip().rstrip(".")
    reasons = rest.partition(". ")[0].strip().rstrip(".")
    parts = []
    for reason in re.split(r", (?=\d)", reasons):
        counted = _COUNTED.fullmatch(reason)
        count, what = (counted[1], counted[2]) if counted else ("", reason)
        plain = _plain_reason(what.removeprefix("node(s) "))
        parts.append(f"{count} node{'' if count == '1' else 's'}: {plain}" if count else plain)
    return "; ".join(parts)


# Rules, each for one pod.


def _no_room(evidence: Evidence) -> Trouble | None:
    pod = evidence.pod
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            scaling = any(event.get("reason") == "TriggeredScaleUp" for event in evidence.events)
            why = unpack_scheduler(condition.get("message", ""))
            needs = _needs(pod)
            return Trouble(
                f"room:{role_of(pod)}",
                f"no node takes {name_of(pod)} ({needs}): {why}"
                + ("; the cluster is adding a node" if scaling else ""),
                SCALE_UP_PATIENCE if scaling else ROOM_PATIENCE,
            )
    return None


def _no_image(evidence: Evidence) -> Trouble | None:
    status = container_status(evidence.pod)
    reason, said = waiting(status)
    image, node = status.get("image", ""), evidence.pod["spec"].get("nodeName", "?")
    if reason in NO_IMAGE:
        cause = {
            "ErrImageNeverPull": f"image {image} is not on node {node} and is not to be pulled: "
            "load it again",
            "InvalidImageName": f"{image!r} is no image name",
        }.get(reason, said)
        return Trouble(f"image:{image}", f"{name_of(evidence.pod)}: {cause}", AT_ONCE)
    if reason not in PULLING:
        return None
    cause = next((e["message"] for e in reversed(evidence.events) if _is_pull(e)), said)
    return Trouble(
        f"image:{image}",
        f"{name_of(evidence.pod)}: node {node} cannot get image {image}: {_pull_cause(cause)}",
        IMAGE_PATIENCE,
    )


def _no_config(evidence: Evidence) -> Trouble | None:
    reason, said = waiting(container_status(evidence.pod))
    if reason not in CONFIG:
        return None
    return Trouble(
        f"config:{role_of(evidence.pod)}:{reason}",
        f"{name_of(evidence.pod)}: its container cannot be started: "
        f"{said.rpartition('unable to start container process: ')[2] or reason}",
        CONFIG_PATIENCE,
    )


def _killed_for_memory(evidence: Evidence) -> Trouble | None:
    status = container_status(evidence.pod)
    ended = terminated(status)
    if ended is None or ended.get("reason") != "OOMKilled":
        return None
    limit = container(evidence.pod).get("resources", {}).get("limits", {}).get("memory", "?")
    count = status.get("restartCount", 0)
    return Trouble(
        f"memory:{evidence.pod['metadata']['uid']}:{count}",
        f"{name_of(evidence.pod)} was killed: it reached its memory limit of {limit}; "
        "raise --memory or keep less at once",
        AT_ONCE if count >= CRASHES else None,
        exit_code=EXIT_JOB_FAILED,
        detail=evidence.log,
        tell_after=AT_ONCE,
    )


def _crashing(evidence: Evidence) -> Trouble | None:
    pod = evidence.pod
    status = container_status(pod)
    ended = terminated(status)
    if ended is None or not ended.get("exitCode") or is_going(pod):
        return None
    count = status.get("restartCount", 0)
    return Trouble(
        f"crash:{role_of(pod)}:{ended['exitCode']}",
        f"{name_of(pod)} ended with {ending(ended)}"
        + (f" and was started again {count} times" if count > 1 else "")
        + (f": {last_line(evidence.log)}" if evidence.log else ""),
        AT_ONCE if count >= CRASHES else None,
        detail=evidence.log,
        tell_after=AT_ONCE,
    )


def _evicted(evidence: Evidence) -> Trouble | None:
    status = evidence.pod.get("status", {})
    if phase(evidence.pod) != "Failed" or not status.get("reason"):
        return None
    said = status.get("message", "").strip()
    node = evidence.pod["spec"].get("nodeName", "?")
    what = "evicted" if status["reason"] == "Evicted" else f"ended ({status['reason']})"
    return Trouble(
        f"evicted:{evidence.pod['metadata']['uid']}",
        f"{name_of(evidence.pod)} was {what} on node {node}: {said or 'no reason given'}",
        None,
        tell_after=AT_ONCE,
    )


def _not_starting(evidence: Evidence) -> Trouble | None:
    """Placed on a node, which has difficulties or takes its time."""
    pod = evidence.pod
    if phase(pod) != "Pending" or not (node := pod["spec"].get("nodeName")):
        return None
    last = evidence.events[-1] if evidence.events else {}
    if last.get("reason") in {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}:
        return Trouble(
            f"mount:{role_of(pod)}:{last['reason']}",
            f"{name_of(pod)} cannot start on node {node}: {last.get('message', '')}",
            MOUNT_PATIENCE,
        )
    if last.get("reason") == "Pulling":
        image = container(pod)["image"]
        return Trouble(
            f"pull:{image}:{node}",
            f"node {node} is still fetching image {image}",
            None,
            tell_after=TELL_SLOW_AFTER,
        )
    return Trouble(
        f"start:{role_of(pod)}:{node}",
        f"{name_of(pod)} was placed on node {node}, which has not started it yet: "
        "is the node well?",
        START_PATIENCE,
        tell_after=TELL_SLOW_AFTER,
    )


def _node_lost(evidence: Evidence) -> Trouble | None:
    pod = evidence.pod
    if is_lost(pod):
        node = pod["spec"].get("nodeName", "?")
        return Trouble(
            f"node:{node}",
            f"node {node} is lost: {name_of(pod)} is started elsewhere",
            None,
            tell_after=AT_ONCE,
        )
    return None


RULES = (
    *(_evicted, _no_room, _no_image, _no_config, _killed_for_memory),
    *(_node_lost, _crashing, _not_starting),
)


def last_line(log: str) -> str:
    """What a program said last, which mostly is why it ended."""
    return next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")


def _needs(pod: Object) -> str:
    requests = container(pod).get("resources", {}).get("requests", {})
    named = [f"{what} {requests[what]}" for what in ("cpu", "memory") if what in requests]
    return "it needs " + " and ".join(named) if named else "it needs nothing special"


def _is_pull(event: Object) -> bool:
    return bool(event.get("message", "").startswith("Failed to pull image"))


def _pull_cause(message: str) -> str:
    """The end of a chain of causes says most."""
    text = message.replace("\n", " ").strip()
    if "not found" in text or "manifest unknown" in text:
        return "it is not there (wrong name or tag, or not pushed)"
    if any(word in text for word in ("unauthorized", "denied", "authorization failed")):
        return "the registry refuses it (wrong name, or a login is needed: imagePullSecrets)"
    if "no such host" in text or "i/o timeout" in text or "connection refused" in text:
        return f"the registry cannot be reached ({text.rpartition(': ')[2]})"
    return text.rpartition("rpc error: ")[2] or text


def _plain_reason(reason: str) -> str:
    if reason.startswith("Insufficient "):
        return f"too little {reason.removeprefix('Insufficient ')}"
    if "untolerated taint" in reason:
        taint = reason.partition("{")[2].partition("}")[0].rstrip(": ")
        return f"set aside ({taint})" if taint else "set aside (tainted)"
    if "volume node affinity" in reason:
        return "the volume lies on another node"
    if "unbound immediate PersistentVolumeClaims" in reason:
        return "its volume is not there"
    return reason.removeprefix("had ").removeprefix("were ")


def _sentence(cause: str, advice: str) -> str:
    return f"{cause.strip().rstrip('.')}; {advice}" if advice else cause.strip().rstrip(".")
