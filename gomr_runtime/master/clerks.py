"""The threads in which a master's duties are done: several at once, for the store is far away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from gomr_runtime.errors import GomrError, JobFailed
from gomr_runtime.master.core.duties import Answer, Duty
from gomr_runtime.master.journal import Journal
from gomr_runtime.storage.parallel import AT_ONCE


class Clerks:
    """Takes duties on the event loop and answers there. Answers that come in quick succession
    wake the loop once: waking it costs more than a commit into memory."""

    def __init__(self, journal: Journal, answered: Callable[[Duty, Answer], None]) -> None:
        self._journal = journal
        self._answered = answered
        self._threads = ThreadPoolExecutor(AT_ONCE, "clerk")
        self._answers: deque[tuple[Duty, Answer]] = deque()
        self._woken = False

    def perform(self, duty: Duty) -> None:
        """Returns at once."""
        self._threads.submit(self._work, duty, asyncio.get_running_loop())

    def dismiss(self) -> None:
        """Answers are not wanted any more; what has not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self, duty: Duty, loop: asyncio.AbstractEventLoop) -> None:
        answer: Answer
        try:
            answer = duty.run(self._journal)
        except GomrError as error:
            answer = error
        except BaseException as error:  # noqa: BLE001  (a thread's defect must end the run, not hang it)
            answer = JobFailed(f"defect in the master, please report it: {error!r}")
        self._answers.append((duty, answer))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._woken = False  # first: what is added from now on wakes the loop again
        while self._answers:
            self._answered(*self._answers.popleft())
