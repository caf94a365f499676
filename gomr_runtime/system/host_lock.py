"""A lock that needs no file system: a name that the kernel gives one process of this machine at a
time, and takes back however that process ends. It is an abstract Unix socket that nobody uses.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

from gomr_runtime.errors import RunConflict

_held: WeakSet[socket.socket] = WeakSet()


class HostLock:
    """`path`, which need not be there, for `purpose` is ours until `release`, or within a `with`
    block. BlockingIOError while another process has it; processes of other machines may."""

    def __init__(self, purpose: str, path: Path) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _held.add(self._socket)
        try:
            self._socket.bind(f"\0gomr-{purpose}-{name}")
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EADDRINUSE:
                raise BlockingIOError(errno.EAGAIN, "another process has it", str(path)) from None
            raise

    def __enter__(self) -> HostLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of it. Safe to repeat."""
        self._socket.close()


def claim_output(directory: Path) -> HostLock:
    """One run at a time, from its start to its end, to an output directory, which need not be
    there yet. RunConflict while another run has it."""
    try:
        return HostLock("output", directory)
    except BlockingIOError:
        raise RunConflict(
            f"--output {directory}: another run is on its way there: choose another directory, or "
            "wait for its end"
        ) from None


def _forget() -> None:
    """A process that user code forks must not keep what its parent lets go of."""
    for held in _held:
        with suppress(OSError):
            held.close()


os.register_at_fork(after_in_child=_forget)
