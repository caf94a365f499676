"""The objects of one run in the cluster: made, found again, deleted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, NotPermitted
from k8s import manifest_objects
from k8s.api.client import Api, Object
from k8s.manifest_objects import RunPods, master_name, of_run, secret_name
from k8s.pods.state import grace_of, how_ended, is_going, is_lost
from k8s.pods.watch import GRACE_SLACK, give_up
from k8s.run.tls import make_certificates

if TYPE_CHECKING:
    from k8s.api.connection import Cluster

GONE_SECONDS = 60.0  # for everything of a run to go after its Job
LOOK_AGAIN = 0.25
LEFT = ("Pod", "Job", "Deployment")  # what can be listed; the rest goes with the Job


@dataclass(frozen=True, slots=True)
class Deployed:
    """How to talk to the run's master. ca: PEM."""

    token: str = field(repr=False)
    ca: bytes


def deploy(cluster: Cluster, pods: RunPods) -> Deployed:
    """Make the Job, then all it owns. What is there already of the same run is left as it is; a
    Job that is over is replaced. Whoever is killed in between leaves a Job that ends by itself."""
    return cluster.run(_deploy(cluster.api, pods))


def find(cluster: Cluster, run: str) -> Deployed | None:
    """How to talk to the master of a run that still runs; None when none does."""
    return cluster.run(_find(cluster.api, run))


def is_running(cluster: Cluster, run: str) -> bool:
    """Whether the run has a Job that is not over."""
    job = cluster.get("Job", master_name(run))
    return job is not None and not is_going(job) and how_ended(job) is None


def delete(cluster: Cluster, run: str, timeout: float = GONE_SECONDS) -> None:
    """One DELETE for all of it; EnvironmentFailed when some of it is still there after
    `timeout` seconds. Pods of a node that does not answer are given up."""
    cluster.run(_delete(cluster.api, run, timeout))


async def _deploy(api: Api, pods: RunPods) -> Deployed:
    job = await _job(api, pods)
    service = f"{master_name(pods.run)}.{api.namespace}"
    certificates = make_certificates([master_name(pods.run), service, f"{service}.svc"])
    values = {
        "token": secrets.token_urlsafe(32).encode(),
        "worker-token": secrets.token_urlsafe(32).encode(),
        "ca.crt": certificates.ca,
        "tls.crt": certificates.cert,
        "tls.key": certificates.key,
    }
    secret = manifest_objects.owned(manifest_objects.run_secret(pods, values), job)
    stored, *_ = await asyncio.gather(
        _make(api, secret),
        *(_make(api, wanted) for wanted in manifest_objects.run_objects(pods, job)),
    )
    await api.patch("Job", master_name(pods.run), manifest_objects.deadline(pods))
    return _deployed(stored)


async def _find(api: Api, run: str) -> Deployed | None:
    job, secret = await asyncio.gather(
        api.get("Job", master_name(run)), api.get("Secret", secret_name(run))
    )
    if job is None or secret is None or is_going(job) or how_ended(job) is not None:
        return None
    return _deployed(secret)


async def _job(api: Api, pods: RunPods) -> Object:
    wanted = manifest_objects.master_job(pods)
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        if made := await api.create(wanted):
            return made
        found = await api.get("Job", master_name(pods.run))
        if found is not None and not is_going(found):
            if how_ended(found) is None:
                return found
            await api.delete("Job", master_name(pods.run))
        await _pause(deadline, f"the earlier job {master_name(pods.run)} does not go away")


async def _make(api: Api, wanted: Object) -> Object:
    """The object as stored. One that belongs to an earlier Job is on its way out: wait for it."""
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    owner = wanted["metadata"]["ownerReferences"][0]["uid"]
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        if made := await api.create(wanted):
            return made
        found = await api.get(kind, name)
        if found is not None and not is_going(found):
            owners = found["metadata"].get("ownerReferences") or [{}]
            if owners[0].get("uid") == owner:
                return found
        await _pause(deadline, f"{kind.lower()} {name} of an earlier run does not go away")


async def _delete(api: Api, run: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    given_up: set[str] = set()
    since: dict[str, float] = {}
    await api.delete("Job", master_name(run))
    while True:
        found = await asyncio.gather(*(api.select(kind, of_run(run)) for kind in LEFT))
        left = [item["metadata"]["name"] for items in found for item in items]
        if not left:
            return
        for pod in found[0]:
            uid, now = pod["metadata"]["uid"], time.monotonic()
            overdue = now - since.setdefault(uid, now) > grace_of(pod) + GRACE_SLACK
            if is_going(pod) and uid not in given_up and (overdue or is_lost(pod)):
                given_up.add(uid)
                with contextlib.suppress(NotPermitted):
                    await give_up(api, pod)
        await _pause(
            deadline,
            f"run {run}: {', '.join(left)} did not go away; "
            f"kubectl -n {api.namespace} delete all -l {of_run(run)}",
        )


def _deployed(secret: Object) -> Deployed:
    values = {name: base64.b64decode(text) for name, text in secret["data"].items()}
    return Deployed(values["token"].decode(), values["ca.crt"])


async def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise EnvironmentFailed(complaint)
    await asyncio.sleep(LOOK_AGAIN)
