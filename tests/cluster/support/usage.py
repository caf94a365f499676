"""Who uses the cluster now: nobody takes it from under the tests of another checkout."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from tests.build_cache import BuildFailed, cache_folder


@contextlib.contextmanager
def in_use() -> Iterator[None]:
    """Within the block nobody replaces the cluster or takes it down; many may be in theirs."""
    with _file().open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def refuse_while_in_use() -> None:
    """BuildFailed when somebody is within `in_use`."""
    with _file().open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildFailed(
                "tests run on the cluster now: try again when they have ended"
            ) from None


def _file() -> Path:
    return cache_folder() / "cluster.users"
