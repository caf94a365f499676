"""How a new output takes the place of the old one: all at once where the file system can do that,
else file by file, with the old one kept aside until the new `_SUCCESS` stands.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gomr_runtime.errors import RunConflict, UsageError
from gomr_runtime.publishing.output_files import (
    JOURNAL,
    NEW,
    OLD,
    entries,
    former_files,
    move,
    remove,
    remove_empty,
    remove_traces,
    restore,
    write_journal,
    write_synced,
)
from gomr_runtime.storage.success import NAME
from gomr_runtime.system.file_system import (
    NO_EXCHANGE,
    UNSUPPORTED,
    exchange,
    lock,
    place_new,
    sync,
    sync_folder,
)
from gomr_runtime.system.own_files import check_own_folder

MOST_LINKS = 1_000  # files of other origin that are worth a link each


class InPlace:
    """The new output grows in a hidden folder of the directory; then names change one by one."""

    def __init__(self, directory: Path, folder: int) -> None:
        """folder: the directory, open and locked."""
        self.path = directory / NEW
        self._directory = directory
        self._folder = folder
        shutil.rmtree(self.path, ignore_errors=True)
        os.mkdir(self.path)

    def publish(self, names: Sequence[str]) -> None:
        """Let the output in `path`, of these files, stand. An error leaves the old one as it was,
        unless the disk refuses that as well."""
        swap(self._directory, self._folder, self.path, names)

    def discard(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Beside:
    """The new output grows in a hidden folder beside the directory; then the two are exchanged.

    Whoever looks sees the old output or the new one, whole, also when we are killed.
    """

    def __init__(self, directory: Path, folder: int) -> None:
        """Raises OSError where that cannot be done here."""
        self._directory = directory.resolve()
        self._folder = folder
        self._lock = -1
        mark = hashlib.sha256(os.fsencode(self._directory.name)).hexdigest()[:16]
        self.path = self._directory.parent / f".gomr-{mark}"
        _check_exchangeable(self._directory)
        self._clear()
        os.mkdir(self.path)
        try:
            write_synced(self.path / JOURNAL, b"[]")
            _try_exchange(self.path)
            _copy_rights(self._directory, self.path)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            lock(self._lock)
        except BaseException:
            self.discard()
            raise

    def publish(self, names: Sequence[str]) -> None:
        """As `InPlace.publish`."""
        try:
            for entry in _others(self._directory):
                os.link(entry.path, self.path / entry.name, follow_symlinks=False)
            sync(self._lock)
            exchange(self.path, self._directory)
        except OSError as error:
            if error.errno not in NO_EXCHANGE:
                raise
            swap(self._directory, self._folder, self.path, names)
            return
        sync_folder(self._directory.parent)
        with contextlib.suppress(OSError):  # the output stands; the next publish removes it
            remove_traces(self._directory)

    def discard(self) -> None:
        with contextlib.suppress(OSError, UsageError):
            self._clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _clear(self) -> None:
        """Remove the folder beside: an output that did not come to stand, whose files of other
        origin have another name in the directory; or the old output, where others may have put
        something meanwhile, which is kept."""
        if not os.path.lexists(self.path):
            return
        check_own_folder(self.path)  # its name can be foreseen
        # What says which of the two it is goes last: we may be killed in between.
        last = JOURNAL if os.path.lexists(self.path / JOURNAL) else NAME
        if last == NAME:
            remove(self.path, former_files(self.path))
            remove_traces(self.path)
        for entry in list(os.scandir(self.path)):
            kept = self._directory / entry.name
            if entry.name == last:
                continue
            if last == JOURNAL and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif last == JOURNAL or _is_link(entry, kept):
                os.unlink(entry.path)
            elif not os.path.lexists(kept):
                os.rename(entry.path, kept)
        remove(self.path, [last])
        os.rmdir(self.path)


def swap(directory: Path, folder: int, stage: Path, names: Sequence[str]) -> None:
    """Let the output in `stage`, on the same file system, take the place of what is in the
    directory, file by file."""
    former = former_files(directory)
    overwriting = os.path.lexists(directory / NAME)
    moved: list[str] = []
    placed = False
    try:
        write_journal(directory, folder, former | set(names))
        if overwriting:
            _put_aside(directory, folder, former)
        else:  # what an interrupted publish has left
            remove(directory, former)
        for name in names:
            move(name, stage, directory)
            moved.append(name)
        sync(folder)
        try:
            place_new(stage / NAME, directory / NAME)
        except FileExistsError:
            raise RunConflict(f"--output {directory}: another {NAME} appeared there") from None
        placed = True
        sync(folder)
    except BaseException:
        remove(directory, [NAME] if placed else [])
        restore(directory, former if overwriting else set(), moved)
        raise
    with contextlib.suppress(OSError):  # the output stands; the next publish removes the rest
        remove_traces(directory)


def _put_aside(directory: Path, folder: int, former: set[str]) -> None:
    """The old output to its folder, `_SUCCESS` first."""
    old = directory / OLD
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    move(NAME, directory, old)
    sync(folder)
    for name in sorted(former):
        if os.path.lexists(directory / name):
            move(name, directory, old)
    for inner in {name.rpartition("/")[0] for name in former} - {""}:
        remove_empty(directory / inner)


def _others(directory: Path) -> list[os.DirEntry[str]]:
    """What is in the directory and of no output."""
    listed = {name.partition("/")[0] for name in former_files(directory)} | {NAME}
    return [entry for entry in entries(directory) if entry.name not in listed]


def _is_link(entry: os.DirEntry[str], path: Path) -> bool:
    """Whether both are one file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(entry.stat(follow_symlinks=False), os.lstat(path))
    return False


def _check_exchangeable(directory: Path) -> None:
    """OSError unless nobody minds that the directory becomes another one of the same name."""
    here = Path.cwd()
    if os.path.ismount(directory) or directory in (here, *here.parents):
        raise OSError(f"{directory} is a mount point, or the working directory")
    others = _others(directory)
    if len(others) > MOST_LINKS or any(e.is_dir(follow_symlinks=False) for e in others):
        raise OSError("folders can have one name only, and many links take time")
    for folder in {name.partition("/")[0] for name in former_files(directory) if "/" in name}:
        listed = {name for name in former_files(directory) if name.startswith(f"{folder}/")}
        with contextlib.suppress(FileNotFoundError):
            if {f"{folder}/{name}" for name in os.listdir(directory / folder)} - listed:
                raise OSError(f"{folder} holds files of other origin")


def _try_exchange(path: Path) -> None:
    """OSError unless the file system can exchange folders."""
    one, other = path / "one", path / "other"
    one.mkdir()
    other.mkdir()
    try:
        exchange(one, other)
    finally:
        one.rmdir()
        other.rmdir()


def _copy_rights(source: Path, target: Path) -> None:
    """Give a folder the owner, mode and attributes of another; OSError where that is refused."""
    given, made = source.stat(), target.stat()
    if (given.st_uid, given.st_gid) != (made.st_uid, made.st_gid):
        os.chown(target, given.st_uid, given.st_gid)
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        names = []
    for name in names:
        os.setxattr(target, name, os.getxattr(source, name))
    os.chmod(target, given.st_mode & 0o7777)
