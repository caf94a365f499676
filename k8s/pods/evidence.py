"""Reading what a pod's state does not say: its events, and the end of its log."""

from __future__ import annotations

import contextlib
import time

from gomr_runtime.errors import EnvironmentFailed
from k8s.api.client import Api, Object
from k8s.pods import capacity
from k8s.pods.trouble import Evidence, Trouble, kind_of, wants_events, wants_log, with_room

LOG_LINES = 20
YOUNG = 2.0  # seconds in which a pod that does not run yet is nothing special
FRESH = 2.0  # seconds after which events are read again


class EvidenceReader:
    """Asks the API server no more often than needed; where it gives no answer, there is none."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._first_seen: dict[str, float] = {}
        self._known: dict[str, tuple[str, float, Evidence]] = {}
        self._room: str | None = None

    async def of(self, pod: Object) -> Evidence:
        uid, version = pod["metadata"]["uid"], pod["metadata"]["resourceVersion"]
        now = time.monotonic()
        age = now - self._first_seen.setdefault(uid, now)
        if not wants_log(pod) and (age < YOUNG or not wants_events(pod)):
            return Evidence(pod)
        known = self._known.get(uid)
        if known and known[0] == version and now - known[1] < FRESH:
            return known[2]
        events = await self.events(pod) if wants_events(pod) else []
        evidence = Evidence(pod, events, await self._log(pod) if wants_log(pod) else "")
        self._known[uid] = (version, now, evidence)
        return evidence

    async def events(self, about: Object) -> list[Object]:
        """About an object, in the order they were last seen."""
        with contextlib.suppress(EnvironmentFailed):
            uid = about["metadata"]["uid"]
            found = await self._api.select("Event", fields=f"involvedObject.uid={uid}")
            return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
        return []

    async def explained(self, trouble: Trouble) -> Trouble:
        """With what the cluster has, where room is what lacks."""
        if kind_of(trouble) != "room":
            return trouble
        if self._room is None:
            self._room = await free_room(self._api)
        return with_room(trouble, self._room)

    async def _log(self, pod: Object) -> str:
        status = pod["status"]["containerStatuses"][0]
        previous = "terminated" not in (status.get("state") or {})
        with contextlib.suppress(EnvironmentFailed):
            return await self._api.log(pod["metadata"]["name"], LOG_LINES, previous=previous)
        return ""


async def free_room(api: Api) -> str:
    """What the nodes have free, in words; "" where we are not told."""
    try:
        nodes = await api.select("Node")
        pods = await api.select("Pod", everywhere=True)
    except EnvironmentFailed:
        return ""
    return capacity.free_text(nodes, pods)
