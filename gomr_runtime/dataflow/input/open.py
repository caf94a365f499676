"""Opens an input as what was planned, or refuses it."""

from __future__ import annotations

from gomr_runtime.errors import DataError
from gomr_runtime.model.blob import STORE, Blob, Blobs
from gomr_runtime.model.inputs.files import InputFile


def open_input(blobs: Blobs, file: InputFile) -> Blob:
    """The input opened and proven to be what was planned; DataError when it changed since."""
    blob = blobs.open(file.location)
    try:
        check_unchanged(blob, file)
    except BaseException:
        blob.close()
        raise
    return blob


def check_unchanged(blob: Blob, file: InputFile) -> None:
    """Raise DataError unless size and version are those of the plan.

    It is worth calling again after the last read: the version of a file is looked up each time.
    An object of the run's own store is held to its size: its key is the hash of its content.
    """
    changed = f"{file.source}: input changed while the run went on"
    if blob.size != file.size:
        raise DataError(
            f"{changed} ({file.size} bytes when it started, {blob.size} now); run again"
        )
    if file.location.startswith(STORE) or not file.version:
        return
    if blob.version not in {"", file.version}:
        raise DataError(f"{changed}: it was written to, or replaced; run again")
