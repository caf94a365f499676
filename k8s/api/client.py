"""Requests to a Kubernetes API server, and what its refusals mean in plain words.

kr8s finds address and credentials; objects are plain dicts. Everything here runs in one event
loop (see `connection.Cluster` for the rest of the program).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gomr_runtime.errors import EnvironmentFailed
from k8s.api.access import Access
from k8s.api.refusals import no_answer, refused

Object = dict[str, Any]

PATIENCE = 15.0  # seconds that a request is tried again while the API server does not answer
LONG_PATIENCE = 300.0  # the same for one that has answered before: it may be restarted meanwhile
AWAY = 10.0  # seconds after which it is told that the API server does not answer
REQUEST_SECONDS = 10.0
WATCH_SECONDS = 60  # a watch is asked for so long at a time, so that a dead one is noticed
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
AGAIN = {429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind are found."""

    version: str
    plural: str
    namespaced: bool = True


KINDS = {
    "Deployment": Kind("apps/v1", "deployments"),
    "Event": Kind("v1", "events"),
    "Job": Kind("batch/v1", "jobs"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "Node": Kind("v1", "nodes", namespaced=False),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "Pod": Kind("v1", "pods"),
    "ResourceQuota": Kind("v1", "resourcequotas"),
    "Secret": Kind("v1", "secrets"),
    "Service": Kind("v1", "services"),
}


class Api:
    """One namespace of one cluster. Methods raise NotPermitted where a right is missing, and
    EnvironmentFailed where the cluster refuses or does not answer for `patience` seconds, which
    is `Api.patience` where a call has none of its own."""

    def __init__(self, access: Access, cluster: str, namespace: str) -> None:
        """cluster: its name for people."""
        self.access = access
        self.cluster = cluster
        self.namespace = namespace
        self.patience = PATIENCE
        self._tell: Callable[[str], None] = lambda _: None
        self._away_since: float | None = None
        self._told = False

    def be_patient(self, tell: Callable[[str], None]) -> None:
        """Wait for minutes, from now on, for an API server that has answered once.

        Args:
            tell: Hears of each outage, once it lasts.
        """
        self.patience, self._tell = LONG_PATIENCE, tell

    def hurry(self) -> None:
        """Wait for no outage any longer, as for the clean-up of a run that has failed."""
        self.patience = min(self.patience, PATIENCE)

    async def check(self) -> None:
        """Ask for the version, to which everybody who is known gets an answer."""
        response = await self._send("GET", "/version", "get", "version", patience=0.0)
        if not response.is_success:
            raise self._refused(response, "get", "version", "")

    async def get(self, kind: str, name: str, *, patience: float | None = None) -> Object | None:
        """The object, or None where there is none."""
        return await self._answer("get", kind, name, patience=patience)

    async def select(
        self,
        kind: str,
        selector: str = "",
        fields: str = "",
        *,
        everywhere: bool = False,
        patience: float | None = None,
    ) -> list[Object]:
        """The objects that match label and field selectors; everywhere: in all namespaces."""
        found = await self._listed(kind, selector, fields, everywhere, patience)
        items: list[Object] = found["items"]
        return items

    async def create(self, wanted: Object) -> Object | None:
        """The object as it is stored; None when one of its name is there already."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        return await self._answer("create", kind, name, body=wanted)

    async def patch(
        self, kind: str, name: str, change: Mapping[str, Any], part: str = ""
    ) -> Object | None:
        """Merge `change` into the object, or into its subresource `part`; None when it is gone."""
        return await self._answer("patch", kind, name, part=part, body=change)

    async def delete(self, kind: str, name: str, *, now: bool = False) -> bool:
        """Ask for the end of the object and of all it owns; False when there is none. now: do not
        wait for the node."""
        options: Object = {"propagationPolicy": "Background"}
        if now:
            options["gracePeriodSeconds"] = 0
        return await self._answer("delete", kind, name, body=options) is not None

    async def log(
        self, pod: str, lines: int, *, previous: bool = False, container: str = ""
    ) -> str:
        """The last lines of a container's log; "" when there is none (any more)."""
        params: dict[str, Any] = {"tailLines": lines, "limitBytes": lines * 1000}
        if previous:
            params["previous"] = "true"
        if container:
            params["container"] = container
        path = f"{self._path(KINDS['Pod'], False)}/{pod}/log"
        response = await self._send("GET", path, "get", "pods/log", params=params)
        return response.text if response.is_success else ""

    async def follow(self, kind: str, selector: str) -> AsyncIterator[list[Object]]:
        """All objects of the kind that match, now and again whenever something changes.

        Lists, watches from there, and lists again when the API server forgets where we were or
        does not answer. Raises EnvironmentFailed when it stays away for LONG_PATIENCE.
        """
        while True:
            found = await self._listed(kind, selector, "", False, LONG_PATIENCE)
            known = {item["metadata"]["uid"]: item for item in found["items"]}
            yield list(known.values())
            version = found["metadata"]["resourceVersion"]
            with contextlib.suppress(httpx.TransportError, _Stale):
                async for change in self._changes(kind, selector, version):
                    item = change["object"]
                    if change["type"] == "DELETED":
                        known.pop(item["metadata"]["uid"], None)
                    else:
                        known[item["metadata"]["uid"]] = item
                    yield list(known.values())

    async def _changes(self, kind: str, selector: str, version: str) -> AsyncIterator[Object]:
        """What is added, modified and deleted, until the server ends the watch."""
        params: dict[str, str | int] = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "timeoutSeconds": WATCH_SECONDS,
        }
        where = KINDS[kind]
        async with self.access.client.stream(
            "GET",
            self._path(where, False),
            params=params,
            timeout=httpx.Timeout(REQUEST_SECONDS, read=WATCH_SECONDS + REQUEST_SECONDS),
        ) as response:
            if not response.is_success:
                await response.aread()
                if response.status_code == 403:
                    raise self._refused(response, "watch", where.plural, "")
                await asyncio.sleep(FIRST_PAUSE)
                raise _Stale
            async for line in response.aiter_lines():
                change = json.loads(line)
                if change["type"] == "ERROR":
                    raise _Stale
                yield change

    async def _listed(
        self, kind: str, selector: str, fields: str, everywhere: bool, patience: float | None
    ) -> Object:
        params = {"labelSelector": selector, "fieldSelector": fields}
        where = KINDS[kind]
        response = await self._send(
            "GET",
            self._path(where, everywhere),
            "list",
            where.plural,
            params={name: value for name, value in params.items() if value},
            patience=patience,
        )
        if not response.is_success:
            raise self._refused(response, "list", where.plural, "")
        found: Object = response.json()
        for item in found["items"]:  # which say it only one by one
            item |= {"apiVersion": where.version, "kind": kind}
        return found

    async def _answer(
        self,
        verb: str,
        kind: str,
        name: str,
        *,
        part: str = "",
        body: Mapping[str, Any] | None = None,
        patience: float | None = None,
    ) -> Object | None:
        """The object a request is answered with; None for one that is not there, or that is there
        already when it was to be created."""
        where = KINDS[kind]
        path = self._path(where, False)
        if verb != "create":
            path += f"/{name}" + (f"/{part}" if part else "")
        resource = f"{where.plural}/{part}" if part else where.plural
        method = {"get": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}[verb]
        response = await self._send(method, path, verb, resource, body=body, patience=patience)
        if response.is_success:
            return dict(response.json())
        taken = response.status_code == 409 and _reason(response) == "AlreadyExists"
        absent = response.status_code == 404 and verb != "create"
        if taken or absent:
            return None
        raise self._refused(response, verb, resource, name)

    async def _send(
        self,
        method: str,
        path: str,
        verb: str,
        resource: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        patience: float | None = None,
    ) -> httpx.Response:
        """An answer that is worth reading: outages are waited for, expired credentials renewed."""
        began = time.monotonic()
        pause, renewed = FIRST_PAUSE, False
        headers = {"Content-Type": _content_type(method)} if body is not None else {}
        while True:
            try:
                response = await self.access.client.request(
                    method,
                    path,
                    params=params,
                    content=None if body is None else json.dumps(body).encode(),
                    headers=headers,
                    timeout=REQUEST_SECONDS,
                )
            except httpx.TransportError as error:
                self._is_away()
                if self._is_over(began, pause, patience):
                    raise no_answer(error, self.cluster, self.access.server) from None
            else:
                self._away_since, self._told = None, False
                if response.status_code == 401 and not renewed:
                    renewed = True
                    await self.access.renew()
                    continue
                conflict = response.status_code == 409 and _reason(response) == "Conflict"
                if response.status_code not in AGAIN and not conflict:
                    return response
                if self._is_over(began, pause, patience):
                    return response
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _is_over(self, began: float, pause: float, patience: float | None) -> bool:
        """Whether a request is tried no more; `hurry` is for those under way, too."""
        longest = self.patience if patience is None else patience
        return time.monotonic() + pause > began + longest

    def _is_away(self) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > AWAY and not self._told:
            self._told = True
            self._tell(
                f"cluster {self.cluster} does not answer; a run may go on there, trying for "
                f"{LONG_PATIENCE / 60:.0f} minutes"
            )

    def _path(self, kind: Kind, everywhere: bool) -> str:
        base = "/apis" if "/" in kind.version else "/api"
        inside = f"/namespaces/{self.namespace}" if kind.namespaced and not everywhere else ""
        return f"{base}/{kind.version}{inside}/{kind.plural}"

    def _refused(
        self, response: httpx.Response, verb: str, resource: str, name: str
    ) -> EnvironmentFailed:
        return refused(
            response.status_code,
            _message(response),
            verb=verb,
            resource=resource,
            name=name,
            cluster=self.cluster,
            # In all namespaces, or in none.
            namespace=self.namespace if "/namespaces/" in response.url.path else "",
        )


class _Stale(Exception):
    """A watch that has to begin anew."""


def _content_type(method: str) -> str:
    return "application/merge-patch+json" if method == "PATCH" else "application/json"


def _status(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(response: httpx.Response) -> str:
    return str(_status(response).get("reason", ""))


def _message(response: httpx.Response) -> str:
    return str(_status(response).get("message") or response.text[:500] or response.reason_phrase)
