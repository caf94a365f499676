"""The flow run in this process, for the command line."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from prefect.client.schemas import State
from prefect.exceptions import Abort, Pause, PrefectException
from prefect.settings import PREFECT_API_URL

from flows.flow import gomr
from flows.server import without_login
from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions
from tasks.engine.api import cause_of
from tasks.engine.bounds import close_outbox, outbox
from tasks.engine.outcome import outcome_of_run


def run_flow(options: RunOptions, say: Callable[[str], None]) -> Summary:
    """Run the flow, and tell what Prefect missed of it.

    Args:
        options: of the run.
        say: hears in one line what Prefect missed, if anything.

    Returns:
        The summary of the job, whatever became of Prefect's API meanwhile.

    Raises:
        GomrError: what ended the job; EnvironmentFailed when Prefect did not let it begin.
    """
    api = without_login(str(PREFECT_API_URL.value()))
    outbox()
    try:
        with outcome_of_run() as outcome:
            why = ""
            try:
                # As a state: a result would be loaded from wherever the server says that it lies.
                state = gomr(options, return_state=True)
                why = f"it says {state.name}: {state.message}" if isinstance(state, State) else ""
            except (httpx.HTTPError, PrefectException, RuntimeError, Abort, Pause) as error:
                why = _why(error)
                # Prefect has no class of its own for a server that cannot be reached.
                if type(error) is RuntimeError and " API " not in why and not outcome.known:
                    raise
    finally:
        if missed := close_outbox():
            say(f"gomr: Prefect ({api}) missed {missed}")
    if outcome.error is not None:
        raise outcome.error
    if outcome.summary is None:
        raise EnvironmentFailed(f"Prefect ({api}): {why}")
    return outcome.summary


def _why(error: BaseException) -> str:
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in {401, 403}:
        return (
            f"{cause_of(error)}: it wants a password: set PREFECT_API_AUTH_STRING, or "
            "PREFECT_API_KEY for Prefect Cloud"
        )
    return cause_of(error)
