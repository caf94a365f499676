"""Whole runs, real master and workers, whose data is in a real S3 server behind a fault proxy."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gomr_runtime.model import layout
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import S3Store
from tests.process.support.local_runs import Job, word_count
from tests.process.support.s3.s3_proxy import S3Proxy
from tests.process.support.s3.s3_server import BUCKET

MAPS, REDUCES = 4, 2
ROOT = Path(__file__).parents[4]
TASKS = [*(f"map-{n}" for n in range(MAPS)), *(f"reduce-{n}" for n in range(REDUCES))]


def some_text(seed: int = 1, lines: int = 400) -> str:
    dice = random.Random(seed)
    return "".join(
        " ".join(f"w{dice.randrange(300)}" for _ in range(8)) + "\n" for _ in range(lines)
    )


TEXT = some_text()
HOLD = """
while line == {last!r} and Path({held!r}).exists():
    time.sleep(0.01)
    ctx.progress()
"""


def sequential_parts(folder: Path) -> list[bytes]:
    """What one process makes of TEXT: the bytes that every run must give."""
    (folder / "worker.py").write_text(word_count())
    (folder / "input.txt").write_text(TEXT)
    command = [sys.executable, "worker.py", "--input", "input.txt", "--reducers", str(REDUCES)]
    subprocess.run(
        [*command, "--output", "out", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    parts = [path.read_bytes() for path in sorted((folder / "out").glob("output-*"))]
    counts = Counter(line.split(b"\t")[0].decode() for part in parts for line in part.splitlines())
    assert counts == Counter(set(TEXT.split()))
    return parts


def use(monkeypatch: pytest.MonkeyPatch, settings: S3Settings, **seconds: float) -> None:
    """Let this process and those it starts reach the store by these settings."""
    given = {
        "ENDPOINT": settings.endpoint,
        "REGION": settings.region,
        "ACCESS_KEY": settings.access_key,
        "SECRET_KEY": settings.secret_key,
        **{name.upper(): str(value) for name, value in seconds.items()},
    }
    for name, value in given.items():
        monkeypatch.setenv(f"GOMR_S3_{name}", value)


@dataclass
class S3Job(Job):
    """A word count whose data lies below `prefix`; `truth` sees it without any proxy."""

    text: str = TEXT
    prefix: str = ""
    resumed: bool = False
    live: LocalRun | None = None
    truth: S3Store = field(default=None, kw_only=True)  # type: ignore[assignment]

    def launch(self) -> LocalRun:
        self.store.mkdir(exist_ok=True)  # for `assert_nothing_left`
        spec = self.spec()
        self.live = LocalRun(
            reopen(self.truth, spec, rerun=False) if self.resumed else spec,
            self.program,
            f"s3://{BUCKET}/{self.prefix}",
            log_folder=self.folder / "logs",
        )
        return self.live

    def hold(self) -> Path:
        """Let the map of the last line wait while this file is there."""
        held = self.folder / "hold"
        held.touch()
        last = self.text.splitlines()[-1]
        self.source = word_count(HOLD.format(last=last, held=str(held)))
        return held

    def parts(self, summary: Summary) -> list[bytes]:
        return [self.truth.get(part.key) for part in summary.parts]

    def committed(self) -> list[str]:
        prefix = layout.commits(self.run)
        return [found.key.removeprefix(prefix) for found in self.truth.list(prefix)]

    def keys(self) -> list[str]:
        return [found.key for found in self.truth.list("")]

    def has_output(self) -> bool:
        return any(found.key.endswith("_SUCCESS") for found in self.truth.list("outputs/"))

    def check(self, summary: Summary, expected: list[bytes], proxy: S3Proxy | None) -> None:
        """The output is right, every task was committed once, and nothing was charged."""
        assert self.parts(summary) == expected
        assert self.committed() == TASKS
        assert self.has_output()
        assert summary.ledger.records_read == len(TEXT.splitlines())
        if proxy is not None:
            created = proxy.record.created
            commits = {key: n for key, n in created.items() if "/commit/" in key}
            assert len(commits) == len(TASKS)
            assert set(commits.values()) == {1}, "a create-only put was answered 200 twice"


def job_in(folder: Path, settings: S3Settings, prefix: str, **options: object) -> S3Job:
    truth = S3Store(BUCKET, prefix, dataclasses.replace(settings, retry_seconds=20.0))
    given = {"mappers": MAPS, "reducers": REDUCES, "max_attempts": 1, **options}
    return S3Job(folder, word_count(), prefix=prefix, truth=truth, options=given)
