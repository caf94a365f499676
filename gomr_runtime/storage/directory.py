"""A store in a directory: local runs, and clusters that share a file system.

Durability: `put` and `create` (descriptions, manifests) fsync the file and its directory before
they return. `put_file` (bulk data) fsyncs the file alone: its name becomes durable with the next
manifest in the journal, and data that no manifest names counts for nothing. `copy` fsyncs the
directory; the data was synced when it was put.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.base import ObjectInfo, Pieces
from gomr_runtime.storage.keys import check_key, check_prefix, check_range
from gomr_runtime.storage.open_folders import (
    READ,
    copy,
    delete_below,
    info_of,
    read,
    remove_empty,
    step_into,
    walk,
    write_all,
    write_new,
)
from gomr_runtime.system.file_system import UNSUPPORTED, place_new, sync
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import make_private

IN_THE_MAKING = ".tmp"  # below the root, so on its file system; no key can name it
STALE_SECONDS = 24 * 3600.0
# A folder may vanish under a writer while somebody deletes its last object: then begin again.
TRIES = 1_000


def path_of(url: str) -> Path:
    """The path in a `file:` URL. Its bytes may be no UTF-8."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))


class DirectoryStore:
    """Objects as files below `root`, which is made if it is missing.

    Each step below the root refuses symbolic links, so that no key leads out of it. Safe from
    any thread and any number of processes.
    """

    def __init__(self, root: Path) -> None:
        try:
            make_private(root)
            self._root = root.resolve(strict=True)
            self._making = self._root / IN_THE_MAKING
            make_private(self._making)
            if self._making.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            self._remove_stale()
        except OSError as error:
            raise StorageError(f"store {root}: {os_cause(error)}") from None

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        check_range(check_key(key), start, length)
        with self._errors("read", key):
            file = self._open_file(key)
            try:
                size = os.fstat(file).st_size
                end = size if length is None else min(size, start + length)
                return read(file, start, end)
            finally:
                os.close(file)

    def info(self, key: str) -> ObjectInfo:
        check_key(key)
        with self._errors("read", key):
            file = self._open_file(key)
            try:
                return info_of(key, os.fstat(file))
            finally:
                os.close(file)

    def put(self, key: str, data: bytes) -> None:
        check_key(key)
        with self._errors("write", key), self._temporary() as temporary:
            write_new(temporary, data)
            self._place(key, lambda name, folder: os.rename(temporary, name, dst_dir_fd=folder))

    def put_file(self, key: str, path: Path) -> None:
        check_key(key)
        with self._errors("write", key):
            source = os.open(path, READ)
            try:
                if not stat.S_ISREG(os.fstat(source).st_mode):
                    raise StorageError(f"cannot write {key}: {path} is not a regular file")
                sync(source)
                self._move(path, source, key)
            finally:
                os.close(source)

    def put_pieces(self, key: str, pieces: Pieces, size: int) -> None:
        del size
        check_key(key)
        with self._temporary() as temporary:
            with self._errors("write", key):
                file = open(temporary, "xb", buffering=0)  # noqa: SIM115  (closed below)
            with file:
                for data in pieces():  # whose errors are no error of writing
                    with self._errors("write", key):
                        write_all(file, data)
                with self._errors("write", key):
                    sync(file.fileno())
            with self._errors("write", key):
                self._place(key, lambda name, to: os.rename(temporary, name, dst_dir_fd=to))

    def create(self, key: str, data: bytes) -> bool:
        check_key(key)
        with self._errors("create", key), self._temporary() as temporary:
            write_new(temporary, data)
            for _ in range(16):
                try:
                    self._place(key, lambda name, to: place_new(temporary, name, to))
                except FileExistsError:
                    with contextlib.suppress(KeyError):  # deleted just now: the key is free again
                        return self.get(key) == data
                else:
                    return True
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def copy(self, source: str, target: str) -> None:
        check_key(source)
        check_key(target)
        # Objects are never changed in place, so two names may share one file.
        with self._errors("copy", source), self._temporary() as temporary:
            file = self._open_file(source)
            try:
                self._same_file(source, file, temporary)
            finally:
                os.close(file)
            with self._errors("write", target):
                self._place(target, lambda name, to: os.rename(temporary, name, dst_dir_fd=to))

    def _same_file(self, key: str, file: int, path: Path) -> None:
        """Give the open file of `key` the name `path`, or make a copy there without hard links."""
        folder, name = self._open_parent(key)
        try:
            os.link(name, path, src_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            copy(file, path)
        finally:
            os.close(folder)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._listed(check_prefix(prefix))

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        above, _, beginning = prefix.rpartition("/")
        with self._errors("list", prefix):
            try:
                folder = self._open_folder(above)
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                yield from walk(folder, f"{above}/" if above else "", beginning)
            finally:
                os.close(folder)

    def delete(self, prefix: str) -> int:
        if not check_prefix(prefix):
            raise StorageError("an empty prefix would delete the whole store")
        above, _, beginning = prefix.rpartition("/")
        with self._errors("delete", prefix):
            try:
                folder = self._open_folder(above)
            except (FileNotFoundError, NotADirectoryError):
                return 0
            try:
                count = delete_below(folder, beginning)
            finally:
                os.close(folder)
            self._prune(above)
        return count

    def local_path(self, key: str) -> Path | None:
        """The file of `key`, for reading only; KeyError when it is not there."""
        check_key(key)
        with self._errors("read", key):
            os.close(self._open_file(key))
        return self._root / key

    def _open_file(self, key: str) -> int:
        folder, name = self._open_parent(key)
        try:
            file = os.open(name, READ, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise FileNotFoundError(errno.ENOENT, "no object, but a folder", key)
        return file

    def _open_parent(self, key: str) -> tuple[int, str]:
        above, _, name = key.rpartition("/")
        return self._open_folder(above), name

    def _open_folder(self, path: str) -> int:
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in path.split("/") if path else ():
            folder = step_into(folder, name)
        return folder

    def _make_folder(self, path: str) -> tuple[int, bool]:
        """The folder, open, made with those above it where missing; whether one was."""
        folder, made = self._open_folder(""), False
        for name in path.split("/") if path else ():
            try:
                with contextlib.suppress(FileExistsError):  # it is there, as nearly always
                    os.mkdir(name, dir_fd=folder)
                    made = True
            except OSError:
                os.close(folder)
                raise
            folder = step_into(folder, name)
        return folder, made

    def _place(self, key: str, step: Callable[[str, int], None], *, durable: bool = True) -> None:
        """Let `step(name, folder)` put the finished file at its name in the key's folder."""
        above, _, name = key.rpartition("/")
        for tries_left in reversed(range(TRIES)):
            try:
                folder, made = self._make_folder(above)
                try:
                    step(name, folder)
                    if durable:
                        sync(folder)
                finally:
                    os.close(folder)
                break
            except FileNotFoundError:
                if not tries_left:
                    raise
        if durable and made:
            # Only now: the wait for the disk would give a deleter time to take the empty folders.
            self._sync_above(above)

    def _sync_above(self, path: str) -> None:
        while path:
            path = path.rpartition("/")[0]
            with contextlib.suppress(FileNotFoundError):  # deleted with all that was in it
                folder = self._open_folder(path)
                try:
                    sync(folder)
                finally:
                    os.close(folder)

    def _move(self, path: Path, source: int, key: str) -> None:
        try:
            self._place(
                key, lambda name, folder: os.rename(path, name, dst_dir_fd=folder), durable=False
            )
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with self._temporary() as temporary:
            copy(source, temporary)
            self._place(
                key, lambda name, to: os.rename(temporary, name, dst_dir_fd=to), durable=False
            )
        path.unlink()

    def _prune(self, path: str) -> None:
        """Remove the folder and those above it as far as they are empty."""
        while path:
            above, _, name = path.rpartition("/")
            try:
                folder = self._open_folder(above)
            except FileNotFoundError:  # somebody else removed it first
                return
            try:
                if not remove_empty(name, folder):
                    return
            finally:
                os.close(folder)
            path = above

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A fresh name in the making; whatever is left under it at the end is removed."""
        path = self._making / secrets.token_hex(12)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """What killed writers left; nobody takes a day between two writes."""
        oldest = time.time() - STALE_SECONDS
        for entry in os.scandir(self._making):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)

    @contextlib.contextmanager
    def _errors(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            absent = isinstance(error, FileNotFoundError | NotADirectoryError)
            if absent and action in {"read", "copy"} and not self._crosses_link(key):
                raise KeyError(key) from None
            raise self._failed(action, key, error) from None

    def _failed(self, action: str, key: str, error: OSError) -> StorageError:
        return StorageError(f"cannot {action} {key} in {self._root}: {os_cause(error)}")

    def _crosses_link(self, key: str) -> bool:
        names = key.split("/")
        return any(self._root.joinpath(*names[:n]).is_symlink() for n in range(1, len(names) + 1))
