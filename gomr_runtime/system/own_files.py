"""Files of ours in folders where others may write: a store, an output, a place for temporary files.

Whoever may write there may put a link, a pipe or a device where we expect a file, or a file of
theirs. None of these is opened, waited for, read without end or written through.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20


class Untrusted(OSError):
    """What has the name of a file of ours is something else."""

    def __init__(self, what: str, path: str | Path) -> None:
        super().__init__(0, what, os.fspath(path))


def open_regular(path: str | Path, flags: int = os.O_RDONLY, folder: int | None = None) -> int:
    """Open a regular file by its very name.

    Args:
        path: Its path; only the last name must not be a link.
        flags: For os.open, to which those are added that keep it from following or waiting.
        folder: An open folder below which a relative `path` lies.

    Returns:
        The descriptor.

    Raises:
        OSError: It is not there, a link, or something else than a file.
    """
    descriptor = os.open(path, flags | _SAFELY, PRIVATE_FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Untrusted("it is no regular file", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_own(path: Path, flags: int) -> int:
    """Open a regular file that this user made, or make it.

    Args:
        path: Its path; a link on the way there, the last one, must be this user's.
        flags: For os.open, as in `open_regular`.

    Returns:
        The descriptor.

    Raises:
        OSError: As `open_regular` does, or it is another user's, or has a second name.
    """
    folder = open_folder(path.parent)
    try:
        descriptor = open_regular(path.name, flags, folder)
        try:
            status = os.fstat(descriptor)
            if not _is_ours(status, folder):
                raise Untrusted("it belongs to another user", path)
            if status.st_nlink > 1:
                raise Untrusted("the file has a second name", path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    finally:
        os.close(folder)


def open_folder(path: Path) -> int:
    """Open a folder. OSError where its name is a link that another user made, but for root."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        above = os.open(path.parent, flags)
        try:
            if status.st_uid and not _is_ours(status, above):
                raise Untrusted("a link of another user is in the way", path)
        finally:
            os.close(above)
    else:
        flags |= os.O_NOFOLLOW  # should it become one meanwhile
    return os.open(path, flags)


def read_at_most(descriptor: int, most: int) -> bytes:
    """What is left of an open file; OSError when that is more than `most` bytes."""
    parts, size = [], 0
    while data := os.read(descriptor, min(_CHUNK, most + 1 - size)):
        parts.append(data)
        size += len(data)
        if size > most:
            raise Untrusted(f"it has more than {most:,} bytes", "")
    return b"".join(parts)


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes, opened by its very name; OSError."""
    descriptor = open_regular(path)
    try:
        return read_at_most(descriptor, most)
    finally:
        os.close(descriptor)


def read_own(path: Path, most: int) -> bytes:
    """As `read_regular`, of a file that this user made."""
    descriptor = open_own(path, os.O_RDONLY)
    try:
        return read_at_most(descriptor, most)
    finally:
        os.close(descriptor)


def read_settings_file(path: Path, most: int) -> bytes:
    """The content of a file that tells a command what to do, a link or not.

    Args:
        path: In the folder that the command was started in, for one.
        most: How many bytes it may have.

    Raises:
        OSError: It is no regular file, too large, or another user has put it where all may write.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status, folder = os.fstat(descriptor), os.stat(path.parent)
        if not stat.S_ISREG(status.st_mode):
            raise Untrusted("it is no regular file", path)
        if folder.st_mode & stat.S_IWOTH and status.st_uid not in {0, os.geteuid()}:
            raise Untrusted("it belongs to another user, in a folder that all may write to", path)
        return read_at_most(descriptor, most)
    finally:
        os.close(descriptor)


def make_private(path: Path) -> None:
    """Make a folder that only this user can look into, and what is missing above it. One that is
    there stays as it is. OSError when that cannot be."""
    try:
        path.mkdir(PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(PRIVATE_FOLDER, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Keep others out of a folder of ours that has a name anybody can foresee; make it if need be.
    OSError when it is another user's, or reached by another user's link."""
    make_private(path)
    folder = open_folder(path)
    try:
        status = os.fstat(folder)
        if not _is_ours(status, folder):
            raise Untrusted("it belongs to another user", path)
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(folder, stat.S_IMODE(status.st_mode) & ~0o077)
    finally:
        os.close(folder)


def check_own_folder(path: Path) -> None:
    """OSError unless `path` itself, no link, is a folder that this user made."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _is_ours(os.fstat(folder), folder):
            raise Untrusted("it belongs to another user", path)
    finally:
        os.close(folder)


def _is_ours(status: os.stat_result, folder: int) -> bool:
    """Whether what has this status was made by this user. Some file systems give all that is made
    another owner, so what we make now in the open `folder` decides."""
    if status.st_uid == os.geteuid():
        return True
    name = f".gomr-owner-{secrets.token_hex(8)}"
    with suppress(OSError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=folder))
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid == status.st_uid
        finally:
            os.unlink(name, dir_fd=folder)
    return False
