"""A process and its descendants as /proc shows them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

PAGE = os.sysconf("SC_PAGESIZE")


def children_of(pid: int) -> list[int]:
    """Direct children of all threads of the process; empty when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                found += map(int, text.split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Children, their children, and so on."""
    found: list[int] = []
    ahead = children_of(pid)
    while ahead:
        child = ahead.pop()
        found.append(child)
        ahead += children_of(child)
    return found


def resident(pids: Iterable[int]) -> int:
    """Bytes of memory of all these processes; shared pages count once for each."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return total


def proportional(pids: Iterable[int]) -> int:
    """The same with shared pages counted once in all; slower by two orders of magnitude."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def memory_of(pids: Sequence[int], limit: int) -> int:
    """Bytes of memory of these processes, exact where it is about `limit`."""
    total = resident(pids)
    return proportional(pids) if total > limit and len(pids) > 1 else total


def kill_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group; nothing when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def kill_one(pid: int, number: signal.Signals) -> None:
    """Signal the process; nothing when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        kill_one(pid, signal.SIGKILL)


def reap(pid: int = -1) -> None:
    """Take note of the child of ours, or of all of them, if dead."""
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0]:
            pass


def end_all_below(pid: int, seconds: float = 5.0) -> None:
    """Kill every descendant of the process, which is this one and a subreaper, until there is
    none: whoever forks faster than we look is stopped first."""
    deadline = time.monotonic() + seconds
    while (found := descendants_of(pid)) and time.monotonic() < deadline:
        for one in found:
            kill_one(one, signal.SIGSTOP)
        kill([*found, *descendants_of(pid)])
        time.sleep(0.002)  # for the kernel; they are not all ours to wait for
        reap()
