"""What the processes of a run have in common: how they notice the end of whoever started them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

from gomr_runtime.system.settings import read

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
M_ARENA_MAX = -8  # of mallopt
LIFE_SECONDS = 1.0


def prctl(option: int, value: int) -> None:
    """OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def hide_from_user_code() -> None:
    """Close environment, memory and descriptors of this process (`/proc/<pid>`) to all that is not
    root, other processes of its own user included. It leaves no core dump."""
    prctl(PR_SET_DUMPABLE, 0)


def keep_memory_together(arenas: int = 2) -> None:
    """Let all threads take memory from so many places, where the C library is glibc: what a burst
    of requests took is used again by the next one, and not kept by each thread for itself. To be
    called before there are threads."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, arenas)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Get the signal when the parent process dies; at once if it is dead already."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def show_life(loop: asyncio.AbstractEventLoop, path: Path) -> None:
    """Touch `path` every second for as long as the loop turns, for who looks after the process."""
    with contextlib.suppress(OSError):  # a full disk is not the end of life
        path.touch()
    loop.call_later(LIFE_SECONDS, show_life, loop, path)


def watch_for_end(loop: asyncio.AbstractEventLoop, lifeline: int, end: Callable[[], None]) -> None:
    """Call `end` on SIGTERM, and when the other end of the pipe `lifeline` (-1 for none) closes:
    a launcher that is killed leaves nothing behind. SIGINT is the launcher's to handle.

    In a pod, where GOMR_ALIVE_FILE is set, the process also shows that it is alive.
    """
    if alive := read("alive_file"):
        show_life(loop, Path(alive))
    loop.add_signal_handler(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if lifeline < 0:
        return
    os.set_blocking(lifeline, False)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(lifeline, 1):
                loop.remove_reader(lifeline)
                end()

    loop.add_reader(lifeline, readable)


def write_atomically(path: Path, text: str) -> None:
    """Whoever reads `path` sees nothing or all of `text`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.rename(path)
