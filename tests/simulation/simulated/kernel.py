"""Virtual time and the processes that live in it: one thread, one generator, one clock.

A process can be killed at any moment and stopped for a while (as by SIGSTOP): what is due in it is
then dropped or put off. Code that blocks, such as the journal's calls of the store, runs in threads
that are greenlets: they wait in virtual time, and may wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet


class Kernel:
    """What is due when. `now` is in seconds; what is due at the same time happens in the order in
    which it was asked for."""

    def __init__(self, seed: str) -> None:
        self.now = 0.0
        self.rng = Random(seed)
        self.hub = getcurrent()
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self.steps = 0

    def after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        self._order += 1
        heappush(self._due, (self.now + delay, self._order, action, arguments))

    def step(self) -> None:
        """Let the next thing happen."""
        self.steps += 1
        self.now, _, action, arguments = heappop(self._due)
        action(*arguments)


class Process:
    """Something that lives, stops and dies; everything in it happens through `after`."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.alive = True
        self.resumes = 0.0

    @property
    def awake(self) -> bool:
        """Whether it is alive and not stopped."""
        return self.alive and self.resumes <= self.kernel.now

    def after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        self.kernel.after(delay, self._happen, action, arguments)

    def _happen(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        if self.resumes > self.kernel.now:
            self.after(self.resumes - self.kernel.now + 1e-6, action, *arguments)
        else:
            action(*arguments)

    def stop(self, seconds: float) -> None:
        self.resumes = max(self.resumes, self.kernel.now + seconds)

    def kill(self) -> None:
        self.alive = False

    def spawn(self, work: Callable[..., None], *arguments: Any) -> Thread:
        thread = Thread(self, work, arguments)
        self.after(0.0, thread.resume)
        return thread


class _Stack(greenlet):
    thread: Thread


class Thread:
    """Work that blocks, inside a process; `cancel` is the death of a child process."""

    def __init__(
        self, process: Process, work: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.process = process
        self.cancelled = False
        self._stack = _Stack(lambda _: work(*arguments), parent=process.kernel.hub)
        self._stack.thread = self

    def resume(self, value: Any = None) -> None:
        if not self.cancelled:
            self._stack.switch(value)

    def cancel(self) -> None:
        self.cancelled = True


def current() -> Thread:
    """The thread that calls this."""
    stack = getcurrent()
    assert isinstance(stack, _Stack), "called outside of a thread"
    return stack.thread


def sleep(seconds: float) -> None:
    """Let time pass in the calling thread."""
    thread = current()
    thread.process.after(seconds, thread.resume)
    block(thread)


def block(thread: Thread) -> Any:
    """Wait until somebody resumes the calling thread; what it is resumed with."""
    return thread.process.kernel.hub.switch()
