"""Prefect's engine around a run, kept off the job's path: once the flow's function runs, nothing
that Prefect's API does or fails to do delays or fails the job.

Of what the engine does by itself from then on, most asks the API for nothing. Logs and events go
through the outbox. How the run ended is proposed for a bounded time. A slot of a deployment's
concurrency limit that cannot be renewed does not end the run that holds it.
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import wraps
from typing import Any
from uuid import UUID

import httpx
from prefect import flow_engine
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State
from prefect.events.worker import (
    EventsWorker,
    ProcessPoolForwardingEventsClient,
    emit_events_to_cloud,
)
from prefect.exceptions import Abort, Pause
from prefect.logging.handlers import set_api_log_sink
from prefect.settings import PREFECT_API_URL

from gomr_runtime.system.settings import read
from tasks.engine.api import FAILURES, cause_of
from tasks.engine.outbox import Outbox

END_SECONDS = 20.0  # for a server that answers to be told how a run ended
AWAY_SECONDS = 3.0  # the same for one that does not: a person waits for the command
DEPLOYED_SECONDS = 300.0  # the same for a deployment's run, whose end is known nowhere else
AGAIN_SECONDS = 0.5  # between two attempts to tell it
DRAIN_SECONDS = 2.0  # for Prefect's own threads to hand over what they have
HOW_IT_ENDED = "how the run ended"

_lock = threading.Lock()
_outbox: tuple[str, Outbox] | None = None
_propose_state: Callable[..., State[Any]] = vars(flow_engine)["propose_state_sync"]
_maintain_lease: Callable[..., AbstractContextManager[None]] = vars(flow_engine)[
    "maintain_concurrency_lease"
]
_held_up = False


def bound_engine() -> None:
    """Put bounds on what the engine waits for in this process; may be called again."""
    vars(flow_engine).update(
        propose_state_sync=propose_state, maintain_concurrency_lease=maintain_lease
    )


def outbox() -> Outbox:
    """The outbox of this process, opened on the first call. From then on it also gets the logs and
    events of the engine, until `close_outbox` or the end of the process."""
    global _outbox
    api = str(PREFECT_API_URL.value())
    with _lock:
        if _outbox is not None and _outbox[0] != api:
            _close(_outbox[1])
            _outbox = None
        if _outbox is None:
            _outbox = (api, Outbox())
            set_api_log_sink(_outbox[1].log)
            if not emit_events_to_cloud():  # it may take events by its own way alone
                EventsWorker.set_client_override(
                    ProcessPoolForwardingEventsClient, event_queue=_outbox[1]
                )
        return _outbox[1]


def close_outbox() -> str:
    """Tell what is left, for a bounded time.

    Returns:
        What Prefect missed and why, for a person; empty when it missed nothing.
    """
    global _outbox
    with _lock:
        found, _outbox = _outbox, None
        return _close(found[1]) if found is not None else ""


def held_up() -> bool:
    """Whether threads of Prefect's still wait for its API, for which the interpreter would wait at
    its end, for minutes."""
    return _held_up


def propose_state(
    client: SyncPrefectClient, state: State[Any], flow_run_id: UUID, force: bool = False
) -> State[Any]:
    """Has the signature of Prefect's own. The end of a run that has an outbox counts as accepted
    when the API cannot be told in time."""
    if _outbox is None or not state.is_final():
        return _propose_state(client, state, flow_run_id, force=force)
    told = _outbox[1]
    answers: queue.SimpleQueue[State[Any] | BaseException] = queue.SimpleQueue()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.put(_propose_state(client, state, flow_run_id, force=force))
                return
            except (*FAILURES, Abort, Pause) as error:
                answers.put(error)
                if isinstance(error, (Abort, Pause)):
                    return
            over.wait(AGAIN_SECONDS)

    context = copy_context()
    threading.Thread(target=context.run, args=(ask,), name="prefect-end", daemon=True).start()
    started = time.monotonic()
    deployed = bool(read("flow_run"))
    failed = ""
    while time.monotonic() - started < _patience(deployed=deployed, away=bool(failed or told.away)):
        try:
            answer = answers.get(timeout=0.1)
        except queue.Empty:
            continue
        if isinstance(answer, (Abort, Pause)):
            raise answer
        if isinstance(answer, State):
            return answer
        failed = cause_of(answer)
        if isinstance(answer, httpx.HTTPStatusError) and answer.response.status_code < 500:
            break  # it is there, and does not take it
    over.set()
    told.give_up(HOW_IT_ENDED, failed)
    return state


def _patience(*, deployed: bool, away: bool) -> float:
    if deployed:
        return DEPLOYED_SECONDS
    return AWAY_SECONDS if away else END_SECONDS


@wraps(_maintain_lease)
def maintain_lease(*arguments: Any, **named: Any) -> AbstractContextManager[None]:
    """Prefect's own throws an exception into the run when it cannot renew the slot: any API that
    is away for longer than a lease would end the job."""
    return _maintain_lease(*arguments, **(named | {"raise_on_lease_renewal_failure": False}))


def _close(closing: Outbox) -> str:
    """Artifacts that are told make events of their own: those are handed over after them."""
    global _held_up
    for _ in range(2):
        waited = EventsWorker.drain_all(timeout=DRAIN_SECONDS)
        _held_up = isinstance(waited, tuple) and bool(waited[1])
        if _held_up:
            closing.give_up("events of its steps", "it does not answer")
        if not closing.flush() or _held_up:
            break
    set_api_log_sink(None)
    EventsWorker.set_client_override(None)
    return closing.close()


@atexit.register
def _at_exit() -> None:
    """For runs that nobody closes the outbox of: those of deployments."""
    if missed := close_outbox():
        sys.stderr.write(f"gomr: Prefect missed {missed}\n")
