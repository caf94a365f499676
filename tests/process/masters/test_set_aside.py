"""Bad records of real runs: a file beside the parts, not a line each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gomr_runtime.storage.success import read_success
from tests.process.support.worker_commands import Command, mapper

COUNT = 4_000
FUSSY = mapper('if line[0] == "x": raise ValueError(line + "y" * 1000)')
TEXT = "".join(f"x{n}\n" for n in range(COUNT)) + "good\n"
SKIPPING = ("--skip-bad-records", str(COUNT))


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
def test_thousands_of_bad_records(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """More in one task than fit into one message to the master."""
    command = Command(tmp_path, FUSSY, TEXT)
    done = command.run(*workers, *SKIPPING, "--mappers", "2")
    assert done.code == 0, done.told
    assert command.rows() == ["good\t1"]
    told = [line for line in done.told.splitlines() if line.startswith("set aside")]
    assert len(told) == 10
    assert told[-1] == f"set aside  {COUNT - 9:,} more; all are in out/_bad"
    lines = [
        json.loads(line)
        for path in sorted((command.out / "_bad").iterdir())
        for line in path.read_text().splitlines()
    ]
    assert [line["record"] for line in lines] == [f"x{n}" for n in range(COUNT)]
    success = read_success(command.out)
    assert [file.name for file in success.set_aside] == [
        "_bad/map-00000.jsonl", "_bad/map-00001.jsonl",
    ]  # fmt: skip
    assert sum(file.records for file in success.set_aside) == COUNT

    again = command.run("--input", "out", "--output", "second")
    assert again.code == 0, again.told
    assert (tmp_path / "second" / "output-00000.txt").read_text() == "good\\t1\t1\n"

    command = Command(tmp_path, FUSSY, "good\n")
    (command.out / "mine").mkdir()  # so that names change one by one
    assert command.run(*workers, *SKIPPING, "--overwrite").code == 0
    assert sorted(path.name for path in command.out.iterdir()) == [
        "_SUCCESS", "mine", "output-00000.txt",
    ]  # fmt: skip
    shutil.rmtree(command.out)
