"""From a finished run's parts in the store to the directory the user named.

The order of writes makes a crash at any point leave the old output whole or no `_SUCCESS`:

1. parts are copied under names starting with `.`, verified and fsynced
2. the journal, which lists every file of the old and the new output, is fsynced
3. the old `_SUCCESS` goes, then the old parts; the new parts get their names
4. the new `_SUCCESS` is linked into place, the journal goes

Parts are copies, not hard links: editing one must not change the store's object. A journal
without `_SUCCESS` tells the next publish which files an interrupted one left; nothing else in
the directory is ever touched. An flock on the directory keeps two publishers apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gomr_runtime.errors import CorruptBlock, RunConflict, StorageError, UsageError
from gomr_runtime.job import Part, Summary
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.causes import os_cause
from gomr_runtime.success import (
    NAME,
    PART_NAME,
    Success,
    promote,
    read_success,
    success_bytes,
    success_of,
)

__all__ = ["Success", "check_output", "promote", "publish", "read_success"]

CHUNK = 4 << 20
JOURNAL = ".output-journal.gomr"
SUCCESS_IN_THE_MAKING = ".output-success.gomr"
_OURS = re.compile(r"\.output-(\d{5,9}\.(txt|jsonl|csv|parquet)|journal(-new)?|success)\.gomr")


def check_output(directory: Path, overwrite: bool) -> None:
    """UsageError unless an output may be published in `directory`; nothing is changed.

    It must be absent, empty or an earlier GoMR output; the last needs `overwrite`. What an
    interrupted publish left, as its journal lists it, counts as nothing.
    """
    try:
        if not os.path.lexists(directory):
            _check_parent(directory)
            return
        names = {entry.name for entry in os.scandir(directory)}
    except OSError as error:
        raise UsageError(f"--output {directory}: {os_cause(error)}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"--output {directory}: the directory is not writable")
    if NAME not in names:
        foreign = sorted(name for name in names if not _is_ours(name))
        if foreign and _journal(directory) is None:
            raise UsageError(
                f"--output {directory} is not empty and not a GoMR output (it has "
                f"{foreign[0]}): choose another directory"
            )
    elif not overwrite:
        run = read_success(directory).run
        raise UsageError(
            f"--output {directory} holds the output of run {run}: "
            "add --overwrite or choose another directory"
        )
    else:
        read_success(directory)


def publish(
    store: Store,
    summary: Summary,
    directory: Path,
    overwrite: bool,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Bring the parts of `summary` into `directory`, with `_SUCCESS` last; return its path.

    progress: called with the bytes that were copied since the last call. Raises UsageError as
    `check_output` does, RunConflict while another run publishes there, CorruptBlock for a part
    that is not what the summary says, StorageError when either side fails. The directory is as
    it was, except after an error of its own disk in the last steps: then it has no `_SUCCESS`.
    """
    check_output(directory, overwrite)
    _check_names(summary.parts)
    success = success_of(summary.run, summary.parts, summary.ledger, summary.counters)
    made = _make_directory(directory)
    done = False
    try:
        with _errors(directory), _locked(directory) as folder:
            check_output(directory, overwrite)  # another run may just have finished there
            former = _former_files(directory)
            _check_in_place(directory, summary.parts, former)
            try:
                for part in summary.parts:
                    _fetch(store, part, directory, progress or _ignore)
                _write_synced(directory / SUCCESS_IN_THE_MAKING, success_bytes(success))
                done = True
                _swap(directory, folder, summary.parts, former)
            finally:
                if not done:
                    _remove(directory, (_hidden(part) for part in summary.parts))
                    _remove(directory, [SUCCESS_IN_THE_MAKING])
    finally:
        if not done:
            with contextlib.suppress(OSError):  # somebody put a file there meanwhile
                for path in made:
                    path.rmdir()
    return directory / NAME


def _swap(directory: Path, folder: int, parts: tuple[Part, ...], former: set[str]) -> None:
    _write_journal(directory, folder, former | {part.name for part in parts})
    _remove(directory, [NAME])
    os.fsync(folder)
    _remove(directory, former - {part.name for part in parts})
    for part in parts:
        os.rename(directory / _hidden(part), directory / part.name)
    os.fsync(folder)
    os.link(directory / SUCCESS_IN_THE_MAKING, directory / NAME)
    os.fsync(folder)
    _remove(directory, [SUCCESS_IN_THE_MAKING, JOURNAL])
    _remove(directory, [entry.name for entry in os.scandir(directory) if _is_ours(entry.name)])


