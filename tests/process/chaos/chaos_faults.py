"""The faults of chaos, each a generator: it yields while it waits, and returns how it was seen to
have landed, "" when the run was over before it could.

A fault begins at its moment: so many commits in the store, records taken, or requests through the
proxy. What it waits for after that has a deadline.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from tests.process.chaos.chaos_jobs import LINES, MAPS
from tests.process.chaos.chaos_world import (
    GONE_SECONDS,
    LEASE,
    RUN,
    Burst,
    World,
    alive,
    send,
    state_of,
)
from tests.process.support.s3.s3_faults import BUSY, CUT, HANG, LOSE, RESET, Fault

Course = Generator[None, None, str]
WAIT = 20.0  # seconds at most for what a fault brings about
CRAWL = (0.045, 0.005)  # seconds stopped and running
CYCLES = 25


@dataclass(frozen=True)
class Planned:
    """kind: a name in FAULTS. at: `commits`, `records` or `requests`; number: how many. dice: for
    all else that is chosen."""

    kind: str
    at: str
    number: int
    dice: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.number} {self.at}"

    def come(self, world: World) -> bool:
        if self.at == "commits":
            return len(world.committed) >= self.number
        return (world.taken if self.at == "records" else world.requests) >= self.number

    def course(self, world: World) -> Course:
        """Waits for its moment, then does what it has to do."""
        while not self.come(world):
            yield
        return (yield from FAULTS[self.kind](world, random.Random(self.dice)))


def until(happened: Callable[[], bool], seconds: float = WAIT) -> Generator[None, None, bool]:
    """False when it has not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        yield
    return True


def choose(dice: random.Random, find: Callable[[], list[int]]) -> Generator[None, None, int]:
    """One process of those that there are; 0 when there is none for long."""
    if not (yield from until(lambda: bool(find()))):
        return 0
    return dice.choice(sorted(find()) or [0])


# Processes.


def worker_kill(world: World, dice: random.Random) -> Course:
    """Landed: it is gone, and the run is not over then."""
    pid = yield from choose(dice, world.workers)
    if not pid or world.over or not send(pid, signal.SIGKILL):
        return ""
    world.busy.add(pid)
    world.kills["worker"] += 1
    gone = yield from until(lambda: not alive(pid))
    return f"worker {pid} is dead" if gone and not world.over else ""


def worker_stop(world: World, dice: random.Random) -> Course:
    """Landed: it stood still for a lease, and the master's log says that it is lost."""
    pid = yield from choose(dice, world.workers)
    words = f"-{pid}-"
    before = lost(world, words)
    if not pid or world.over or not send(pid, signal.SIGSTOP):
        return ""
    world.busy.add(pid)
    try:
        yield from until(lambda: state_of(pid) == "T")
        stopped = time.monotonic()
        seen = yield from until(lambda: lost(world, words) > before or world.over)
        while dice.random() < 0.9 and not world.over:  # for some more looks
            yield
        late = seen and not world.over and time.monotonic() - stopped >= LEASE
    finally:
        send(pid, signal.SIGCONT)
        world.busy.discard(pid)
    return f"worker {pid} was lost while it was stopped" if late else ""


def lost(world: World, worker: str) -> int:
    """How often a worker whose name has this in it was given up."""
    logs = [path.read_text(errors="replace") for path in world.log_folder.glob("master*.log")]
    lines = [line for text in logs for line in text.splitlines()]
    return sum(" is lost: " in line and worker in line for line in lines)


def master_kill(world: World, dice: random.Random) -> Course:
    """Landed: it is gone, and another has taken an epoch."""
    pid = yield from choose(dice, world.masters)
    if not pid or world.over or world.kills["master"] >= 2 or not send(pid, signal.SIGKILL):
        return ""
    world.busy.add(pid)
    world.kills["master"] += 1
    before = world.epochs
    again = yield from until(lambda: world.epochs > before or not world.running)
    return f"master {pid} is dead, another has begun" if again and world.running else ""


def master_stop(world: World, dice: random.Random) -> Course:
    """For half a lease to two of them. Landed: it stood still, and the run went on afterwards."""
    pid = yield from choose(dice, world.masters)
    seconds = dice.uniform(0.5, 2.0) * LEASE
    if not pid or world.over or not send(pid, signal.SIGSTOP):
        return ""
    world.busy.add(pid)
    try:
        began = time.monotonic()
        stood = yield from until(lambda: state_of(pid) == "T")
        yield from until(lambda: not alive(pid), seconds)
        stood = stood and state_of(pid) == "T" and time.monotonic() - began >= seconds
        before = world.over
    finally:
        send(pid, signal.SIGCONT)
        world.busy.discard(pid)
    return f"master {pid} stood still for {seconds:.1f} s" if stood and not before else ""


