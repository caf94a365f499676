"""The folder of a launcher, for sockets, token and scratch space of one local run.

The launcher holds a lock in it, of which the kernel lets go however the launcher ends: a folder
whose lock is free is what a killed launcher has left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.system import file_system
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import make_private, open_regular
from gomr_runtime.system.signals import uninterrupted

PREFIX = "gomr-"
LOCK = "launcher"
CLIENT_TOKEN, WORKER_TOKEN = "token", "worker-token"  # what may watch and cancel; what may work


def make_folder(parent: str) -> tuple[Path, int]:
    """A new folder below `parent` and the descriptor of its lock, to be closed when the folder is
    removed. What killed launchers of ours left there goes."""
    remove_abandoned(Path(parent))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    made = folder / f".{LOCK}"
    lock = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    file_system.lock(lock)
    made.rename(folder / LOCK)  # nobody sees it free
    return folder, lock


@contextmanager
def temporary_folder(parent: str = "") -> Iterator[Path]:
    """A folder for the block alone, below `parent` or where temporary files are; EnvironmentFailed
    where it cannot be made. It goes with all that is in it, whatever signals come meanwhile."""
    parent = parent or _temporary()
    try:
        make_private(Path(parent))
        folder, lock = make_folder(parent)
    except OSError as error:
        raise EnvironmentFailed(
            f"no folder for the run's data can be made in {parent}: {os_cause(error)}: "
            "name a place for it by --store DIR"
        ) from None
    try:
        yield folder
    finally:
        with uninterrupted():
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none of the usual places can be written to
        raise EnvironmentFailed(
            "there is no folder for temporary files: set TMPDIR, or give --store DIR"
        ) from None


def remove_abandoned(parent: Path) -> None:
    """Remove the folders below `parent` that launchers of this user left when they were killed."""
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # no launcher's, in use, or gone meanwhile
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(folder).st_uid == os.geteuid():
                    _remove_unlocked(path, folder)
            finally:
                os.close(folder)


def _remove_unlocked(path: Path, folder: int) -> None:
    """folder: `path`, open, in case that another folder gets its name meanwhile."""
    lock = open_regular(LOCK, os.O_RDWR, folder)
    try:
        if not file_system.lock(lock):
            return  # there is no telling
        for name in os.listdir(folder):  # the lock last: what cannot be removed is found again
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=folder)
            elif name != LOCK:
                os.unlink(name, dir_fd=folder)
        os.unlink(LOCK, dir_fd=folder)
        path.rmdir()
    finally:
        os.close(lock)
