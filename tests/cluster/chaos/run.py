"""Runs on the test cluster under seeded mixes of faults: `make cluster-chaos N=50`, or `SEED=17`.

A seed chooses the faults and their moments. A run counts when at least `ENOUGH` of them landed; one
with fewer is made again with more of them, as `17+1`. It must end well, by the command that a
person types, with the bytes that this machine gives, and with nothing left.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.bring_up import bring_up
from tests.cluster.chaos import chaos_run
from tests.cluster.chaos.chaos_faults import Planned, plan
from tests.cluster.chaos.chaos_run import COUNTS, ChaosRun, digests
from tests.cluster.support.built.images import ensure_image
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import minio_image, namespace_for
from tests.cluster.support.usage import in_use
from tests.flow import command
from tests.flow.prefect_server import running_server

ENOUGH = 2
FIRST, MORE, MOST = 3, 2, 3  # faults at first, so many more each time, and how often
LONGEST = 480.0  # seconds


@dataclass
class Report:
    """What became of one run. landed: kind of fault to how it was seen, for each."""

    name: str
    planned: list[Planned]
    landed: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    starts: int = 0

    def __str__(self) -> str:
        head = f"seed {self.name}: {self.seconds:.0f} s, {self.starts} starts; "
        told = "; ".join(how for _, how in self.landed) or "none"
        lines = [head + f"{len(self.landed)} of {len(self.planned)} landed: {told}"]
        lines += [f"  WRONG: {one}" for one in self.wrong]
        return "\n".join(lines)


@dataclass
class Arena:
    """What runs share. expected: sha256 of the parts, as this machine makes them."""

    cluster: RunningCluster
    namespace: str
    environ: dict[str, str]
    folder: Path
    expected: dict[str, str]


@contextlib.contextmanager
def arena(folder: Path) -> Iterator[Arena]:
    """A Prefect server, and a namespace of the cluster, which is brought up where it is not."""
    kubeconfig = bring_up()
    (folder / "worker.py").write_text(chaos_run.WORKER)
    (folder / "text.txt").write_text(chaos_run.TEXT)
    namespaces: dict[str, str] = {}
    cluster = RunningCluster(kubeconfig)
    with (
        in_use(),
        running_server(folder) as server,
        namespace_for(cluster, namespaces, "chaos") as namespace,
    ):
        environ = server.environ | {
            "KUBECONFIG": str(kubeconfig),
            "GOMR_BASE_IMAGE": ensure_image("gomr-python"),
            "GOMR_MINIO_IMAGE": minio_image(),
        }
        yield Arena(cluster, namespace, environ, folder, here(folder, environ))


def here(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    """The parts that local processes make."""
    place = ("--runtime", "local", "--output", str(folder / "here"), "-q")
    job = ("--input", "text.txt", *COUNTS, "--param", "pace=0", "worker.py")
    done = command.run(folder, environ, *place, *job)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return digests(folder / "here")


def run_once(where: Arena, seed: int, again: int) -> Report:
    """One run with its faults and checks."""
    name = f"{seed}+{again}" if again else str(seed)
    report = Report(name, plan(random.Random(f"{seed}+{again}"), FIRST + again * MORE))
    run = ChaosRun(
        where.cluster, where.namespace, where.environ, where.folder, f"chaos-{seed}-{again}"
    )
    began = time.monotonic()
    deadline = began + LONGEST
    with ThreadPoolExecutor(len(report.planned)) as pool:
        strikes = [pool.submit(one.strike, run, deadline) for one in report.planned]
        trouble = run.see_through(deadline)
        report.seconds = time.monotonic() - began
        told = [strike.result() for strike in strikes]
    report.landed = [(one.kind, how) for one, how in zip(report.planned, told, strict=True) if how]
    report.wrong += [how for how in told if how.startswith("BROKEN")]
    report.wrong += [trouble] if trouble else run.violations(where.expected)
    report.starts = run.starts
    log = where.folder / f"{run.name}.log"
    log.write_text("\n".join([*map(str, report.planned), *run.lines, ""]))
    if report.wrong:
        report.wrong.append(f"what it said is in {log}; again: make cluster-chaos SEED={name}")
    return report


def run_until_it_counts(where: Arena, seed: int) -> Report:
    """The run of this seed in which enough faults landed, or that went wrong."""
    for again in range(MOST):
        report = run_once(where, seed, again)
        print(report, flush=True)
        if report.wrong or len(report.landed) >= ENOUGH:
            return report
    report.wrong.append(f"in {MOST} runs fewer than {ENOUGH} faults landed")
    return report


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.cluster.chaos.run", description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", help="one run, such as 17 or 17+1")
    given = parser.parse_args()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="gomr-cluster-chaos-"))
    print(f"what the runs say goes to {folder}", flush=True)
    with arena(folder) as where:
        if given.seed:
            seed, _, again = given.seed.partition("+")
            report = run_once(where, int(seed), int(again or 0))
            print(report, *report.planned, sep="\n  ")
            return bool(report.wrong)
        seeds = range(given.first, given.first + given.count)
        reports = [run_until_it_counts(where, seed) for seed in seeds]
    print(summary(reports, time.monotonic() - began))
    return any(report.wrong for report in reports)


def summary(reports: list[Report], seconds: float) -> str:
    kinds = Counter(kind for report in reports for kind, _ in report.landed)
    wrong = [report for report in reports if report.wrong]
    times = sorted(report.seconds for report in reports)
    lines = [f"{number:5} {kind}" for kind, number in kinds.most_common()]
    counted = len(reports) - len(wrong)
    lines.append(f"{kinds.total():5} faults landed in {counted} runs that count")
    lines.append(f"{len(wrong):5} runs with violations; {seconds:.0f} s in all")
    lines.append(f"a run: {times[len(times) // 2]:.0f} s in the median, {times[-1]:.0f} s at most")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