def takeover(world: World, dice: random.Random) -> Course:
    """A second master of the run is started while the first one is stopped, in its place, or
    beside it while it works. Landed: the second has taken an epoch before the run was over.

    The first one, when it looks, finds that it was replaced; its launcher then ends with 5, and
    the run is resumed. Until then the second may have finished the run.
    """
    if world.second is not None or world.over:
        return ""
    pid = yield from choose(dice, world.masters)
    in_place = dice.random() < 0.5
    more = dice.randrange(4)
    if not pid or not (token := newest_token(world)):
        return ""
    address = token.parent / "master"
    if not (yield from until(lambda: world.serves(pid, address) or world.over)):
        return ""
    if world.over or not send(pid, signal.SIGSTOP if in_place else signal.SIGCONT):
        return ""
    world.busy.add(pid)
    try:
        second = second_master(world, token, in_place=in_place)
        world.second = second
        address = token.parent / "second"
        yield from until(lambda: world.serves(second.pid, address) or world.over)
        landed = world.serves(second.pid, address) and not world.over
        if not landed:  # it may find that nothing is there any more
            second.kill()
            second.wait()
            world.second = None
            return ""
        world.took_over = True
        goal = len(world.committed) + more
        yield from until(lambda: len(world.committed) >= goal or world.over, LEASE)
    finally:
        send(pid, signal.SIGCONT)
        world.busy.discard(pid)
    return f"a second master took over from {pid}"


def newest_token(world: World) -> Path | None:
    found = sorted(world.temporary.glob("gomr-*/token"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def second_master(world: World, token: Path, *, in_place: bool) -> subprocess.Popen[bytes]:
    """As the launcher starts it: it lives for as long as our end of its lifeline is open.

    It has a socket of its own, since a master that ends removes its own by name: in place of the
    first one stands a link to it.
    """
    address = token.parent / "second"
    if in_place:
        link = token.parent / ".link"
        link.symlink_to(address)
        link.rename(token.parent / "master")
    mine, its = socket.socketpair()
    with (world.log_folder / "master-second.log").open("ab") as log, its:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "gomr_runtime.master", "--run", RUN),
                *("--store", world.store.url, "--listen", f"unix:{address}"),
                *("--token-file", str(token), "--lifeline", str(its.fileno())),
                *("--worker-token-file", str(token.with_name("worker-token"))),
            ],
            env={**os.environ, **world.environment(), "TMPDIR": str(token.parent)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(its.fileno(),),
            start_new_session=True,
        )
    world.lifelines.append(mine)
    return process


def child_kill(world: World, dice: random.Random) -> Course:
    """Landed: it died in the middle of a task, as the master's log says."""
    words = "died of SIGKILL"
    before = world.said(words, "master*")
    pid = yield from choose(
        dice, lambda: [child for worker in world.workers() for child in world.children(worker)]
    )
    if not pid or world.over or not send(pid, signal.SIGKILL):
        return ""
    world.busy.add(pid)
    seen = yield from until(lambda: world.said(words, "master*") > before or world.over, 5.0)
    seen = seen and world.said(words, "master*") > before
    return f"child {pid} died in its task" if seen else ""


def slow_worker(world: World, dice: random.Random) -> Course:
    """It runs a tenth of the time. Landed: CYCLES times it was stopped and went on."""
    worker = yield from choose(dice, world.workers)
    if not worker:
        return ""
    world.busy.add(worker)
    cycles = 0
    try:
        while cycles < CYCLES and not world.over and alive(worker):
            for number, seconds in zip((signal.SIGSTOP, signal.SIGCONT), CRAWL, strict=True):
                for pid in (worker, *world.below(worker)):
                    send(pid, number)
                yield from until(lambda: world.over, seconds)
            cycles += 1
    finally:
        for pid in (worker, *world.below(worker)):
            send(pid, signal.SIGCONT)
        world.busy.discard(worker)
    return f"worker {worker} crawled" if cycles == CYCLES else ""


def launcher_kill(world: World, dice: random.Random) -> Course:
    """Landed: it died of it before the run was over. The driver resumes the run, at once or when
    all that the launcher had started has ended, which it does by itself."""
    yield
    if not (yield from until(lambda: world.has(layout.job(RUN)))):
        return ""  # else there is nothing yet to go on with
    launcher = world.launcher
    if launcher is None or world.over:
        return ""
    launcher.kill()
    launcher.wait()
    if world.has_ended():
        return ""
    world.launcher_killed = True
    world.kills["launcher"] += 1
    world.kills["master"] = 0  # each launcher has a budget of its own
    world.end_by = dice.choice([0.0, time.monotonic() + GONE_SECONDS])
    return f"launcher {launcher.pid} is dead, and the run goes on by --resume"


