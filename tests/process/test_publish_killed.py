"""A publish that is killed leaves the old output whole or no `_SUCCESS`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gomr_runtime.job import to_json
from gomr_runtime.publish import publish, read_success
from gomr_runtime.storage import DirectoryStore, Store
from tests.unit.test_publish import contents_of, finished

KILLER = """
import os, sys
from pathlib import Path
from gomr_runtime.job import Summary, from_json
from gomr_runtime.publish import publish
from gomr_runtime.storage import DirectoryStore
left = int(sys.argv[1])
def counted(call):
    def run(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), 9)
        left -= 1
        return call(*args, **kwargs)
    return run
for name in ("fsync", "rename", "link", "unlink", "write"):
    setattr(os, name, counted(getattr(os, name)))
summary = from_json(Summary, Path(sys.argv[3]).read_bytes())
publish(DirectoryStore(Path(sys.argv[2])), summary, Path(sys.argv[4]), True)
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_any_step_the_old_output_is_whole_or_there_is_none(
    tmp_path: Path, overwrite: bool
) -> None:
    """SIGKILL before each system call that changes the directory; then a publish succeeds."""
    store = DirectoryStore(tmp_path / "store")
    old, new = finished(store, "old", 3), finished(store, "new", 2)
    (tmp_path / "summary.json").write_bytes(to_json(new))
    kills = 0
    while True:
        out = tmp_path / f"out-{kills}"
        out.mkdir()
        if overwrite:
            publish(store, old, out, overwrite=False)
            (out / "mine").write_bytes(b"stays")
        command = [sys.executable, "-c", KILLER, str(kills), str(tmp_path / "store")]
        command += [str(tmp_path / "summary.json"), str(out)]
        done = subprocess.run(command, check=False, timeout=60, capture_output=True)
        _check_whole_or_none(out, {"old": contents_of("old", 3), "new": contents_of("new", 2)})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        _publish_again(store, out, foreign={"mine"} if overwrite else set())
        kills += 1
    assert read_success(out).run == "new"
    assert kills > 15


def _check_whole_or_none(out: Path, contents: dict[str, list[bytes]]) -> None:
    if (out / "_SUCCESS").exists():
        success = read_success(out)
        stored = [(out / part.name).read_bytes() for part in success.parts]
        assert stored == contents[success.run]


def _publish_again(store: Store, out: Path, foreign: set[str]) -> None:
    publish(store, finished(store, "third", 1), out, overwrite=True)
    assert set(os.listdir(out)) == {"_SUCCESS", "output-00000.txt"} | foreign
