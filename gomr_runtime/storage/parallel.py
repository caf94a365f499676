"""Many small requests to a store: one after another, or several at once where it is far away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 16  # requests; more of them only wait for each other at the store
TOGETHER = 1024  # that are on the list of the threads


class Several(Protocol):
    """What `map` is: the step for each item, the results in the order of the items."""

    def __call__(self, step: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]: ...


def at_once(step: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
    """Apply `step` to the items as `map` does, in threads; results come in the order of the items.

    The first error ends it, as soon as the steps that have begun are over.
    """
    from concurrent.futures import ThreadPoolExecutor  # not for a job in one process

    rest = iter(items)
    with ThreadPoolExecutor(AT_ONCE, "store") as threads:
        while some := list(islice(rest, TOGETHER)):
            yield from threads.map(step, some)
