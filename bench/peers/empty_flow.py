"""A Prefect flow of as many tasks as a run of GoMR on this machine has; none does a thing."""

import sys

from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@flow(name="empty")
def empty(tasks: int) -> None:
    for number in range(tasks):
        task(name=f"step-{number}", cache_policy=NO_CACHE)(lambda: None)()


empty(int(sys.argv[1]))
