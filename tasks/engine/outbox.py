"""What Prefect is told of a run, from a thread of its own: logs, states of steps, artifacts.

Nobody waits for Prefect's API but that thread. What waits to be told is bounded, and of an artifact
it is the newest state alone; an API that is away, hangs or refuses costs what it was not told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.events import Event

from tasks.engine.api import FAILURES, asking, cause_of, entered, settings_for_asking

PAUSE = 1.0  # seconds between two deliveries: what comes meanwhile goes together
BACKOFF = (0.25, 5.0)  # seconds after the first failure in a row, and at most
REFUSALS = 8  # answers of 500 in a row, in some 20 s, after which what was refused is given up
FLUSH_SECONDS = 10.0  # for what is left at the end of a run to be told
AWAY_SECONDS = 1.0  # the same when the API does not answer
LOGS = 5_000
EVENTS = 1_000
BATCH = 200
BATCH_BYTES = 2_000_000

T = TypeVar("T")


@dataclass
class Artifact:
    """What one artifact of a run shows. id: once Prefect has it. context: whose it is."""

    create: ArtifactCreate
    context: Context
    id: UUID | None = None
    version: int = 1
    told: int = 0
    lost: bool = False

    @property
    def missed(self) -> bool:
        """Whether Prefect shows no state of it, or an old one."""
        return self.lost or self.told < self.version


@dataclass
class Waiting(Generic[T]):
    """What waits to be told, the newest `most` of it. lost: how much of it never will be."""

    most: int
    items: deque[tuple[T, int]] = field(default_factory=deque)
    lost: int = 0

    def add(self, item: T, size: int = 0) -> None:
        self.items.append((item, size))
        if len(self.items) > self.most:
            self.items.popleft()
            self.lost += 1

    def batch(self) -> list[tuple[T, int]]:
        """The oldest items, taken out; as many as one request holds."""
        taken: list[tuple[T, int]] = []
        size = 0
        while self.items and len(taken) < BATCH and (not taken or size < BATCH_BYTES):
            taken.append(self.items.popleft())
            size += taken[-1][1]
        return taken

    def back(self, batch: list[tuple[T, int]]) -> None:
        """Put a batch back that could not be told; what came meanwhile goes before it."""
        too_many = max(len(self.items) + len(batch) - self.most, 0)
        self.lost += too_many
        self.items.extendleft(reversed(batch[too_many:]))


class Outbox:
    """Everything that waits to be told to the Prefect API at the address of the settings."""

    def __init__(self) -> None:
        self.away = ""  # why the last request failed; empty while requests succeed
        self._given_up: dict[str, str] = {}
        self._settings = settings_for_asking()
        self._logs: Waiting[dict[str, Any]] = Waiting(LOGS)
        self._events: Waiting[Event] = Waiting(EVENTS)
        self._artifacts: dict[tuple[UUID | None, str], Artifact] = {}
        self._changed = threading.Condition()
        self._sending = False
        self._hurry = False
        self._closed = False
        self._failures = 0
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="prefect-outbox", daemon=True)
        self._thread.start()

    # What is to be told; none of it waits.

    def log(self, entry: dict[str, Any]) -> None:
        """A log line, as Prefect's logging handler makes it."""
        size = entry.pop("__payload_size__", 0)
        self._add(lambda: self._logs.add(entry, size))

    def put(self, item: tuple[str, Event]) -> None:
        """An event, as Prefect's forwarding client puts it: states of steps, heartbeats."""
        self._add(lambda: self._events.add(item[1]))

    def show(self, artifact: ArtifactCreate) -> None:
        """The newest state of an artifact, which is known by its flow run and key."""

        def add() -> None:
            name = (artifact.flow_run_id, artifact.key or "")
            if (known := self._artifacts.get(name)) is None:
                self._artifacts[name] = Artifact(artifact, copy_context())
            else:
                known.create = artifact
                known.version += 1

        self._add(add)

    # The end.

    def give_up(self, what: str, why: str) -> None:
        """Prefect misses this, too, which others than the outbox should have told it."""
        self._given_up[what] = why

    def flush(self) -> bool:
        """Whether all is told. Waits for that for `FLUSH_SECONDS`, and for `AWAY_SECONDS` once the
        API does not answer; it is asked once more at once."""
        started = time.monotonic()
        with self._changed:
            self._hurry = True
            self._not_before = started
            self._changed.notify_all()
            while self._next() is not None or self._sending:
                patience = AWAY_SECONDS if self.away else FLUSH_SECONDS
                left = patience - (time.monotonic() - started)
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.1))
            self._hurry = False
        return True

    def close(self) -> str:
        """Stop; what `flush` did not tell is not told any more.

        Returns:
            What Prefect missed and why, for a person; empty when it missed nothing.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            lines = self._logs.lost + len(self._logs.items)
            states = self._events.lost + len(self._events.items)
            artifacts = sum(artifact.missed for artifact in self._artifacts.values())
        counted = {"events of its steps": states, "lines of its log": lines, "artifacts": artifacts}
        what = [*self._given_up, *(f"{count} {noun}" for noun, count in counted.items() if count)]
        why = next(filter(None, (self.away, *self._given_up.values())), "it did not keep up")
        return f"{', '.join(what)} ({why})" if what else ""

    # The thread.

    def _add(self, add: Callable[[], None]) -> None:
        with self._changed:
            add()
            self._changed.notify_all()

    def _run(self) -> None:
        with asking(self._settings) as client:
            while (work := self._await_work()) is not None:
                work(client)

    def _await_work(self) -> Callable[[SyncPrefectClient], None] | None:
        """What to do next, once there is something; None at the end."""
        with self._changed:
            while True:
                work = None if self._closed else self._next()
                if work is None and self._closed:
                    return None
                wait = self._not_before - time.monotonic()
                if work is not None and (wait <= 0 or (self._hurry and not self.away)):
                    self._sending = True
                    return work
                self._changed.wait(None if work is None else wait)

    def _next(self) -> Callable[[SyncPrefectClient], None] | None:
        if self._events.items:
            return self._send_events
        if self._logs.items:
            return self._send_logs
        behind = [a for a in self._artifacts.values() if a.told < a.version]
        return (lambda client: self._send_artifact(client, behind[0])) if behind else None

    def _send_events(self, client: SyncPrefectClient) -> None:
        with self._changed:
            batch = self._events.batch()
        body = [event.model_dump(mode="json") for event, _ in batch]
        outcome = self._request(lambda: client.request("POST", "/events", json=body))
        self._settle(self._events, batch, outcome)

    def _send_logs(self, client: SyncPrefectClient) -> None:
        with self._changed:
            batch = self._logs.batch()
        outcome = self._request(lambda: client.create_logs([entry for entry, _ in batch]))
        self._settle(self._logs, batch, outcome)

    def _send_artifact(self, client: SyncPrefectClient, artifact: Artifact) -> None:
        with self._changed:
            version, shown = artifact.version, artifact.create

        def send() -> None:
            with entered(self._settings):
                if artifact.id is None:
                    artifact.id = client.create_artifact(shown).id
                else:
                    update = ArtifactUpdate(data=shown.data, description=shown.description)
                    client.update_artifact(artifact.id, update)

        outcome = self._request(lambda: artifact.context.run(send))
        with self._changed:
            if outcome != "later":
                artifact.told = version
                artifact.lost = outcome == "never"
            self._done()

    def _settle(self, waiting: Waiting[T], batch: list[tuple[T, int]], outcome: str) -> None:
        with self._changed:
            if outcome == "later":
                waiting.back(batch)
            elif outcome == "never":
                waiting.lost += len(batch)
            self._done()

    def _done(self) -> None:
        self._sending = False
        self._changed.notify_all()

    def _request(self, send: Callable[[], object]) -> str:
        """Whether it is `told`, to be told `later`, or `never`, since the API does not take it."""
        try:
            send()
        except FAILURES as error:
            return self._failed(error)
        with self._changed:
            self.away = ""
            self._failures = 0
            self._not_before = time.monotonic() + PAUSE
        return "told"

    def _failed(self, error: Exception) -> str:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
        refused = 400 <= status < 500  # it is there, and does not take this
        least, most = BACKOFF
        with self._changed:
            self.away = "" if refused else cause_of(error)
            self._failures += 1
            self._not_before = time.monotonic() + min(least * 2 ** (self._failures - 1), most)
            if refused or (status and self._failures >= REFUSALS):
                self._failures = 0
                return "never"
            return "later"
