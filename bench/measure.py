"""What a command and all processes it starts cost: wall time, CPU time, peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans of the command become our children
SAMPLE_SECONDS = 0.05
SHARES_EVERY = 10  # samples; the kernel goes through all pages for it


@dataclass(frozen=True, slots=True)
class Cost:
    """wall and cpu in seconds; largest and total are peaks of RSS in bytes, of one process and
    of the whole tree, sampled every 50 ms. cpu is user + system of every process: as the kernel
    adds it up, or as it was last seen where that is more (it forgets who was not waited for, such
    as the Python workers of Spark). roles: the largest RSS by what a process is. once: the peak of
    the whole tree with pages that processes share counted once, sampled every half second."""

    wall: float
    cpu: float
    largest: int
    total: int
    roles: dict[str, int] = field(default_factory=dict)
    once: int = 0


def measure(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Cost:
    """Run the command to its end, its output into `log`; RuntimeError when it fails."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = {child.pid for child in psutil.Process().children()}
    peaks = _Peaks(others)
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command), stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=environ
        )
        with peaks.watching():
            code = process.wait()
    wall = time.perf_counter() - began
    _reap(others)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{log.read_text()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, max(cpu, peaks.cpu), peaks.largest, peaks.total, peaks.roles, peaks.once)


def _reap(others: set[int]) -> None:
    """Wait for orphans that the command left behind, so that their CPU time counts; not for
    `others`, which were there before."""
    for child in psutil.Process().children():
        if child.pid not in others:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)


class _Peaks:
    def __init__(self, others: set[int]) -> None:
        self._others = others
        self.largest = 0
        self.once = 0
        self.roles: dict[str, int] = {}
        self.total = 0
        self._seen: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    @property
    def cpu(self) -> float:
        """Seconds that processes had taken when they were last seen."""
        return sum(self._seen.values())

    def _watch(self) -> None:
        me = psutil.Process()
        for sample in itertools.count():
            if self._stop.wait(SAMPLE_SECONDS):
                return
            sizes = []
            shares = 0
            ours = [child for child in me.children() if child.pid not in self._others]
            for process in ours + [each for one in ours for each in _below(one)]:
                with contextlib.suppress(psutil.Error):
                    sizes.append(process.memory_info().rss)
                    role = _role(process)
                    self.roles[role] = max(self.roles.get(role, 0), sizes[-1])
                    times = process.cpu_times()
                    self._seen[process.pid, process.create_time()] = times.user + times.system
                    if sample % SHARES_EVERY == 0:
                        shares += process.memory_full_info().pss
            self.largest = max([self.largest, *sizes])
            self.total = max(self.total, sum(sizes))
            self.once = max(self.once, shares)


def _role(process: psutil.Process) -> str:
    """What it is, told from its command line: processes of ours take a name only once they run."""
    words = " ".join(process.cmdline())
    for role in ("master", "worker"):
        if f"gomr-{role}" in words or f"-m gomr_runtime.{role} " in words:
            return role
    return "forked" if "forkserver" in words else "other"


def _below(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []
