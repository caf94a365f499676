"""Processes of a local run: started without a shell, watched by a thread each, ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from gomr_runtime.system.own_files import open_own

MARK = "GOMR_PART_OF"  # in the environment of every process of a run, and of what these start
SAFE_PATH = ("PYTHONSAFEPATH", "flows")  # set for other processes of the command, see `flows`
TERM_SECONDS = 5.0  # between SIGTERM and SIGKILL
KILL_SECONDS = 5.0  # for the kernel to end a killed process
TAIL_BYTES = 64 << 10


class LocalProcess:
    """One process; `ended` is called with it, in a thread of its own, when it is over."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        lifeline: int,
        environment: dict[str, str],
        ended: Callable[[LocalProcess], None],
    ) -> None:
        """lifeline: a descriptor it inherits; see `gomr_runtime.system.lifeline.watch_for_end`.
        environment: added to our own."""
        self.name = name
        self._log = log
        self._started = time.monotonic()
        self.seconds = 0.0
        with os.fdopen(open_own(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=(lifeline,),
                start_new_session=True,  # Ctrl-C is the launcher's to handle
                env={n: v for n, v in os.environ.items() if _is_passed_on(n, v)} | environment,
            )
        self._ended = ended
        self._waiter = threading.Thread(target=self._wait, name=f"wait-{name}", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def tail(self, lines: int) -> str:
        """The end of its log."""
        with suppress(OSError), os.fdopen(open_own(self._log, os.O_RDONLY), "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            text = stream.read().decode("utf-8", "backslashreplace")
            return "\n".join(text.rstrip().split("\n")[-lines:])
        return ""

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.returncode
        if code is None:
            return "is still running"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def join(self, timeout: float) -> bool:
        """True when it is over within `timeout` seconds."""
        self._waiter.join(max(timeout, 0.0))
        return not self.alive

    def _wait(self) -> None:
        self._process.wait()
        self.seconds = time.monotonic() - self._started
        self._ended(self)


def _is_passed_on(name: str, value: str) -> bool:
    """Whether a variable is for master and workers, too: logins to Prefect are not."""
    return (name, value) != SAFE_PATH and not name.startswith("PREFECT_")


def part_of(store_url: str, run: str, *names: str) -> str:
    """The mark of a run's processes; with launcher and process named, of some of them."""
    return " ".join(quote(name, safe="") for name in (store_url, run, *names))


def end_marked(mark: str) -> int:
    """Kill every process whose mark has all that `mark` names; how many there were.

    For what nobody looks after any more: its worker was killed, or its launcher.
    """
    wanted = mark.split(" ")
    count = 0
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            process = os.pidfd_open(pid)  # should the number become another's between two steps
            try:
                if _mark_of(pid)[: len(wanted)] == wanted:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    count += 1
            finally:
                os.close(process)
    return count


def _mark_of(pid: int) -> list[str]:
    """The names in the mark of a process; none for one that is of no run."""
    begin = f"{MARK}=".encode()
    for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if variable.startswith(begin):
            return os.fsdecode(variable.removeprefix(begin)).split(" ")
    return []


def end_all(processes: Iterable[LocalProcess]) -> None:
    """SIGTERM to all, SIGKILL to those that are still there `TERM_SECONDS` later."""
    running = [process for process in processes if process.alive]
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        for process in running:
            process.signal(number)
        deadline = time.monotonic() + seconds
        running = [p for p in running if not p.join(deadline - time.monotonic())]
