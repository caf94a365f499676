"""The folder of a launcher, for sockets, token and scratch space of one local run.

The launcher holds a lock in it, of which the kernel lets go however the launcher ends: a folder
whose lock is free is what a killed launcher has left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.signals import uninterrupted
from gomr_runtime.storage import file_system
from gomr_runtime.storage.causes import os_cause

PREFIX = "gomr-"
LOCK = "launcher"


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
        Path(parent).mkdir(parents=True, exist_ok=True)
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
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # no launcher's, in use, or gone meanwhile
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if file_system.lock(lock):  # else there is no telling
                    _remove(folder)
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """The lock last: what cannot be removed now is found again."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
    (folder / LOCK).unlink()
    folder.rmdir()
