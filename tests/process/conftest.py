"""What the tests of real processes share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.local_runs import Job


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for one job; when the test is over nothing of it may run or lie about."""
    temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))  # short, for sockets
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield tmp_path
    Job(tmp_path, "").assert_nothing_left()
    temporary.rmdir()  # it is empty
