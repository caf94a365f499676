"""What a launcher keeps outside of its store, and what becomes of it when it is killed (row E5)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gomr_runtime.runs.local_folder import make_folder, remove_abandoned

LAUNCHER = """
import sys
from pathlib import Path
from gomr_runtime.runs.local_folder import make_folder
folder, lock = make_folder(sys.argv[1])
(folder / "token").write_text("secret")
(folder / "scratch/w0").mkdir(parents=True)
(folder / "scratch/w0/spill").write_text("much")
(folder / "scratch/link").symlink_to(sys.argv[2])
print(folder, flush=True)
sys.stdin.read()
"""


def test_E5_what_a_killed_launcher_left_goes_with_the_next_run(tmp_path: Path) -> None:
    temporary, elsewhere = tmp_path / "temporary", tmp_path / "elsewhere"
    for made in (temporary, elsewhere):
        made.mkdir()
    (elsewhere / "mine").touch()
    foreign = temporary / "gomr-notes"  # begins so, and is no launcher's
    foreign.mkdir()
    (temporary / "gomr-link").symlink_to(elsewhere)
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(temporary), str(elsewhere)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        left = Path(launcher.stdout.readline().strip())
        remove_abandoned(temporary)
        assert (left / "scratch/w0/spill").exists(), "its launcher lives"
        launcher.kill()
        launcher.wait(20)
    assert left.exists()
    folder, lock = make_folder(str(temporary))
    try:
        assert sorted(temporary.iterdir()) == sorted([folder, foreign, temporary / "gomr-link"])
        assert list(elsewhere.iterdir()) == [elsewhere / "mine"]
        remove_abandoned(temporary)
        assert folder.exists(), "our own"
    finally:
        os.close(lock)
