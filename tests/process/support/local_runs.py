"""Real local runs for tests: a worker file and an input in, events and parts out."""

from __future__ import annotations

import ast
import hashlib
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.system.file_blob import version_of
from gomr_runtime.user_code.local_imports import read_program
from gomr_runtime.user_code.program_files import ProgramFiles

CANARY = "canary-3f9c61d8e2"  # a secret, looked for where none belongs
HEAD = """
import os, signal, sys, time
from pathlib import Path
import gomr_runtime as gomr
"""
WORDCOUNT = """
def mapper(ctx, line: str) -> None:
    {before}
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]) -> None:
    ctx.emit(key, sum(values))

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
WAIT = """
held = Path({folder!r})
(held / f"at-{{os.getpid()}}").touch()
while not (held / "go").exists():
    time.sleep(0.01)
    ctx.progress()
"""

OnEvent = Callable[[LocalRun, pb.WatchEvent], None]


def word_count(before: str = "pass") -> str:
    """A word count over lines whose mapper does `before` first."""
    return HEAD + WORDCOUNT.format(before=textwrap.indent(before, "    ").strip())


@dataclass
class Job:
    """A job over one text file in a folder of its own."""

    folder: Path
    source: str
    text: str = "a b\nb c\nc d\nd e\n" * 50
    run: str = "run-1"
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    shared_store: Path | None = None
    summary: Summary | None = None
    events: list[pb.WatchEvent] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.shared_store or self.folder / "store"

    @property
    def worker(self) -> Path:
        return self.folder / "worker.py"

    @property
    def program(self) -> ProgramFiles:
        source = self.worker.read_bytes()
        return read_program(self.worker, source, ast.parse(source))

    def spec(self) -> JobSpec:
        self.worker.write_text(self.source)
        path = self.folder / "input.txt"
        path.write_text(self.text)
        status = path.stat()
        file = InputFile("input.txt", str(path), status.st_size, version=version_of(status))
        settings: dict[str, Any] = {
            "workers": 2, "mappers": 4, "reducers": 2, "heartbeat": 0.2, "lease": 5.0,
        } | self.options  # fmt: skip
        return JobSpec(
            run=self.run,
            files=(file,) if self.text else (),
            worker_sha256=self.program.sha256,
            worker_name="worker.py",
            **settings,
        )

    def launch(self) -> LocalRun:
        return LocalRun(
            self.spec(),
            self.program,
            str(self.store),
            python=self.python,
            log_folder=self.folder / "logs",
        )

    def go(self, on_event: OnEvent | None = None) -> Summary:
        """Run it to its end; raises what the run ended with, `summary` and `events` are set."""
        with self.launch() as run:
            try:
                for event in run.messages():
                    self.events.append(event)
                    if on_event is not None:
                        on_event(run, event)
                return run.result()
            finally:
                self.summary = run.summary

    def counts(self, summary: Summary) -> dict[str, int]:
        """Key to value, from every part; a key twice is an error."""
        found: dict[str, int] = {}
        for part in summary.parts:
            data = (self.store / part.key).read_bytes()
            assert hashlib.sha256(data).hexdigest() == part.sha256
            for line in data.decode().splitlines():
                key, value = line.split("\t")
                assert key not in found
                found[key] = ast.literal_eval(value)
        return found

    def log_lines(self) -> list[str]:
        return [event.log.text for event in self.events if event.WhichOneof("body") == "log"]

    def log_of(self, process: str) -> str:
        return (self.folder / "logs" / f"{process}.log").read_text()

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this folder, found by arguments or scratch."""
        found = []
        for process in psutil.process_iter():
            try:
                told = [*process.cmdline(), process.environ().get("TMPDIR", "")]
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if any(str(self.folder) in word for word in told):
                found.append(process)
        return found

    def assert_nothing_left(self) -> None:
        _, alive = psutil.wait_procs(self.processes(), timeout=5)
        assert alive == []
        assert [path.name for path in self.store.iterdir() if "scratch" in path.name] == []