# The store.


def flipped_byte(world: World, dice: random.Random) -> Course:
    """In the stored output of a committed map, before all maps are committed. Landed: the map ran
    again because of it."""
    maps = sorted(name for name in world.committed if name.startswith("map-") and "." not in name)
    if not maps or len(maps) == MAPS or world.over:
        return ""
    task = dice.choice([name for name in maps if name not in world.damaged] or maps)
    store = world.store
    commits = Journal(store, RUN).read_commits()
    key = next(m.result.files[0].key for m in commits if str(m.attempt.task) == task)
    data = bytearray(store.get(key))
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    world.damaged.add(task)
    path = store.local_path(key)
    if path is not None:
        path.write_bytes(data)
    else:
        store.put(key, bytes(data))
    before = world.generations(task)
    yield from until(lambda: world.generations(task) > before or world.over, 60.0)
    return f"{task} ran again" if world.generations(task) > before else ""


def burst(fault: Fault, count: tuple[int, int], *, changes_only: bool) -> Callable[..., Course]:
    """Landed: all of its requests were hit."""

    def course(world: World, dice: random.Random) -> Course:
        assert world.proxied is not None
        number = dice.randint(*count)
        mine = Burst(fault, number, changes_only)
        world.proxied.bursts.append(mine)
        yield from until(lambda: not mine.left or world.over, 60.0)
        world.proxied.bursts.remove(mine)
        return f"{mine.hits} requests: {fault.act}" if mine.hits == number else ""

    return course


def minio_kill(world: World, dice: random.Random) -> Course:
    """Started again when it was missed. Landed: requests came while it was away."""
    assert world.server is not None
    if world.over:
        return ""
    world.server.kill()
    missed = world.requests + dice.randint(1, 6)
    try:
        yield from until(lambda: world.requests >= missed, 3.0)
        seen = world.requests >= missed and not world.over
    finally:
        world.server.start()
    return "requests came while MinIO was away" if seen else ""


FAULTS: dict[str, Callable[[World, random.Random], Course]] = {
    "worker killed": worker_kill,
    "worker stopped beyond its lease": worker_stop,
    "worker ten times slower": slow_worker,
    "master killed": master_kill,
    "master stopped": master_stop,
    "second master": takeover,
    "child killed": child_kill,
    "launcher killed, resumed": launcher_kill,
    "stored byte flipped": flipped_byte,
    "burst of 503": burst(BUSY, (4, 10), changes_only=False),
    "burst of resets": burst(RESET, (3, 10), changes_only=False),
    "answers cut": burst(CUT, (2, 6), changes_only=False),
    "acknowledgements lost": burst(LOSE, (1, 6), changes_only=True),
    "requests hang": burst(HANG, (1, 2), changes_only=False),
    "MinIO killed": minio_kill,
}
OF_THE_STORE = list(FAULTS)[-6:]
ONCE = {"second master", "MinIO killed"}


def plan(dice: random.Random, *, over_s3: bool, shuffled: bool, count: int) -> list[Planned]:
    """`count` faults of some kinds, at moments of any phase. shuffled: map output is read again."""
    kinds = [kind for kind in FAULTS if kind not in OF_THE_STORE]
    if not shuffled:
        kinds.remove("stored byte flipped")
    some = dice.sample(kinds, dice.randint(2, 5))
    if over_s3:
        some += dice.sample(OF_THE_STORE, dice.randint(2, 3))
    found: list[Planned] = []
    while len(found) < count:
        kind = dice.choice(some)
        if kind in ONCE and any(planned.kind == kind for planned in found):
            some = [*some, dice.choice(kinds)]
            continue
        found.append(_moment(dice, kind, over_s3))
    return found


def _moment(dice: random.Random, kind: str, over_s3: bool) -> Planned:
    at = dice.choice(["commits", "records", *["requests"] * over_s3])
    if kind == "stored byte flipped":
        at, number = "commits", dice.randint(1, MAPS - 2)
    elif at == "commits":
        number = dice.randint(0, MAPS + 1)
    elif at == "records":
        number = dice.randint(1, LINES * 5 // 4)
    else:
        number = dice.randint(1, 120)
    return Planned(kind, at, number, dice.randrange(1 << 32))
