"""Files and folders by their descriptors: nobody can put a link in their way meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from gomr_runtime.storage.base import ObjectInfo
from gomr_runtime.system.file_system import sync

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(file: int, start: int, end: int) -> bytes:
    """Bytes from `start` to `end` of an open file; a single pread takes at most 2 GiB."""
    pieces = []
    while start < end:
        piece = os.pread(file, end - start, start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def copy(file: int, path: Path) -> None:
    """Copy an open file to the new file `path`, durably."""
    with open(file, "rb", closefd=False) as source, open(path, "xb") as copy:
        source.seek(0)
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        sync(copy.fileno())


def info_of(key: str, file: os.stat_result) -> ObjectInfo:
    version = f"{file.st_mtime_ns}-{file.st_size}-{file.st_ino}"
    return ObjectInfo(key, file.st_size, version)


def write_new(path: Path, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
        write_all(file, data)
        sync(file.fileno())


def write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def step_into(folder: int, name: str) -> int:
    """The folder `name` inside the open `folder`, which is closed."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    finally:
        os.close(folder)


def walk(folder: int, above: str, beginning: str = "") -> Iterator[ObjectInfo]:
    """Objects in and below an open folder in key order, one folder in memory at a time."""
    # "a-b" < "a/c" < "a0": a folder sorts by its name with the slash.
    names = sorted(
        f"{name}/" if is_folder else name for name, is_folder in _entries(folder, beginning)
    )
    for name in names:
        try:
            if not name.endswith("/"):
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    yield info_of(above + name, info)
                continue
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:  # deleted meanwhile
            continue
        try:
            yield from walk(inner, above + name)
        finally:
            os.close(inner)


def _entries(folder: int, beginning: str) -> list[tuple[str, bool]]:
    """Names in an open folder that begin so, each with whether it is a folder."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.name.startswith(beginning) and not entry.name.startswith(".")
            ]
    except FileNotFoundError:  # removed after it was opened
        return []


def delete_below(folder: int, beginning: str = "") -> int:
    count = 0
    for name, is_folder in _entries(folder, beginning):
        with contextlib.suppress(FileNotFoundError):  # somebody else deletes too
            if not is_folder:
                os.unlink(name, dir_fd=folder)
                count += 1
                continue
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                count += delete_below(inner)
            finally:
                os.close(inner)
            remove_empty(name, folder)
    return count


def remove_empty(name: str, folder: int) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
            return False
        raise
    return True
