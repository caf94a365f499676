"""Runs of real processes under seeded mixes of faults: `make chaos N=100`, `make chaos SEED=17`.

A seed chooses the store, the job, the number of workers, and some faults with their moments. A run
counts when at least `ENOUGH` of them landed; one with fewer is made again with more of them, as
`17+1`. It must end well, with the bytes of a sequential run and nothing left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gomr_runtime.errors import EXIT_CONFLICT, EXIT_OK, EXIT_SIGTERM
from gomr_runtime.storage.s3.store import S3Store
from tests.process.chaos.chaos_checks import own_resources, violations
from tests.process.chaos.chaos_faults import Course, Planned, plan
from tests.process.chaos.chaos_jobs import KINDS, Expected, sequential
from tests.process.chaos.chaos_world import BUCKET, GONE_SECONDS, Setting, World
from tests.process.support.minio_server import MinioServer, running_minio

ENOUGH = 3
FIRST, MORE, MOST = 6, 4, 4  # faults at first, so many more each time, and how often
LONGEST = 240.0  # seconds
LOOK_EVERY = 0.01
TAIL = 12  # lines of a log that are shown


@dataclass
class Report:
    """What became of one run. landed: kind of fault to how it was seen, for each."""

    name: str
    setting: str
    planned: list[str]
    landed: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    starts: int = 0
    seconds: float = 0.0
    folder: Path | None = None

    def __str__(self) -> str:
        kinds = Counter(kind for kind, _ in self.landed)
        told = ", ".join(f"{kind} {n}x" if n > 1 else kind for kind, n in kinds.items())
        head = f"seed {self.name}: {self.setting}; {self.seconds:.1f} s, {self.starts} starts; "
        return head + f"{len(self.landed)} of {len(self.planned)} landed: {told or 'none'}"

    def told(self) -> str:
        """With everything that a person needs who looks into it."""
        lines = [str(self), *(f"  planned: {one}" for one in self.planned)]
        lines += [f"  landed: {kind}: {how}" for kind, how in self.landed]
        lines += [f"  WRONG: {one}" for one in self.wrong]
        if self.wrong:
            lines.append(f"  all of it: {self.folder}; again: make chaos SEED={self.name}")
        return "\n".join(lines)


class Arena:
    """What runs share: a MinIO, made when it is first needed, and the sequential results."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._server: MinioServer | None = None
        self._expected: dict[str, Expected] = {}
        self._runs = 0

    def server(self) -> MinioServer:
        if self._server is None:
            self._server = self._stack.enter_context(running_minio(self._folder / "minio"))
            self._server.make_bucket(BUCKET)
            # Starts the threads of the S3 client, which stay for the life of the process.
            S3Store(BUCKET, "", self._server.settings).delete("nothing/")
        return self._server

    def expected(self, kind: str) -> Expected:
        if kind not in self._expected:
            folder = self._folder / f"sequential-{kind}"
            folder.mkdir()
            self._expected[kind] = sequential(kind, folder)
        return self._expected[kind]

    def prefix(self) -> str:
        self._runs += 1
        return f"run-{self._runs}"


@contextlib.contextmanager
def arena() -> Iterator[Arena]:
    folder = Path(tempfile.mkdtemp(prefix="gomr-chaos-"))
    try:
        with contextlib.ExitStack() as stack:
            yield Arena(folder, stack)
    finally:
        shutil.rmtree(folder)


def chosen(seed: int, again: int) -> tuple[Setting, list[Planned]]:
    """The same for the same two numbers."""
    dice = random.Random(f"{seed}+{again}")
    over_s3 = dice.random() < 0.5
    kind = dice.choice(sorted(KINDS))
    shuffled = bool(KINDS[kind].reduces)
    planned = plan(dice, over_s3=over_s3, shuffled=shuffled, count=FIRST + again * MORE)
    charged = sum(one.kind == "child killed" for one in planned)
    backups = dice.random() < 0.5
    return Setting(over_s3, kind, dice.choice([2, 3]), backups, 4 + charged), planned


def run_once(where: Arena, seed: int, again: int) -> Report:
    """One run with its faults and checks."""
    setting, planned = chosen(seed, again)
    name = f"{seed}+{again}" if again else str(seed)
    report = Report(name, str(setting), [str(one) for one in planned])
    server = where.server() if setting.over_s3 else None
    expected = where.expected(setting.kind)
    before = own_resources()
    began = time.monotonic()
    with World(setting, where.prefix(), server) as world:
        report.folder = world.folder
        drive(world, planned, report)
        report.seconds = time.monotonic() - began
        report.starts = world.starts
        if not report.wrong:
            kinds = [kind for kind, _ in report.landed]
            report.wrong += violations(world, expected, kinds)
    report.wrong += own_leaks(before)
    if not report.wrong:
        world.remove()
    return report


