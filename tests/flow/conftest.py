"""One real Prefect server for the tier, on a free loopback port, with a database of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.command import Launch, Server, start
from tests.flow.prefect_server import running_server

WORKER = """\
import re
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for word in re.findall(r"\\w+", chunk.lower()):
        ctx.emit(word, 1)


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer))
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a worker file and some text; runs are started in it."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 200)
    return tmp_path


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts the command line in the background; what a failing test leaves is ended."""
    started: list[subprocess.Popen[str]] = []

    def launch(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(start(*arguments, **options))
        return started[-1]

    yield launch
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)
