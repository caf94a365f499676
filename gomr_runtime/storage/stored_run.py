"""What a run has stored of itself, read by those who did not write it: typed, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gomr_runtime.codec.typed_json import Mismatch, from_json
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model import layout
from gomr_runtime.model.job import JobSpec, Summary

if TYPE_CHECKING:
    from gomr_runtime.storage.base import Store

T = TypeVar("T")


def read_job(store: Store, run: str) -> JobSpec:
    """The job of the run.

    Raises:
        KeyError: It is not there.
        CorruptBlock: It is no job of this run.
    """
    job = _read(store, layout.job(run), JobSpec)
    if job.run != run:
        raise _damaged(store, layout.job(run), f"it is of run {job.run}")
    return job


def read_summary(store: Store, run: str) -> Summary:
    """How the run ended.

    Raises:
        KeyError: It is not there.
        CorruptBlock: It is no summary of this run.
    """
    summary = _read(store, layout.summary(run), Summary)
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