def own_leaks(before: tuple[int, list[str]]) -> list[str]:
    """MinIO and the log that it writes to are the same before and after, but for their numbers."""
    after = own_resources()
    if (len(after[1]), after[0]) > (len(before[1]), before[0]):
        return [f"this process had {before} and has {after} threads and descriptors"]
    return []


def drive(world: World, planned: list[Planned], report: Report) -> None:
    """Start the run and let its faults come, until the launcher ends well."""
    courses: dict[Planned, Course] = {one: one.course(world) for one in planned}
    deadline = time.monotonic() + LONGEST
    world.launch()
    try:
        while True:
            world.look()
            step(courses, report)
            if not world.running and world.settled():
                code = world.ended()
                if code == EXIT_OK:
                    step(courses, report)
                    break
                if trouble := resumable(world, code):
                    report.wrong.append(trouble)
                    break
                world.launch()
            if time.monotonic() > deadline:
                report.wrong.append(f"not over after {LONGEST:.0f} s; {world.last_lines(TAIL)}")
                break
            world.pause(LOOK_EVERY)
    finally:
        for course in courses.values():
            course.close()
    if trouble := world.end_second():
        report.wrong.append(trouble)


def step(courses: dict[Planned, Course], report: Report) -> None:
    for one, course in list(courses.items()):
        try:
            next(course)
        except StopIteration as ended:
            del courses[one]
            if ended.value:
                report.landed.append((one.kind, ended.value))


def resumable(world: World, code: int) -> str:
    """Why the run cannot go on; "" when its launcher was killed or its master replaced by us."""
    if code == EXIT_CONFLICT and world.took_over:
        return ""
    if not world.launcher_killed:
        return f"the launcher ended with {code}; {world.last_lines(TAIL)}"
    if world.end_by and (left := world.left_running()):
        told = [" ".join(process.cmdline()[:4]) for process in left]
        return f"{GONE_SECONDS:.0f} s after its launcher was killed this runs: {told}"
    world.launcher_killed = False
    return ""


def run_until_it_counts(where: Arena, seed: int, tell: Callable[[Report], None]) -> Report:
    """The run of this seed in which enough faults landed, or that went wrong."""
    for again in range(MOST):
        report = run_once(where, seed, again)
        tell(report)
        if report.wrong or len(report.landed) >= ENOUGH:
            return report
    report.wrong.append(f"in {MOST} runs fewer than {ENOUGH} faults landed")
    return report


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.process.chaos.run", description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", help="one run, such as 17 or 17+1, told in full")
    parser.add_argument("--tell", action="store_true", help="all runs in full")
    given = parser.parse_args()
    if shutil.which("go") is None:
        parser.error("MinIO, where half of the seeds have their data, needs `go` on PATH")
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    with arena() as where:
        if given.seed:
            seed, _, again = given.seed.partition("+")
            report = run_once(where, int(seed), int(again or 0))
            print(report.told())
            return bool(report.wrong)
        reports = list(several(where, given.first, given.count, tell_all=given.tell))
    print(summary(reports, time.monotonic() - began))
    return any(report.wrong for report in reports)


def _end(*_: object) -> None:
    """Everything that was started is ended on the way out."""
    sys.exit(EXIT_SIGTERM)


def several(where: Arena, first: int, count: int, *, tell_all: bool) -> Iterator[Report]:
    def tell(report: Report) -> None:
        print(report.told() if report.wrong or tell_all else report, flush=True)

    for seed in range(first, first + count):
        yield run_until_it_counts(where, seed, tell)


def summary(reports: list[Report], seconds: float) -> str:
    kinds = Counter(kind for report in reports for kind, _ in report.landed)
    wrong = [report for report in reports if report.wrong]
    counted = sum(not report.wrong for report in reports)
    times = sorted(report.seconds for report in reports)
    lines = [f"{number:5} {kind}" for kind, number in kinds.most_common()]
    lines.append(f"{kinds.total():5} faults landed in {counted} runs that count")
    lines.append(f"{len(wrong):5} runs with violations; {seconds:.0f} s in all")
    lines.append(f"a run: {times[len(times) // 2]:.1f} s in the median, {times[-1]:.1f} s at most")
    lines += [f"again: make chaos SEED={report.name}" for report in wrong]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
