"""What must be true of a run when it is over, whatever has happened to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gomr_runtime.master.core.core import ATTEMPTS_PER_EPOCH
from gomr_runtime.model import layout
from tests.process.chaos.chaos_jobs import LINES, Expected
from tests.process.chaos.chaos_world import BUCKET, GONE_SECONDS, LEASE, RUN, World

TASK = r"(sample|map|reduce)-\d+"
# Every key below runs/<run>/ and outputs/<run>/, as layout.py has it.
ALLOWED = re.compile(
    rf"runs/{RUN}/(job\.json|program\.json|plan\.json|summary\.json|epoch/\d{{6}}|maps(\.\d+)?"
    rf"|commit/{TASK}(\.\d+)?|data/{TASK}/\d+-[0-9a-f]+/(map|part|cuts))"
    rf"|outputs/{RUN}/(output-\d{{5}}\.txt|_SUCCESS|_logs/[\w.-]+)"
)
BESIDE_KEYS = re.compile(rf"logs/{RUN}/[\w-]+\.log|locks/{RUN}|\.tmp/[\w-]+")


def violations(world: World, expected: Expected, landed: list[str]) -> Iterator[str]:
    """One line for each thing that is wrong. landed: kinds of faults."""
    yield from wrong_output(world, expected)
    yield from wrong_commits(world)
    yield from run_again(world, landed)
    yield from left_behind(world)


def wrong_output(world: World, expected: Expected) -> Iterator[str]:
    out = world.folder / "out"
    found = [_sha256(path.read_bytes()) for path in sorted(out.glob("output-*"))]
    if found != expected.parts:
        yield f"the parts in {out} differ from those of a sequential run"
    names = sorted(path.name for path in out.glob("output-*"))
    if sorted(path.name for path in out.iterdir()) != ["_SUCCESS", *names]:
        yield f"{out} has other files than parts and _SUCCESS: {sorted(os.listdir(out))}"
        return
    store, above = world.store, layout.output_prefix(RUN)
    if [_sha256(store.get(above + name)) for name in names] != expected.parts:
        yield "the parts in the store differ from those of a sequential run"
    success = json.loads((out / "_SUCCESS").read_text())
    if success["ledger"]["records_read"] != LINES:
        yield f"{success['ledger']['records_read']} of {LINES} records are in the books"
    if success["counters"] != {"taken": expected.taken}:
        yield f"counters are {success['counters']}, and {expected.taken} in a sequential run"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wrong_commits(world: World) -> Iterator[str]:
    """Exactly one manifest a task; another one only for a map whose data was damaged."""
    prefix = layout.commits(RUN)
    names = [found.key.removeprefix(prefix) for found in world.store.list(prefix)]
    first = sorted(name for name in names if "." not in name)
    if first != world.kind.tasks:
        yield f"committed: {first}; tasks: {world.kind.tasks}"
    for name in names:
        if "." in name and name.partition(".")[0] not in world.damaged:
            yield f"{name} is committed again, and nothing has damaged it"
    if world.proxied is not None:
        for key, times in world.proxied.proxy.record.created.items():
            if times > 1:
                yield f"{key} was created {times} times"


def run_again(world: World, landed: list[str]) -> Iterator[str]:
    """Attempts of tasks that were committed already, as the master that started them had to know:
    it took its epoch after the commit. Where nothing stands still, a master may not start one of
    a task that it has committed itself either."""
    disturbed = any(word in kind for kind in landed for word in ("stopped", "slower", "second"))
    commits, epochs = moments(world)
    for line in (world.folder / "begun").read_text().splitlines():
        name, _, began = line.partition(" ")
        _, task, attempt = name.split("/")
        epoch = (int(attempt) - 1) // ATTEMPTS_PER_EPOCH + 1
        committed = commits.get(task)
        if committed is None or task in world.damaged:
            continue
        if committed < epochs.get(epoch, 0):
            yield f"attempt {attempt} of {task} was started by a master that began after its commit"
        late = (int(began) - committed) / 1e9
        if late > 4 * LEASE and not disturbed:
            yield f"attempt {attempt} of {task} began {late:.1f} s after its commit"


def moments(world: World) -> tuple[dict[str, int], dict[int, int]]:
    """When each task was committed at the latest, each epoch taken at the earliest, in ns."""
    commits, epochs = layout.commits(RUN), layout.epochs(RUN)
    if world.proxied is not None:
        known, asked = world.proxied.created, world.proxied.asked
        above = f"{world.prefix}/"
        done = {
            key.removeprefix(above + commits): at for key, at in known.items() if commits in key
        }
        return done, {layout.epoch_number(k): at for k, at in asked.items() if epochs in k}
    done = {
        path.name: path.stat().st_ctime_ns for path in (world.root / commits).iterdir()
    }  # of its last link
    taken = {
        layout.epoch_number(str(path)): path.stat().st_mtime_ns
        for path in (world.root / epochs).iterdir()
    }  # of its content, which is written before it gets its name
    return done, taken


def left_behind(world: World) -> Iterator[str]:
    """Processes, files outside of the store, other things in the store, unfinished uploads, and
    threads and descriptors of the launcher."""
    deadline = time.monotonic() + GONE_SECONDS
    while (alive := world.left_running()) and time.monotonic() < deadline:
        world.pause()
    for process in alive:
        yield f"process {process.pid} is left: {' '.join(process.cmdline())[:120]}"
    for path in world.temporary.iterdir():
        yield f"{path} is left: {sorted(os.listdir(path)) if path.is_dir() else 'a file'}"
    yield from strangers_in_the_store(world)
    for ended in sorted(world.folder.glob("ended-*.json")):
        yield from launcher_leaks(ended.name, json.loads(ended.read_text()))


def strangers_in_the_store(world: World) -> Iterator[str]:
    killed = sum(world.kills.values())
    for found in world.store.list(""):
        if not ALLOWED.fullmatch(found.key) and not BESIDE_KEYS.fullmatch(found.key):
            yield f"the store holds {found.key}"
    if world.server is not None:
        for upload in world.server.uploads(BUCKET, world.prefix):
            yield f"an unfinished upload: {upload}"
        return
    for path in sorted(world.root.rglob("*")):
        key = str(path.relative_to(world.root))
        if path.is_dir() or ALLOWED.fullmatch(key):
            continue
        if not BESIDE_KEYS.fullmatch(key):
            yield f"the store's folder holds {key}"
        elif key.startswith(".tmp/") and not killed:
            yield f"nobody was killed, and {key} is left"
    for path in world.root.glob(".scratch*"):
        yield f"{path.name} is left in the store's folder"


def launcher_leaks(name: str, ended: dict[str, Any]) -> Iterator[str]:
    if ended["threads"]:
        yield f"{name}: threads {ended['threads']} are left"
    before, after = ended["descriptors"]["before"], ended["descriptors"]["after"]
    # The pollers of gRPC and of the S3 client are the process's own, and made when needed.
    more = Counter(after) - Counter(before) - Counter({"anon_inode": 100})
    if more:
        yield f"{name}: descriptors are left: {dict(more)}"


def own_resources() -> tuple[int, list[str]]:
    """Threads of Python and descriptors of this process."""
    links = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists()]
    return threading.active_count(), sorted(links)
