"""A worker that is ten times slower than the others."""

from __future__ import annotations

import signal
import threading

from gomr_runtime.system.process_tree import descendants_of, kill_one

# Each line takes five sleeps of 1 ms, of which a process that is stopped most of the time has few.
STEPS = """
while not Path({folder!r}, "go").exists():
    time.sleep(0.001)
    ctx.progress()
for _ in range(5): time.sleep(0.001)
"""


class Crawl(threading.Thread):
    """Stops a process and all below it for nine tenths of the time, until `end`."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.005):
            self._signal(signal.SIGSTOP)
            self._ended.wait(0.045)
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self._pid, *descendants_of(self._pid)):
            kill_one(pid, number)
