"""What not every file system can do: hard links, locks, durable names, exchanging two names.

Where one of them is missing there is another way, or the caller is told.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

UNSUPPORTED = frozenset(
    {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EINVAL, errno.EMLINK}
)
"""What a file system answers that cannot do something at all."""
NO_LOCK = UNSUPPORTED | {errno.ENOLCK, errno.EBADF}  # EBADF: NFS, for a lock on a folder
NO_EXCHANGE = UNSUPPORTED | {errno.EBUSY, errno.EXDEV}  # a mount point; some overlays
_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2


def lock(descriptor: int) -> bool:
    """Lock the open file or folder for as long as it is open; False where there are no locks.
    BlockingIOError while somebody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCK:
            raise
        return False
    return True


def sync(descriptor: int) -> None:
    """Make the open file or folder durable, as far as its file system knows how to."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(folder)
    finally:
        os.close(folder)


def place_new(source: Path, target: str | Path, folder: int | None = None) -> None:
    """Give the finished file `source` the new name `target`, in the open `folder` where one is
    given; FileExistsError when there is something of that name. `source` may be gone afterwards.

    By a hard link; else by a rename that replaces nothing; else the name is taken before the file
    comes to it, so that somebody may find it empty for a moment.
    """
    try:
        os.link(source, target, dst_dir_fd=folder, follow_symlinks=False)
        return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    try:
        _rename(source, target, _NOREPLACE, folder)
        return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=folder))
    os.rename(source, target, dst_dir_fd=folder)


def exchange(one: Path, other: Path) -> None:
    """Let two names, of folders for example, change places in one step. OSError with a number of
    NO_EXCHANGE where that cannot be."""
    _rename(one, other, _EXCHANGE)


def _rename(source: Path, target: str | Path, flags: int, folder: int | None = None) -> None:
    import ctypes  # takes as long as all else here

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    to = _AT_FDCWD if folder is None else folder
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), to, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
