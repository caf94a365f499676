"""How soon a run gets over a worker that dies, stops or crawls.

python -m bench.recovery
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.local import LocalRun
from tests.process.support.crawl import STEPS, Crawl
from tests.process.support.local_runs import WAIT, Job, word_count

LEASE = 10.0
WORKERS, TASKS, LINES = 4, 40, 2_000


def main() -> None:
    print(f"lease {LEASE:g} s, heartbeat 2 s")
    for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
        print(f"a worker {name} is noticed after {noticed(number):.2f} s", flush=True)
    print(f"{WORKERS} workers, {TASKS} map tasks; seconds of the map phase:")
    plain = map_seconds(slow=False, backups=True)
    print(f"  all equal               {plain:.1f}", flush=True)
    for name, backups in (("with backups", True), ("without", False)):
        slow = map_seconds(slow=True, backups=backups)
        print(f"  one 10x slower, {name:12}  {slow:.1f} ({slow / plain:.2f}x)", flush=True)


def noticed(number: signal.Signals) -> float:
    """Seconds from the signal to the line that says that the worker is lost."""
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as name:
        folder = Path(name)
        act = WAIT.format(folder=name)
        job = Job(folder, word_count(act), options={"lease": LEASE, "heartbeat": 2.0})
        moments: list[float] = []

        def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
            if event.progress.running == 2 and not moments:
                moments.append(time.monotonic())
                os.kill(run.pids["worker-0"], number)
            if " is lost: " in event.log.text and len(moments) == 1:
                moments.append(time.monotonic())
                (folder / "go").touch()

        job.go(on_event)
        return moments[1] - moments[0]


def map_seconds(*, slow: bool, backups: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as name:
        folder = Path(name)
        options = {"workers": WORKERS, "mappers": TASKS, "backups": backups, "backup_floor": 0.3}
        source = word_count(STEPS.format(folder=name))
        job = Job(folder, source, text="a b\n" * LINES, options=options)
        began: list[float] = []
        crawls: list[Crawl] = []

        def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
            if event.progress.running >= WORKERS and not began:
                began.append(time.monotonic())
                if slow:
                    crawls.append(Crawl(run.pids["worker-0"]))
                    crawls[0].start()
                (folder / "go").touch()
            if event.progress.phase == "reduce" and len(began) == 1:
                began.append(time.monotonic())

        try:
            summary: Summary = job.go(on_event)
        finally:
            for crawl in crawls:
                crawl.end()
        assert sum(job.counts(summary).values()) == 2 * LINES
        return began[1] - began[0]


if __name__ == "__main__":
    main()
