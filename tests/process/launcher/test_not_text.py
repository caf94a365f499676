"""Real runs where names and messages are no UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.process.support.worker_commands import Command, mapper

STRICT = {"PYTHONIOENCODING": "utf-8:strict"}


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
def test_a_folder_a_message_and_a_counter(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """In a working directory that is no UTF-8, where the default store and output are."""
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"d\xff")))
    body = 'ctx.counter("c\\udcff").add()\nprint("p\\udcff")\n'
    command = Command(folder, mapper(body))
    done = command.run(*workers, "--json", "--output", b"o\xff", environ=STRICT)
    assert done.code == 0, done.told
    assert done.answer["counters"] == {"c\udcff": 2}
    assert done.answer["output"] == "o\udcff"
    assert sorted(os.listdir(folder / "o\udcff")) == ["_SUCCESS", "output-00000.txt"]
    assert os.listdir(tmp_path) == ["d\udcff"], "no folder of a name like it"

    command = Command(folder, mapper('raise ValueError("bad \\udcff\\ud800 \\x1b[2J")'))
    done = command.run(*workers, environ=STRICT)
    assert done.code == 1
    assert "ValueError: bad \\udcff\\ud800 \\x1b[2J" in done.error
    assert "defect" not in done.told
    assert "\x1b" not in done.told
