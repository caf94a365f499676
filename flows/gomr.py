"""The flow `gomr`: one MapReduce job, from a worker file to its output."""

from __future__ import annotations

if __name__ == "__main__":  # argv is parsed before prefect is imported
    import sys

    try:
        from flows.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("gomr: interrupted\n")
        code = 130
    # An interrupt in code that a library compiles at run time makes Python end `-m` by the signal,
    # handled or not, unless it has compiled something since.
    exec("")  # noqa: S102
    sys.exit(code)

from typing import Any

import httpx
from prefect import flow, runtime
from prefect.client.schemas import State
from prefect.exceptions import CancelledRun, PrefectException
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled as CancelledState

from gomr_runtime.errors import Cancelled, EnvironmentFailed
from gomr_runtime.job import Summary
from gomr_runtime.options import RunOptions
from tasks.build_environment import build_environment
from tasks.build_images import build_images
from tasks.cancellation import cancelled_by_prefect
from tasks.clean_up import clean_up, close_processes
from tasks.collect import collect
from tasks.console import progress_on_stderr
from tasks.deploy import deploy
from tasks.load_images import load_images
from tasks.report import report
from tasks.start_store import start_store
from tasks.upload_input import upload_input
from tasks.validate import validate
from tasks.wait_for_map import wait_for_map
from tasks.wait_for_reduce import wait_for_reduce


def run_name() -> str:
    """The run id, or for a run that has none yet the worker file."""
    options: Any = runtime.flow_run.parameters["options"]
    given = options if isinstance(options, dict) else vars(options)
    return str(given.get("run_id") or given.get("worker") or "gomr")


@flow(name="gomr", flow_run_name=run_name)
def gomr(options: RunOptions) -> Summary | State[Any]:
    """Run one MapReduce job on this machine or on a cluster.

    Args:
        options: the worker file, its inputs, and how to run it; the same as on the command line.
    """
    with progress_on_stderr(options):
        session = validate(options)
        if session.summary is not None:  # resumed, and complete already
            return session.summary
        try:
            with cancelled_by_prefect(session.cancel):
                start_store(session)
                if session.target is None:
                    build_environment(session)
                else:
                    upload_input(session)
                    build_images(session)
                    load_images(session)
                deploy(session)
                wait_for_map(session)
                wait_for_reduce(session)
                collect(session)
            return report(session)
        except Cancelled as error:
            return CancelledState(message=str(error))
        finally:
            close_processes(session)
            clean_up(session)


def run_flow(options: RunOptions) -> Summary:
    """Run the flow in this process; raises the GomrError that ended it."""
    try:
        summary = gomr(options)
    except CancelledRun as error:
        raise Cancelled(str(error)) from None
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if type(error) is RuntimeError and " API " not in str(error):
            raise  # Prefect has no class of its own for a server that cannot be reached
        api = PREFECT_API_URL.value() or "the temporary server"
        raise EnvironmentFailed(f"Prefect ({api}): {error or type(error).__name__}") from None
    assert isinstance(summary, Summary)
    return summary
