"""Signals that end a command: SIGTERM and SIGHUP as Ctrl-C does, at a moment of our choosing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal asks this process to end. User code lets it through as it does Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Ending:
    """What `ended_by_signals` knows: whether a signal came, and what is to be cleaned up."""

    def __init__(self) -> None:
        self.came: int | None = None
        self.clean_up: list[Callable[[], object]] = []

    def check(self) -> None:
        """Raises Ended where user code has swallowed it."""
        if self.came is not None:
            raise Ended(self.came)

    def handle(self, number: int, _: FrameType | None) -> None:
        if self.came is not None:  # user code does not let go
            for function in self.clean_up:
                function()
            os._exit(128 + number)
        self.came = number
        raise Ended(number)


@contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """Within the block SIGTERM and SIGHUP raise Ended in the main thread; the second of them ends
    the process there and then, after `clean_up`. Where somebody handles or ignores such a signal
    already, as nohup does, it stays so."""
    ending = Ending()
    replaced = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, ending.handle)
                replaced.append(number)
    try:
        yield ending
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end the command wait until the block, which is short, is over."""
    if threading.current_thread() is not threading.main_thread():  # they never come here
        yield
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    handlers = {n: signal.getsignal(n) for n in SIGNALS}
    held = {n: h for n, h in handlers.items() if h not in (None, signal.SIG_IGN)}
    try:
        for number in held:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
