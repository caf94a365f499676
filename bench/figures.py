"""Rows of the table that are no contest: one thing of ours measured, held to fixed bars."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.scale import master
from bench.scale.minio import BUCKET, minio


@dataclass(slots=True)
class Found:
    """What was measured. lines: a name and a figure for each column. bars: what was asked for,
    what was found, whether that is enough."""

    columns: list[str]
    lines: list[list[str]] = field(default_factory=list)
    bars: list[tuple[str, str, bool]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """about: what the reader must know to make sense of the figures."""

    title: str
    measure: Callable[[str], Found]
    about: str = ""


WORKERS = {"small": (200, 50), "full": (1000, 100)}
ON_MINIO = {"small": (100, 10), "full": (1000, 10)}


def master_row(scale: str) -> Found:
    workers, tasks = WORKERS[scale]
    found = Found(
        ["assigned", "wall s", "master CPU s", "assigned a CPU s", "peak MB", "heartbeat p99 s"]
    )
    for slots in (1, 4):
        cost = master.measure(master.job_of(workers, tasks), slots)
        rate = cost.assigned / cost.cpu
        name = f"room for {slots}" if slots > 1 else "room for 1 attempt a worker"
        found.lines.append([name, *_master_figures(cost)])
        if slots > 1:
            found.bars.append(
                ("at least 2,000 assignments a CPU second", f"{rate:,.0f}", rate >= 2000)
            )
            found.bars.append(("heartbeat p99 below 1 s", f"{cost.p99:.2f} s", cost.p99 < 1))
        peak = cost.peak / 1e6
        found.bars.append((f"{name}: below 500 MB", f"{peak:.0f} MB", peak < 500))
    with minio():
        cost = master.measure(master.job_of(*ON_MINIO[scale]), 4, f"s3://{BUCKET}/store")
    found.lines.append(["room for 4, store on MinIO", *_master_figures(cost)])
    found.bars.append(("commits a second on MinIO", f"{cost.assigned / cost.wall:,.0f}", True))
    found.lines.append(["the scheduler alone", *_scheduler_figures(workers, tasks)])
    return found


def _master_figures(cost: master.Cost) -> list[str]:
    rate = cost.assigned / cost.cpu
    return [
        f"{cost.assigned:,}",
        f"{cost.wall:.1f}",
        f"{cost.cpu:.1f}",
        f"{rate:,.0f}",
        f"{cost.peak / 1e6:.0f}",
        f"{cost.p99:.2f}",
    ]


def _scheduler_figures(workers: int, tasks: int) -> list[str]:
    command = [sys.executable, "-m", "bench.scale.scheduler"]
    sizes = map(str, (workers * tasks, workers, workers))
    done = subprocess.run([*command, *sizes], check=True, capture_output=True)
    told = json.loads(done.stdout)
    rate, assigned, cpu = told["assigned"] / told["cpu"], told["assigned"], told["cpu"]
    return [f"{assigned:,}", "", f"{cpu:.1f}", f"{rate:,.0f}", f"{told['peak'] / 1e6:.0f}", ""]


FIGURES = {
    "master": Figures(
        "A master with 1,000 workers and 100,000 map tasks, 1,000 reducers",
        master_row,
        "The real master process, its store in its memory; every worker on a gRPC stream of its "
        "own, played by another process, does its tasks in no time.",
    ),
}
