"""How many workers to start: what was asked for, as far as the cluster has room."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, NotPermitted
from gomr_runtime.model.quantities import format_size
from k8s.api.client import Api, Object
from k8s.manifest_objects import RunPods, master_job, worker_deployment
from k8s.pods import capacity
from k8s.pods.capacity import UNLIMITED

if TYPE_CHECKING:
    from k8s.api.connection import Cluster

DEFAULT_WORKERS = 4  # where nobody said how many and we may not look at the nodes


@dataclass(frozen=True, slots=True)
class Fit:
    """workers: as many as are to be started. note: for the person, "" when that is what was
    asked for."""

    workers: int
    note: str


def fitting_workers(cluster: Cluster, pods: RunPods, wanted: int | None) -> Fit:
    """For `pods`, whose own number of workers does not matter. wanted: None for as many as the
    cluster has processors for. EnvironmentFailed when not even one fits.

    Where we may not look at nodes or quotas, they are left out and the note says so.
    """
    return cluster.run(_fit(cluster.api, pods, wanted))


async def _fit(api: Api, pods: RunPods, wanted: int | None) -> Fit:
    master, worker = _spec(master_job(pods)), _spec(worker_deployment(pods))
    nodes, others, quotas = await asyncio.gather(
        _select(api, "Node"), _select(api, "Pod", everywhere=True), _select(api, "ResourceQuota")
    )
    limits: list[tuple[int, str]] = []
    unseen = ""
    cores = DEFAULT_WORKERS
    if nodes is None or others is None:
        unseen = "; the nodes' room is not known: you may not list them"
    else:
        found = capacity.room(nodes, others, worker, [master])
        limits.append((found.fits, f"the nodes' {found.limit}"))
        cores = sum(capacity.whole_cores(node) for node in nodes if capacity.takes_pods(node))
    if quotas:
        limits.append(capacity.quota_room(quotas, worker, [master]))
    fits, reason = min(limits, default=(UNLIMITED, ""))
    if fits <= 0:
        free = capacity.free_text(nodes, others) if nodes and others is not None else ""
        raise EnvironmentFailed(
            f"cluster {api.cluster} has no room for a worker of {_needs(worker)} ({reason}"
            f"{'; ' + free if free else ''}): give it room, or use less --memory"
        )
    chosen = min(wanted or max(1, cores), fits)
    if wanted is not None and chosen < wanted:
        return Fit(
            chosen,
            f"{wanted} workers were asked for, {chosen} fit ({reason} ends it, at "
            f"{_needs(worker)} each): started with {chosen}",
        )
    return Fit(chosen, f"{chosen} workers{unseen}" if unseen else "")


async def _select(api: Api, kind: str, *, everywhere: bool = False) -> list[Object] | None:
    """None where we may not look."""
    try:
        return await api.select(kind, everywhere=everywhere)
    except NotPermitted:
        return None


def _spec(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def _needs(spec: Object) -> str:
    needs = capacity.requests_of(spec)
    return f"{needs.get('cpu', 0.0):g} cpu and {format_size(needs.get('memory', 0.0))}"
