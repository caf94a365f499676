"""What the smallest job takes: starting is all of it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, measure
from bench.text import write_text
from tests.flow.prefect_server import running_server

HERE = Path(__file__).parents[1]
BYTES = 10_000
FLOW_TASKS = 9  # of a run on this machine, from `validate` to `clean_up`
PYTHON, INLINE, LOCAL = (
    "`python -c pass`",
    "`python worker.py --input f`",
    "`python worker.py --input f --workers 2`",
)
EMPTY, FLOW = (
    f"an empty Prefect flow of {FLOW_TASKS} tasks",
    "`python -m flows.gomr --input f --workers 2`",
)
STEPS = {
    "the worker file's imports": "gomr_runtime",
    "what the command needs beside": "gomr_runtime, gomr_runtime.runs.inline",
    "what a master needs": "gomr_runtime.master.__main__",
    "what a worker needs": "gomr_runtime.worker.__main__, gomr_runtime.worker.supervisor",
    "what a follower needs": "gomr_runtime.rpc.client",
    "Prefect": "prefect",
}


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    command: Sequence[str]


def jobs() -> list[Job]:
    """To be run in a folder that holds `small.txt`."""
    python, worker = sys.executable, str(HERE / "workers" / "wordcount.py")
    options = ["--input", "small.txt", "--output", "out", "--overwrite", "-q"]
    flow = [python, "-m", "flows.gomr", *options, "--workers", "2", "--runtime", "local", worker]
    return [
        Job(PYTHON, [python, "-c", "pass"]),
        Job(INLINE, [python, worker, *options]),
        Job(LOCAL, [python, worker, *options, "--workers", "2"]),
        Job(EMPTY, [python, str(HERE / "peers" / "empty_flow.py"), str(FLOW_TASKS)]),
        Job(FLOW, flow),
    ]


def measure_jobs(rounds: int) -> dict[str, list[Cost]]:
    """Every job in turn, `rounds` times, after one round that does not count; a Prefect server is
    running."""
    costs: dict[str, list[Cost]] = {}
    with _folder() as folder, running_server(folder) as server:
        environ = dict(server.environ)
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the first round is there to write it
        for n in range(rounds + 1):
            for job in jobs():
                cost = measure(job.command, folder / "log", cwd=folder, environ=environ)
                if n:
                    costs.setdefault(job.name, []).append(cost)
    return costs


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as name:
        folder = Path(name)
        write_text(folder / "small.txt", BYTES)
        text = (folder / "small.txt").read_text()[:BYTES]
        (folder / "small.txt").write_text(text[: text.rindex("\n") + 1])
        yield folder


def median(costs: Sequence[Cost], what: str) -> float:
    return float(statistics.median(getattr(cost, what) for cost in costs))


def import_seconds(modules: str) -> float:
    """Wall time of a Python that only imports these, less that of one that does nothing; the
    least of five each."""
    return _least(f"import {modules}") - _least("pass")


def _least(code: str) -> float:
    taken: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-c", code], check=True)
        taken.append(time.perf_counter() - began)
    return min(taken)
