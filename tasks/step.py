"""What every step of a run is as a Prefect task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.context import TagsContext
from prefect.exceptions import Abort, Pause
from prefect.states import Cancelled as CancelledState

from gomr_runtime.errors import Cancelled
from tasks.engine.api import FAILURES
from tasks.state import FlowState

A = TypeVar("A")
S = TypeVar("S", bound=FlowState)
R = TypeVar("R")


class _Call(Generic[R]):
    """One call of a step's function: what it returned or raised, once it has."""

    def __init__(self) -> None:
        self.begun = False
        self.returned: list[R] = []
        self.raised: BaseException | None = None


_call: ContextVar[_Call[Any]] = ContextVar("call")


def step(function: Callable[[S], R]) -> Callable[[S], R]:
    """A step is a task named as the function. It is never cached, for its result is what it does,
    and it does not begin once the run is to be cancelled."""

    @wraps(function)
    def begin(state: S) -> R:
        state.check_cancelled()
        return function(state)

    return shown_as_task(begin)


def shown_as_task(function: Callable[[A], R], *, always: bool = False) -> Callable[[A], R]:
    """The function as a task in Prefect: completed, failed, or cancelled when it raises Cancelled.

    What it returns and raises is the function's own, whatever Prefect makes of it.

    Args:
        function: takes one argument, which Prefect is not to see.
        always: it also runs when Prefect wants the run to stop before it, as one that is suspended.
    """

    @wraps(function)
    def body(argument: A) -> R | State[Any]:
        call = _call.get()
        call.begun = True
        try:
            call.returned.append(function(argument))
        except Cancelled as error:
            call.raised = error
            return CancelledState(message=str(error))
        except BaseException as error:
            call.raised = error
            raise
        return cast(R, call.returned[0])

    name = function.__name__
    shown = task(name=name, task_run_name=name.replace("_", " "), cache_policy=NO_CACHE)(body)

    @wraps(function)
    def run(argument: A) -> R:
        call: _Call[R] = _Call()
        token = _call.set(call)
        try:
            with without_tags():
                shown(argument)
        except (*FAILURES, Abort, Pause) as error:
            stopped = isinstance(error, (Abort, Pause)) and not always
            if error is call.raised or (stopped and not call.begun):
                raise
            if not call.begun:
                return function(argument)
        finally:
            _call.reset(token)
        if call.raised is not None:
            raise call.raised
        return call.returned[0]

    return run


@contextmanager
def without_tags() -> Iterator[None]:
    """Tasks begun within have no tags: for each tag Prefect would ask its API for a slot, and wait
    and fail with it. The tags of the run are those of the flow run."""
    with TagsContext(current_tags=set()):
        yield
