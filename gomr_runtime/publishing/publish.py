"""From a finished run's parts in the store to the directory the user named.

The new output is copied to a hidden folder first, verified and fsynced, with its `_SUCCESS`. Where
an earlier output stands, the folder lies beside the directory and the two are exchanged, so that
the old output or the new one is there, whole, at any moment. Where that cannot be (the directory is
a mount point or has folders of other origin, or the file system does not know how), names change
one by one within the directory, the old output being kept aside until the new `_SUCCESS` stands:
an error brings it back at once, and after a crash the next run to this output does.

Parts are copies, not hard links: editing one must not change the store's object. Nothing that no
`_SUCCESS` or journal lists is ever touched. Locks keep two publishers apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gomr_runtime.errors import CorruptBlock, RunConflict, StorageError, UsageError
from gomr_runtime.model.output_formats import FILE_NAME
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.publishing.output_files import (
    former_files,
    former_output,
    is_ours,
    journal,
    recover,
    write_all,
    write_synced,
)
from gomr_runtime.publishing.output_swap import Beside, InPlace
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.success import (
    NAME,
    Success,
    promote,
    read_success,
    success_bytes,
    success_of,
)
from gomr_runtime.system.file_system import lock, sync, sync_folder
from gomr_runtime.system.host_lock import HostLock, claim_output
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.signals import uninterrupted

__all__ = ["Success", "check_output", "promote", "publish", "read_success", "try_output"]

CHUNK = 4 << 20
ELSEWHERE = "name another place by --output DIR"


def check_output(directory: Path, overwrite: bool) -> None:
    """Check that an output may be published in a directory; nothing is changed.

    Args:
        directory: The output directory. It must be absent, empty or an earlier GoMR output. What an
            interrupted publish left, as its journal lists it, counts as nothing.
        overwrite: Allow an earlier GoMR output, which is then replaced.

    Raises:
        UsageError: The directory cannot be used.
    """
    try:
        if not os.path.lexists(directory):
            _check_parent(directory)
            return
        names = {entry.name for entry in os.scandir(directory)}
    except FileNotFoundError:
        raise UsageError(
            f"--output {directory}: a symbolic link to {os.path.realpath(directory)}, which is not "
            "there"
        ) from None
    except OSError as error:
        raise UsageError(f"--output {directory}: {os_cause(error)}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"--output {directory}: the directory is not writable: {ELSEWHERE}")
    former = former_output(directory)
    if former is None:
        foreign = sorted(name for name in names if not is_ours(name))
        if foreign and journal(directory) is None:
            raise UsageError(
                f"--output {directory} is not empty and not a GoMR output (it has "
                f"{foreign[0]}): choose another directory"
            )
    elif not overwrite:
        run = read_success(former).run
        raise UsageError(
            f"--output {directory} holds the output of run {run}: "
            "add --overwrite or choose another directory"
        )
    else:
        read_success(former)


def try_output(directory: Path) -> None:
    """Do in small what publishing there needs, before a run starts: UsageError where it fails.

    An earlier output whose replacement was killed half-way gets its names back.
    """
    parent = directory.absolute()
    missing = []
    while not os.path.lexists(parent):
        missing.append(parent.name)
        parent = parent.parent
    trial = parent / f".gomr-{secrets.token_hex(8)}"
    try:
        os.mkdir(trial)
        try:
            deepest = trial.joinpath(*reversed(missing))
            deepest.mkdir(parents=True, exist_ok=True)
            write_synced(deepest / "written", b"1")
            os.rename(deepest / "written", deepest / "renamed")
            sync_folder(deepest)
        finally:
            shutil.rmtree(trial)
        if not missing:
            with _locked(directory):
                recover(directory)
    except OSError as error:
        raise UsageError(f"--output {directory}: {os_cause(error)}: {ELSEWHERE}") from None


def publish(
    store: Store,
    summary: Summary,
    directory: Path,
    overwrite: bool,
    progress: Callable[[int], None] | None = None,
    claim: HostLock | None = None,
) -> Path:
    """Bring the parts of a run from its store into a directory, with their `_SUCCESS`.

    After an error the directory is as it was.

    Args:
        store: The store that holds the parts.
        summary: The summary of the run, which lists the parts.
        directory: The output directory.
        overwrite: Replace an earlier GoMR output.
        progress: Called with the number of bytes copied since the last call.
        claim: The lock of this output, by `claim_output`, if the caller holds it.

    Returns:
        The path of the output.

    Raises:
        UsageError: `check_output` refuses the directory.
        RunConflict: Another run publishes there.
        CorruptBlock: A part is not what the summary says.
        StorageError: Reading or writing failed.
    """
    check_output(directory, overwrite)
    _check_names(summary.files)
    with contextlib.ExitStack() as stack:
        if claim is None:
            stack.enter_context(claim_output(directory))
        made = _make_directory(directory)
        done = False
        try:
            with _errors(directory), _locked(directory) as folder:
                recover(directory)
                check_output(directory, overwrite)  # another run may just have finished there
                _check_in_place(directory, summary.files, former_files(directory))
                stage = _stage(directory, folder)
                try:
                    _fill(store, summary, stage.path, progress or _ignore)
                    with uninterrupted():
                        stage.publish([file.name for file in summary.files])
                        done = True
                finally:
                    stage.discard()
        finally:
            if not done:
                with contextlib.suppress(OSError):  # somebody put a file there meanwhile
                    for path in made:
                        path.rmdir()
    return directory / NAME


def _stage(directory: Path, folder: int) -> Beside | InPlace:
    """Where the new output grows. folder: the directory, open and locked."""
    if os.path.lexists(directory / NAME):
        with contextlib.suppress(OSError):
            return Beside(directory, folder)
    return InPlace(directory, folder)


def _fill(store: Store, summary: Summary, stage: Path, progress: Callable[[int], None]) -> None:
    """Bring every file of the output to the folder `stage`, with `_SUCCESS`, durably."""
    for file in summary.files:
        if "/" in file.name:
            (stage / file.name).parent.mkdir(exist_ok=True)
        _fetch(store, file, stage / file.name, progress)
    success = success_of(
        summary.run, summary.parts, summary.ledger, summary.counters, summary.set_aside
    )
    write_synced(stage / NAME, success_bytes(success))
    for folder in {(stage / file.name).parent for file in summary.files} | {stage}:
        sync_folder(folder)


def _fetch(store: Store, part: Part, path: Path, progress: Callable[[int], None]) -> None:
    """Copy one part to `path`, verified and durable."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        for chunk in _chunks(store, part):
            digest.update(chunk)
            size += len(chunk)
            write_all(file.fileno(), chunk)
            progress(len(chunk))
        sync(file.fileno())
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


def _check_names(parts: tuple[Part, ...]) -> None:
    names = [part.name for part in parts]
    wrong = [name for name in names if not FILE_NAME.fullmatch(name)]
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
        raise UsageError(f"--output {directory}: {parent} is not writable: {ELSEWHERE}")


def _make_directory(directory: Path) -> list[Path]:
    """Make it and what is missing above it, durably; what was made, innermost first."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    with _errors(directory):
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)
    return missing


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """An open descriptor of the directory, locked where its file system knows locks."""
    while True:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                lock(folder)
            except BlockingIOError:
                raise RunConflict(
                    f"--output {directory}: another run publishes there now"
                ) from None
            if os.path.samestat(os.fstat(folder), directory.stat()):
                yield folder
                return
        finally:  # else another run has just put a new output in its place
            os.close(folder)


@contextlib.contextmanager
def _errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{directory}/{Path(error.filename).name}" if error.filename else str(directory)
        raise StorageError(f"cannot publish to {where}: {os_cause(error)}") from None


def _ignore(_: int) -> None:
    """Nobody watches."""
