"""Inputs of this machine, brought into the cluster's store by content: a file that is there
already, under whatever name, is not sent again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gomr_runtime.errors import DataError
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.system.file_blob import version_of

FILES_AT_ONCE = 8
KEPT_SECONDS = 7 * 86400.0  # an upload that no run used for so long may go


@dataclass(frozen=True, slots=True)
class Upload:
    """What was done: files and bytes that were sent, and that were there already."""

    files: tuple[InputFile, ...]
    sent: int
    sent_bytes: int
    found: int


def upload(
    store: S3Store, run: str, files: Iterable[InputFile], sent: Callable[[int], None]
) -> Upload:
    """The same inputs, in the same order, as objects of `store`; `sent` hears of bytes.

    Goes on where an earlier try was ended. Objects of S3 stay where they are. DataError for a
    file that changes or goes while it is read.
    """
    given = tuple(files)
    local = {file.location: file for file in given if _is_local(file)}
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        hashes = dict(zip(local, pool.map(_sha256, local.values()), strict=True))
        contents = {hashes[path]: file for path, file in local.items()}
        # First said, then sent: a sweep between the two finds the content in use.
        _record(store, run, sorted(contents))
        were_sent = list(pool.map(lambda sha: _send(store, sha, contents[sha], sent), contents))
    sizes = [file.size for file, new in zip(contents.values(), were_sent, strict=True) if new]
    moved = tuple(_moved(file, hashes.get(file.location)) for file in given)
    return Upload(moved, len(sizes), sum(sizes), len(contents) - len(sizes))


def sweep_uploads(store: Store, now: float, kept_seconds: float = KEPT_SECONDS) -> int:
    """Delete uploads that no run used for `kept_seconds` before `now` (seconds since the epoch);
    how many there were."""
    used: set[str] = set()
    for record in list(store.list(layout.inputs_used())):
        said = json.loads(store.get(record.key))
        if now - float(said["at"]) > kept_seconds:
            store.delete(record.key)
        else:
            used.update(map(str, said["sha256"]))
    unused = [
        info.key
        for info in store.list(layout.uploaded(""))
        if info.key.removeprefix(layout.uploaded("")) not in used
    ]
    return sum(store.delete(key) for key in unused)


def _moved(file: InputFile, sha256: str | None) -> InputFile:
    if sha256 is None:
        return file
    return replace(file, location=f"store:{layout.uploaded(sha256)}", version=sha256)


def _is_local(file: InputFile) -> bool:
    return not file.location.startswith(("s3://", "store:"))


def _sha256(file: InputFile) -> str:
    try:
        with open(file.location, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {file.location}: {error.strerror}") from None
    _check_unchanged(file)
    return digest


def _check_unchanged(file: InputFile) -> None:
    try:
        same = version_of(Path(file.location).stat()) == file.version
    except OSError:
        same = False
    if not same:
        raise DataError(f"{file.location} changed while it was uploaded; start the run again")


def _record(store: Store, run: str, hashes: list[str]) -> None:
    said = {"at": time.time(), "sha256": hashes}
    store.put(layout.inputs_used(run), json.dumps(said).encode())


def _send(store: S3Store, sha256: str, file: InputFile, sent: Callable[[int], None]) -> bool:
    """Whether the content had to be sent."""
    key = layout.uploaded(sha256)
    with suppress(KeyError):
        if store.info(key).size == file.size:
            sent(file.size)
            return False
    try:
        store.upload(key, Path(file.location), sent)
    except OSError as error:
        raise DataError(f"cannot read {file.location}: {error.strerror}") from None
    try:
        _check_unchanged(file)
    except DataError:
        store.delete(key)  # it may not be what its name says
        raise
    return True
