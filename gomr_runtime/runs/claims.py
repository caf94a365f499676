"""The data of runs below a local store: who holds a run id, and what may be removed.

A run in progress holds an flock on `locks/<run>`; the kernel lets go of it however the process
ends, so a folder without a lock is finished, failed or orphaned and never in use.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed, RunConflict
from gomr_runtime.model import layout
from gomr_runtime.system.file_system import lock
from gomr_runtime.system.host_lock import HostLock
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import close_to_others, make_private, open_own

DEFAULT_STORE = ".gomr"
LOCKS = "locks"
KEPT_SECONDS = 7 * 86400.0


class RunInProgress(RunConflict):
    """The run lives. folder: of the process that looks after it; None while that one starts."""

    def __init__(self, run: str, folder: Path | None) -> None:
        super().__init__(
            f"--run-id {run}: a run of this name is in progress; follow it with --resume {run}"
        )
        self.folder = folder


@dataclass(frozen=True, slots=True)
class Claim:
    """The run id `run` is ours below `store` until `release`."""

    store: Path
    run: str
    lock: RunLock

    def release(self, *, remove: bool) -> None:
        """Let go of the run id; `remove` its data as well."""
        if remove:
            _remove(self.store, self.run)
        self.lock.close()


class RunLock:
    """The locked file of a run id: by its file system, or where that has no locks on this machine
    alone. BlockingIOError while another process has it, whose launcher's folder is `folder`."""

    def __init__(self, path: Path) -> None:
        self._host: HostLock | None = None
        self._file = open_own(path, os.O_RDWR | os.O_CREAT)
        try:
            if not lock(self._file):
                self._host = HostLock("run", path)
        except BlockingIOError:
            folder = os.pread(self._file, 4096, 0)
            os.close(self._file)
            raise Taken(Path(os.fsdecode(folder)) if folder else None) from None
        except BaseException:
            os.close(self._file)
            raise

    def clear(self) -> None:
        """Forget who looked after the run before."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)
        if self._host is not None:
            self._host.release()


class Taken(BlockingIOError):
    """Another process has the lock. folder: of the launcher that looks after the run."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.folder = folder


def claim(store: Path, run: str, *, resume: bool = False) -> Claim:
    """Hold the run id `run`; RunInProgress when it runs now, RunConflict when its data is still
    there and it is not to be resumed."""
    open_up(store)
    try:
        held = _lock_of(store, run)
    except Taken as taken:
        raise RunInProgress(run, taken.folder) from None
    held.clear()
    if (store / layout.run_prefix(run)).exists() and not resume:
        held.close()
        raise RunConflict(
            f"--run-id {run}: data of an earlier run is in {store / layout.run_prefix(run)}: "
            f"go on with it by --resume {run}, choose another id, or remove it with "
            "python -m flows.gomr clean --all"
        )
    for left in scratches(store, run):  # whoever made them is dead, or the lock were not ours
        shutil.rmtree(left, ignore_errors=True)
    return Claim(store, run, held)


def open_up(store: Path) -> None:
    """Make the folder of a store, which is private, and that for its locks. One at the default
    place is closed to others if it was open. EnvironmentFailed when that cannot be."""
    try:
        if store.name == DEFAULT_STORE:
            close_to_others(store)
        else:
            make_private(store)
        make_private(store / LOCKS)
    except OSError as error:
        raise EnvironmentFailed(
            f"--store {store}: {os_cause(error)}: name another place by --store DIR"
        ) from None


def _lock_of(store: Path, run: str) -> RunLock:
    """The lock of a run id. Taken, or EnvironmentFailed when what is there is no lock of ours."""
    path = _lock_path(store, run)
    try:
        return RunLock(path)
    except Taken:
        raise
    except OSError as error:
        raise EnvironmentFailed(
            f"--store {store}: {LOCKS}/{run}: {os_cause(error)}: remove it, or name another place "
            "by --store DIR"
        ) from None


def announce(store: Path, run: str, folder: Path) -> None:
    """Say in the lock of a claimed run where its launcher keeps address and token."""
    with suppress(FileNotFoundError):  # nobody has claimed it
        file = open_own(_lock_path(store, run), os.O_WRONLY)  # in place: the lock is on this file
        try:
            os.ftruncate(file, 0)
            os.write(file, os.fsencode(folder))
        finally:
            os.close(file)


def clean(store: Path, now: float, kept_seconds: float = KEPT_SECONDS) -> list[str]:
    """Remove the data of runs that are over and that nobody touched for a while.

    Args:
        store: The directory of the local store.
        now: The time in seconds since the epoch.
        kept_seconds: How long the data of a run stays after it was last touched.

    Returns:
        The ids of the runs that were removed.
    """
    removed = []
    open_up(store)
    for run in sorted(_known(store)):
        try:
            held = _lock_of(store, run)
        except Taken:
            continue  # in progress
        try:
            if now - _last_touched(store, run) >= kept_seconds:
                _remove(store, run)
                removed.append(run)
        finally:
            held.close()
    return removed


def _folders(store: Path, run: str) -> list[Path]:
    kept = [store / layout.run_prefix(run), store / layout.output_prefix(run), logs(store, run)]
    return [*kept, *scratches(store, run)]


def _lock_path(store: Path, run: str) -> Path:
    return store / LOCKS / run


def logs(store: Path, run: str) -> Path:
    """Where the run's master and workers write their logs."""
    return store / "logs" / run


def scratch(store: Path, run: str, name: str) -> Path:
    """Where the run's workers write what is not committed; on the store's own file system, so
    that publishing is a rename. `name` is the launcher's."""
    return store / f".scratch-{run}.{name}"


def scratches(store: Path, run: str) -> list[Path]:
    """The scratch folders of every launcher of the run."""
    return list(store.glob(f"{scratch(store, run, '').name}*"))


def stdin_copy(store: Path, run: str) -> Path:
    """Where standard input of the run is kept."""
    return store / "stdin" / run


def _known(store: Path) -> set[str]:
    found: set[str] = set()
    for folder in ("runs", "outputs", "logs", "stdin", LOCKS):
        if (store / folder).is_dir():
            found.update(entry.name for entry in (store / folder).iterdir())
    return {run for run in found if layout.RUN_ID.fullmatch(run)}


def _last_touched(store: Path, run: str) -> float:
    times = []
    for path in _paths(store, run):
        with suppress(FileNotFoundError):  # what a process that was left over removes meanwhile
            times.append(path.lstat().st_mtime)
    return max(times, default=0.0)


def _paths(store: Path, run: str) -> Iterator[Path]:
    for folder in _folders(store, run):
        if folder.is_dir():
            yield folder
            yield from folder.rglob("*")
    if stdin_copy(store, run).exists():
        yield stdin_copy(store, run)


def _remove(store: Path, run: str) -> None:
    for folder in _folders(store, run):
        shutil.rmtree(folder, ignore_errors=True)
    stdin_copy(store, run).unlink(missing_ok=True)
    _lock_path(store, run).unlink(missing_ok=True)
