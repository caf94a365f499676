"""What of a directory is GoMR's: which files an output has, and what an interrupted publish left.

output-NNNNN.<suffix>, _bad/*      the output's files, as its `_SUCCESS` lists them
.output-journal.gomr               the files of the old and the new output, while they change;
                                   in a folder beside: that it holds no output yet
.output-new.gomr/                  the new output until it stands
.output-old.gomr/                  the old output until the new one stands
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from gomr_runtime.model.output_formats import FILE_NAME
from gomr_runtime.storage.success import MAX_BYTES, NAME, read_success
from gomr_runtime.system.file_system import sync, sync_folder
from gomr_runtime.system.own_files import read_regular

JOURNAL = ".output-journal.gomr"
NEW = ".output-new.gomr"
OLD = ".output-old.gomr"
_OURS = re.compile(
    r"\.output-(\d{5,9}\.(txt|jsonl|csv|parquet)|journal(-new)?|success|new|old)\.gomr"
)


def is_ours(name: str) -> bool:
    """Whether GoMR alone uses the name, for what it is about to publish."""
    return bool(_OURS.fullmatch(name))


def former_output(directory: Path) -> Path | None:
    """The folder with the `_SUCCESS` of the output that is there: the directory, or where an
    interrupted publish has put it aside; None when there is none."""
    if os.path.lexists(directory / NAME):
        return directory
    return directory / OLD if has_old(directory) else None


def has_old(directory: Path) -> bool:
    """Whether an interrupted publish has put the old output aside. A link is none of ours."""
    old = directory / OLD
    return not old.is_symlink() and os.path.lexists(old / NAME)


def former_files(directory: Path) -> set[str]:
    """The files of the output that is to go: as its `_SUCCESS`, else an interrupted journal,
    says."""
    if os.path.lexists(directory / NAME):
        return {file.name for file in read_success(directory).files}
    return journal(directory) or set()


def journal(directory: Path) -> set[str] | None:
    """The files that an interrupted publish may have left; None when there is no journal."""
    try:
        names = json.loads(read_regular(directory / JOURNAL, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(names, list):
        return None
    return {name for name in names if isinstance(name, str) and FILE_NAME.fullmatch(name)}


def write_journal(directory: Path, folder: int, names: set[str]) -> None:
    made = directory / f"{JOURNAL.removesuffix('.gomr')}-new.gomr"
    write_synced(made, json.dumps(sorted(names)).encode())
    os.rename(made, directory / JOURNAL)
    sync(folder)


def move(name: str, source: Path, target: Path) -> None:
    """The file `name` from one folder of output files to another; what has that name goes."""
    if "/" in name:
        inner = (target / name).parent
        inner.mkdir(exist_ok=True)
        if inner.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(inner))
    os.rename(source / name, target / name)


def remove(directory: Path, names: Iterable[str]) -> None:
    """Remove files, and the folders between as far as they are empty."""
    folders = set()
    for name in names:
        inner = name.rpartition("/")[0]
        if inner and (directory / inner).is_symlink():
            continue  # what it leads to is no output of ours
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(directory / name)
        folders.add(inner)
    for folder in folders - {""}:
        remove_empty(directory / folder)


def remove_empty(folder: Path) -> None:
    """Remove the folder if it is there and empty."""
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise


def remove_traces(directory: Path) -> None:
    """Remove everything that only a publish in progress needs."""
    for entry in list(os.scandir(directory)):
        if not is_ours(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def recover(directory: Path) -> None:
    """Give the old output back its names, where a publish was killed in between. The directory is
    locked by the caller."""
    old = directory / OLD
    if os.path.lexists(directory / NAME) or not has_old(directory):
        return
    former = {file.name for file in read_success(old).files}
    restore(directory, former, (journal(directory) or set()) - former)


def restore(directory: Path, former: set[str], new: Iterable[str]) -> None:
    """From any point before the new `_SUCCESS` back to the old output; `new` are files of the new
    one that have their names already."""
    old = directory / OLD
    remove(directory, new)
    for name in sorted(former) if has_old(directory) else ():
        if os.path.lexists(old / name):
            move(name, old, directory)
    sync_folder(directory)
    if has_old(directory):
        move(NAME, old, directory)
        sync_folder(directory)
    remove_traces(directory)


def write_synced(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb", buffering=0) as file:
        write_all(file.fileno(), data)
        sync(file.fileno())


def write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    """What is in the directory beside what a publish in progress needs."""
    with os.scandir(directory) as found:
        yield from (entry for entry in found if not is_ours(entry.name))
