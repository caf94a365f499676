"""What every step of a run is as a Prefect task."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks.session import Session

R = TypeVar("R")


def step(function: Callable[[Session], R]) -> Task[[Session], R]:
    """A task named as the function. It is never cached, for its result is what it does, and it
    does not begin once the run is to be cancelled."""

    @wraps(function)
    def begin(session: Session) -> R:
        session.check_cancelled()
        return function(session)

    name = function.__name__
    return task(name=name, task_run_name=name.replace("_", " "), cache_policy=NO_CACHE)(begin)
