"""What a run has stored of itself, read by those who did not write it: typed, or refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from gomr_runtime.codec.typed_json import Mismatch, from_json
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.file_table import FileTable
from gomr_runtime.model.inputs.files import TableRecord
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary

if TYPE_CHECKING:
    from gomr_runtime.storage.base import Store

T = TypeVar("T")


def read_job(store: Store, run: str, *, lazily: bool = False) -> JobSpec:
    """The job of the run.

    Args:
        store: Where it is.
        run: Its id.
        lazily: Whether files that are many are read from the store when they are asked for, and
            not now; that takes requests where somebody may wait.

    Raises:
        KeyError: It is not there.
        CorruptBlock: It is no job of this run.
    """
    job = _read(store, layout.job(run), JobSpec)
    if job.run != run:
        raise _damaged(store, layout.job(run), f"it is of run {job.run}")
    if job.table is None:
        return job
    return replace(job, files=_files(store, run, job.table, lazily=lazily))


def _files(store: Store, run: str, record: TableRecord, *, lazily: bool) -> FileTable:
    key = layout.files(run, record.sha256)

    def read(offset: int = 0, length: int | None = None) -> bytes:
        try:
            return store.get(key, offset, length)
        except KeyError:
            raise CorruptBlock(f"{key} in {store.url} is gone; start a new run") from None

    where = f"{key} in {store.url}"
    if lazily:
        return FileTable.stored(record, read, where)
    data = read()
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise _damaged(store, key, "it is not what its name says")
    return FileTable.stored(record, lambda at, length: data[at : at + length], where)


def stored_summary(store: Store, run: str) -> Summary | None:
    """Read the summary that a run's master stored when the run ended.

    Returns:
        The summary; None if the run has not ended.

    Raises:
        CorruptBlock: The object is no summary of this run.
    """
    try:
        summary = _read(store, layout.summary(run), Summary)
    except KeyError:
        return None
    if summary.run != run:
        raise _damaged(store, layout.summary(run), f"it is of run {summary.run}")
    return summary


def _read(store: Store, key: str, kind: type[T]) -> T:
    data = store.get(key)
    try:
        return from_json(kind, data)
    except Mismatch as error:
        raise _damaged(store, key, str(error)) from None


def _damaged(store: Store, key: str, words: str) -> CorruptBlock:
    return CorruptBlock(f"{key} in {store.url} is damaged: {words}; start a new run")
