"""Rows of the table that are no contest: one thing of ours measured, held to fixed bars."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.measure import Cost
from bench.scale import growth, master, small_jobs, stores
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


ROLES = {
    "other": "the command",
    "master": "the master",
    "worker": "workers",
    "forked": "processes of user code",
}
WORKERS = {"small": (200, 50), "full": (1000, 100)}
BUSY = 0.5  # seconds an attempt: a thousand workers end 2,000 in a second
ON_MINIO = {"small": (100, 10), "full": (1000, 10)}


def master_row(scale: str) -> Found:
    workers, tasks = WORKERS[scale]
    found = Found(
        ["assigned", "wall s", "master CPU s", "assigned a CPU s", "peak MB", "heartbeat p99 s"]
    )
    for name, slots, pause in (
        ("room for 1 attempt a worker", 1, 0.0),
        ("room for 4", 4, 0.0),
        (f"room for 1, an attempt takes {BUSY} s", 1, BUSY),
    ):
        cost = master.measure(master.job_of(workers, tasks), slots, pause=pause)
        found.lines.append([name, *_master_figures(cost)])
        peak = cost.peak / 1e6
        found.bars.append((f"{name}: below 500 MB", f"{peak:.0f} MB", peak < 500))
        if slots > 1:
            asked = f"{name}: at least 2,000 assignments a CPU second"
            rate = cost.assigned / cost.cpu
            found.bars.append((asked, f"{rate:,.0f}", rate >= 2000))
        if pause:
            asked = f"{workers / pause:,.0f} attempts end in a second: heartbeat p99 below 1 s"
            found.bars.append((asked, f"{cost.p99:.2f} s", cost.p99 < 1))
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


def small_row(scale: str) -> Found:
    costs = small_jobs.measure_jobs({"small": 3, "full": 5}[scale])
    found = Found(["wall s", "CPU s", "largest process MB"])
    for name, several in costs.items():
        largest = max(cost.largest for cost in several) / 1e6
        times = [f"{small_jobs.median(several, what):.2f}" for what in ("wall", "cpu")]
        found.lines.append([name, *times, f"{largest:.0f}"])
    for name, modules in small_jobs.STEPS.items():
        seconds = small_jobs.import_seconds(modules)
        found.lines.append([f"of these, imports: {name}", f"{seconds:.2f}", "", ""])
    wall = {name: small_jobs.median(several, "wall") for name, several in costs.items()}
    more = wall[small_jobs.INLINE] - wall[small_jobs.PYTHON]
    found.bars.append(("in one process at most 0.6 s more", f"{more:.2f} s", more <= 0.6))
    local = wall[small_jobs.LOCAL]
    found.bars.append(("local processes at most 2.5 s", f"{local:.2f} s", local <= 2.5))
    bound = 1.1 * (wall[small_jobs.EMPTY] + local)
    flow = wall[small_jobs.FLOW]
    asked = f"the flow at most the empty flow, the local run and 10 % ({bound:.2f} s)"
    found.bars.append((asked, f"{flow:.2f} s", flow <= bound))
    return found


def growth_row(scale: str) -> Found:
    """Tenths of a gigabyte, and ten times as many; millions of values, fourfold."""
    tenths, millions = {"small": (1, 5), "full": (10, 50)}[scale]
    found = Found(["wall s", "CPU s", "CPU s a GB", *(f"{role} MB" for role in ROLES.values())])
    one, ten = growth.count_words(tenths), growth.count_words(10 * tenths)
    for cost, gigabytes in ((one, tenths / 10), (ten, tenths)):
        name = f"word count of {gigabytes:g} GB"
        found.lines.append([name, *_growth_figures(cost), f"{cost.cpu / gigabytes:.1f}"])
    few, many = growth.stream_values(millions), growth.stream_values(4 * millions)
    for cost, count in ((few, millions), (many, 4 * millions)):
        found.lines.append([f"{count} million values of a key", *_growth_figures(cost), ""])
    found.lines = [[*line[:3], line[-1], *line[3:-1]] for line in found.lines]
    rate = ten.cpu / one.cpu / 10
    found.bars.append(("CPU time a GB within 10 %", f"{rate:.2f}", rate <= 1.1))
    wall = ten.wall / one.wall / 10
    found.bars.append(("wall time a GB within 10 %", f"{wall:.2f}", wall <= 1.1))
    for what, small, large in (("word count", one, ten), ("one key", few, many)):
        for role, size in large.roles.items():
            if role in ROLES:
                grown = size / small.roles[role]
                asked = f"{what}: memory of {ROLES[role]} within 10 %"
                found.bars.append((asked, f"{grown:.2f}", grown <= 1.1))
    largest = max(cost.largest for cost in (one, ten, few, many)) / 1e6
    found.bars.append(("`--memory 512MB` held", f"{largest:.0f} MB at most", largest <= 512))
    return found


def _growth_figures(cost: Cost) -> list[str]:
    sizes = [f"{cost.roles.get(role, 0) / 1e6:.0f}" for role in ROLES]
    return [f"{cost.wall:.1f}", f"{cost.cpu:.1f}", *sizes]


def stores_row(scale: str) -> Found:
    rounds, large, small = {"small": (1, 2, 50), "full": (5, 8, 500)}[scale]
    rates = stores.measure_stores(rounds, large, small)
    names = list(next(iter(rates.values())))
    found = Found(names)
    for (work, unit, at_once), by_name in rates.items():
        name = f"{work}, {at_once} at once, {unit}"
        found.lines.append([name, *(f"{by_name[each]:,.0f}" for each in names)])
        fastest = max(rate for each, rate in by_name.items() if not each.startswith("gomr"))
        ours = "gomr, read in blocks" if work.startswith("read 64") else "gomr"
        share = by_name[ours] / fastest
        found.bars.append((f"{name}: at least 0.9 of the fastest", f"{share:.2f}", share >= 0.9))
    return found


FIGURES = {
    "stores": Figures(
        "Objects of a MinIO on the same machine, our store beside other clients",
        stores_row,
        "Threads of one process, medians, every client in turn, another one first in each round; "
        "the server shares the machine. "
        "Objects of 64 MB are read in blocks, as a map task reads its input: 256 KB at a time, "
        "with what follows on its way; beside it `get` of the whole object.",
    ),
    "growth": Figures(
        "Ten times more: word count with `ctx.emit`, values of one key, two workers",
        growth_row,
        "The text is ten times longer, of the same 100,000 words; `--memory 512MB`. Memory is the "
        "largest RSS of any process of that kind.",
    ),
    "small-jobs": Figures(
        "Word count of 10 KB",
        small_row,
        "Medians; every command in turn, a Prefect server running beside them.",
    ),
    "master": Figures(
        "A master with 1,000 workers and 100,000 map tasks, 1,000 reducers",
        master_row,
        "The real master process, its store in its memory; every worker on a gRPC stream of its "
        "own, played by another process, reports what it is given at once, so that the master "
        "always has all of them to answer, or after half a second. CPU seconds are those of the "
        "whole process, start and end included.",
    ),
}
