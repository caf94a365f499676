"""The flow `gomr`: one MapReduce job, from a worker file to its output."""

# No annotations as strings here: `gomr.serve()` pickles the flow for the process of a run, and what
# comes out there has nowhere to look the names up in.

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas import State
from prefect.states import Cancelled as CancelledState

from gomr_runtime.errors import Cancelled, one_line
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions
from tasks.build_environment import build_environment
from tasks.build_images import build_images
from tasks.clean_up import clean_up, close_processes
from tasks.collect import collect
from tasks.deploy import deploy
from tasks.engine.bounds import bound_engine, outbox
from tasks.engine.cancellation import cancelled_by_prefect
from tasks.engine.outcome import came_to
from tasks.load_images import load_images
from tasks.report import report
from tasks.reporting.console import progress_on_stderr
from tasks.start_store import start_store
from tasks.state import LocalState
from tasks.upload_input import upload_input
from tasks.validate import validate
from tasks.wait_for_map import wait_for_map
from tasks.wait_for_reduce import wait_for_reduce

bound_engine()


def run_name() -> str:
    """The run id, or for a run that has none yet the worker file."""
    options: Any = runtime.flow_run.parameters["options"]
    given = options if isinstance(options, dict) else vars(options)
    return one_line(str(given.get("run_id") or given.get("worker") or "gomr"))


@flow(name="gomr", flow_run_name=run_name, persist_result=False, result_serializer="json")
def gomr(options: RunOptions) -> Summary | State[Any]:
    """Run one MapReduce job on this machine or on a cluster.

    Args:
        options: the worker file, its inputs, and how to run it; the same as on the command line.
    """
    outbox()
    try:
        summary = run_steps(options)
    except Exception as error:
        came_to(error)
        if isinstance(error, Cancelled):
            return CancelledState(message=str(error))
        raise
    came_to(summary)
    return summary


def run_steps(options: RunOptions) -> Summary:
    """The steps of one run, in their order."""
    with progress_on_stderr(options):
        state = validate(options)
        if state.prepared.complete is not None:  # resumed, and nothing is left to do
            return state.prepared.complete
        try:
            with cancelled_by_prefect(state.cancel):
                start_store(state)
                if isinstance(state, LocalState):
                    build_environment(state)
                else:
                    upload_input(state)
                    build_images(state)
                    load_images(state)
                deploy(state)
                wait_for_map(state)
                wait_for_reduce(state)
                collect(state)
            return report(state)
        finally:
            close_processes(state)
            clean_up(state)
