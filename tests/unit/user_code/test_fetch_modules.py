"""A worker file that lies in a store brings the modules beside it along."""

from __future__ import annotations

from pathlib import Path

import pytest

from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.user_code.worker_file import inspect_worker
from k8s.run.target import fetch_modules

WORKER = b"""
import json, numpy, helper
from pack.inner import x
from space import deep
import gomr_runtime as gomr
gomr.run(gomr.MapReduceConfig(mapper=print))
"""
FILES = {
    "helper.py": b"from other import y",
    "other.py": b"y = 1",
    "pack/__init__.py": b"from . import second",
    "pack/second.py": b"",
    "pack/inner.py": b"x = 1",
    "space/deep.py": b"",
}


@pytest.mark.parametrize("prefix", ["", "jobs/one"])
def test_modules_are_fetched_as_far_as_they_are_imported(tmp_path: Path, prefix: str) -> None:
    store = MemoryStore()
    for name, data in {**FILES, "unused.py": b""}.items():
        store.put(f"{prefix}/{name}" if prefix else name, data)
    copy = tmp_path / "worker.py"
    copy.write_bytes(WORKER)
    fetch_modules(store, prefix, copy)
    found = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*.py")}
    assert found == {"worker.py": WORKER, **FILES}
    assert {file.path for file in inspect_worker(copy).program.files} == found.keys()