def _fetch(store: Store, part: Part, directory: Path, progress: Callable[[int], None]) -> None:
    """Copy one part under its hidden name, verified and durable."""
    path = directory / _hidden(part)
    path.unlink(missing_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        for chunk in _chunks(store, part):
            digest.update(chunk)
            size += len(chunk)
            _write_all(file.fileno(), chunk)
            progress(len(chunk))
        os.fsync(file.fileno())
    if size != part.size or digest.hexdigest() != part.sha256:
        raise CorruptBlock(
            f"{part.key} in {store.url} is not what its task wrote: {size} bytes, sha256 "
            f"{digest.hexdigest()[:12]}…, expected {part.size} and {part.sha256[:12]}…; "
            "nothing was published, run the job again"
        )


def _chunks(store: Store, part: Part) -> Iterator[bytes]:
    try:
        size = store.info(part.key).size
        if size != part.size:
            raise CorruptBlock(
                f"{part.key} in {store.url} has {size} bytes instead of {part.size}: "
                "nothing was published, run the job again"
            )
        for start in range(0, part.size, CHUNK):
            yield store.get(part.key, start, min(CHUNK, part.size - start))
    except KeyError:
        raise StorageError(f"{part.key} is not in {store.url}: nothing was published") from None


def _former_files(directory: Path) -> set[str]:
    """Files of the output that is to go: as its `_SUCCESS`, else an interrupted journal, says."""
    if os.path.lexists(directory / NAME):
        return {part.name for part in read_success(directory).parts}
    return _journal(directory) or set()


def _journal(directory: Path) -> set[str] | None:
    """The files that an interrupted publish may have left; None when there is no journal."""
    try:
        names = json.loads((directory / JOURNAL).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(names, list):
        return None
    return {name for name in names if isinstance(name, str) and PART_NAME.fullmatch(name)}


def _write_journal(directory: Path, folder: int, names: set[str]) -> None:
    made = directory / f"{JOURNAL.removesuffix('.gomr')}-new.gomr"
    _write_synced(made, json.dumps(sorted(names)).encode())
    os.rename(made, directory / JOURNAL)
    os.fsync(folder)


def _check_names(parts: tuple[Part, ...]) -> None:
    names = [part.name for part in parts]
    wrong = [name for name in names if not PART_NAME.fullmatch(name)]
    if wrong or len(set(names)) != len(names):
        raise StorageError(f"the run's summary names a part wrongly or twice: {wrong or names}")


def _check_in_place(directory: Path, parts: tuple[Part, ...], former: set[str]) -> None:
    for name in sorted(former):
        if (directory / name).is_dir() and not (directory / name).is_symlink():
            raise UsageError(f"--output {directory}: {name} is a folder: move it away")
    for part in parts:
        if part.name not in former and os.path.lexists(directory / part.name):
            raise UsageError(
                f"--output {directory}: {part.name} is not of the earlier output and would be "
                "lost: move it or choose another directory"
            )


def _check_parent(directory: Path) -> None:
    parent = next(path for path in directory.absolute().parents if os.path.lexists(path))
    if not parent.is_dir():
        raise UsageError(f"--output {directory}: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--output {directory}: {parent} is not writable")


def _make_directory(directory: Path) -> list[Path]:
    """Make it and what is missing above it, durably; what was made, innermost first."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    with _errors(directory):
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            _sync_directory(path.parent)
    return missing


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """An open, locked descriptor of the directory."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunConflict(f"--output {directory}: another run publishes there now") from None
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def _errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{directory}/{Path(error.filename).name}" if error.filename else str(directory)
        raise StorageError(f"cannot publish to {where}: {os_cause(error)}") from None


def _write_synced(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb", buffering=0) as file:
        _write_all(file.fileno(), data)
        os.fsync(file.fileno())


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(directory: Path, names: Iterable[str]) -> None:
    for name in names:
        try:
            os.unlink(directory / name)
        except FileNotFoundError:
            continue


def _hidden(part: Part) -> str:
    return f".{part.name}.gomr"


def _is_ours(name: str) -> bool:
    return bool(_OURS.fullmatch(name))


def _ignore(_: int) -> None:
    """Nobody watches."""
