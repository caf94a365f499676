"""A helper called queue.py beside a worker file is the worker's, and breaks nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gomr_runtime.user_code import environment
from tests.process.support.clashes import FEW, write_clashing

RUNTIMES = pytest.mark.parametrize(
    "runtime", [(), ("--workers", "1")], ids=["one process", "workers"]
)


def run(folder: Path, *command: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, *command, "--input", "text.txt", "--output", "out", "--overwrite", "-q"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [
        line.split("\t")
        for part in sorted((folder / "out").glob("output-*"))
        for line in part.read_text().splitlines()
    ]
    return {key: int(value) for key, value in rows}


@RUNTIMES
def test_each_side_gets_its_own(tmp_path: Path, runtime: tuple[str, ...]) -> None:
    expected = write_clashing(tmp_path)
    assert run(tmp_path, "worker.py", *runtime) == expected


@RUNTIMES
def test_each_side_gets_its_own_where_the_worker_file_is_a_link_or_a_module(
    tmp_path: Path, runtime: tuple[str, ...]
) -> None:
    expected = write_clashing(tmp_path, FEW)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "text.txt").symlink_to("../text.txt")
    (tmp_path / "link" / "job.py").symlink_to("../worker.py")
    assert run(tmp_path / "link", "job.py", *runtime) == expected
    assert run(tmp_path, "-m", "worker", *runtime) == expected


def test_the_environment_builder_is_not_led_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clashing(tmp_path)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)  # without uv
    commands = environment._commands(tmp_path / "env", ())
    assert [words[words.index("-m") + 1] for words in commands] == ["venv", "pip"]
    for _, *arguments in commands:
        python = [sys.executable, *arguments[: arguments.index("-m")]]
        subprocess.run([*python, "-c", "import logging"], cwd=tmp_path, check=True, timeout=60)
