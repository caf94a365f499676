"""Requests to Prefect's API with a deadline, each made once: who asks decides about the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import PrefectException

REQUEST_SECONDS = 5.0  # for the API to answer, before it counts as away
BUSY = {408, 429, 502, 503, 504}  # answers of a server that wants to be asked again
FAILURES = (httpx.HTTPError, PrefectException, RuntimeError, ValueError, OSError)
"""What a request raises when the API is away, refuses, or answers nonsense."""


class Away(httpx.HTTPError):
    """The server answered that it cannot answer now."""


def settings_for_asking() -> SettingsContext:
    """Prefect's settings of this thread, without its own retries, for another thread."""
    context = get_settings_context()
    client = context.settings.client.model_copy(update={"max_retries": 0})
    settings = context.settings.model_copy(update={"client": client})
    return SettingsContext(profile=context.profile, settings=settings)


def entered(context: SettingsContext) -> SettingsContext:
    """The same settings, to be entered once more: a context is entered once."""
    return SettingsContext(profile=context.profile, settings=context.settings)


@contextmanager
def asking(context: SettingsContext) -> Iterator[SyncPrefectClient]:
    """A client whose requests raise one of `FAILURES` within some `REQUEST_SECONDS`, or succeed."""
    httpx_settings = {"timeout": REQUEST_SECONDS, "event_hooks": {"response": [_refuse_to_wait]}}
    with entered(context), get_client(sync_client=True, httpx_settings=httpx_settings) as client:
        yield client


def cause_of(error: BaseException) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {REQUEST_SECONDS:.0f} s"
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code} {error.response.reason_phrase}"
    first = (str(error).splitlines() or [""])[0]
    return re.sub(r"^\[Errno \d+\] ", "", first) or type(error).__name__


def _refuse_to_wait(response: httpx.Response) -> None:
    """Prefect's client would sleep for as long as a busy server says, an hour if it says so."""
    if response.status_code in BUSY:
        raise Away(f"{response.status_code} {response.reason_phrase}")
