"""What chaos looks for after a run is found where it is: each check, on a run that is made up."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from gomr_runtime.model import layout
from gomr_runtime.model.output_formats import part_name
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.storage.directory import DirectoryStore
from tests.process.chaos import chaos_checks
from tests.process.chaos.chaos_checks import launcher_leaks, violations
from tests.process.chaos.chaos_jobs import KINDS, LINES, Expected
from tests.process.chaos.chaos_world import RUN, Setting, World

PARTS = [b"a\t1\n", b"b\t2\n", b""]
EXPECTED = Expected([hashlib.sha256(part).hexdigest() for part in PARTS], taken=7)
SECOND = 1_000_000_000


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A run that is over and right."""
    monkeypatch.setattr(chaos_checks, "GONE_SECONDS", 0.5)
    with World(Setting(False, "counted", 2, False, 4), "", None) as made:
        store, out = DirectoryStore(made.root), made.folder / "out"
        out.mkdir()
        store.create(layout.epoch(RUN, 1), b"{}")
        begun = ""
        for task in KINDS["counted"].tasks:
            store.create(layout.commit(RUN, task), b"{}")
            begun += f"{RUN}/{task}/1 0\n"
        (made.folder / "begun").write_text(begun)
        success = {"ledger": {"records_read": LINES}, "counters": {"taken": 7}}
        for place in (out, made.root / layout.output_prefix(RUN)):
            place.mkdir(parents=True, exist_ok=True)
            for number, part in enumerate(PARTS):
                (place / part_name(number, "text")).write_bytes(part)
            (place / "_SUCCESS").write_text(json.dumps(success))
        made.launch = lambda: None  # type: ignore[method-assign]
        made.launcher = subprocess.Popen([sys.executable, "-c", ""])
        made.launcher.wait(20)
        yield made
    made.remove()


def found(world: World, *landed: str) -> str:
    return "\n".join(violations(world, EXPECTED, list(landed)))


def test_a_run_that_is_right(world: World) -> None:
    data = layout.attempt_data(TaskSpec(RUN, "map", 3, 1001, "0a1b"), "map")
    DirectoryStore(world.root).put(data, b"of an attempt that was killed")
    assert found(world) == ""


def other_bytes(world: World) -> None:
    (world.folder / "out/output-00001.txt").write_bytes(b"b\t3\n")


def other_bytes_in_the_store(world: World) -> None:
    (world.root / f"outputs/{RUN}/output-00001.txt").write_bytes(b"b\t3\n")


def a_hidden_file(world: World) -> None:
    (world.folder / "out/.output-00001.txt.gomr").touch()


def a_second_commit(world: World) -> None:
    DirectoryStore(world.root).create(layout.commit(RUN, "map-3", 1), b"{}")


def a_missing_commit(world: World) -> None:
    DirectoryStore(world.root).delete(layout.commit(RUN, "map-3"))


def a_committed_task_again(world: World) -> None:
    DirectoryStore(world.root).create(layout.epoch(RUN, 2), b"{}")
    with (world.folder / "begun").open("a") as file:
        file.write(f"{RUN}/map-3/1001 0\n")


def an_attempt_long_after(world: World) -> None:
    at = (world.root / layout.commit(RUN, "map-3")).stat().st_ctime_ns + 30 * SECOND
    with (world.folder / "begun").open("a") as file:
        file.write(f"{RUN}/map-3/2 {at}\n")


def a_stray_object(world: World) -> None:
    DirectoryStore(world.root).put(f"runs/{RUN}/notes", b"")


def scratch_left(world: World) -> None:
    (world.root / f".scratch-{RUN}.gomr-1/w0").mkdir(parents=True)


def half_written(world: World) -> None:
    (world.root / ".tmp/0a1b").touch()


def a_folder_left(world: World) -> None:
    (world.temporary / "gomr-1").mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_bytes, "differ from those of a sequential run"),
        (other_bytes_in_the_store, "the parts in the store differ"),
        (a_hidden_file, "has other files than parts and _SUCCESS"),
        (a_second_commit, "map-3.1 is committed again, and nothing has damaged it"),
        (a_missing_commit, "committed: "),
        (a_committed_task_again, "1001 of map-3 was started by a master that began after"),
        (an_attempt_long_after, "attempt 2 of map-3 began 30.0 s after its commit"),
        (a_stray_object, f"the store holds runs/{RUN}/notes"),
        (scratch_left, f".scratch-{RUN}.gomr-1 is left"),
        (half_written, "nobody was killed, and .tmp/0a1b is left"),
        (a_folder_left, "gomr-1 is left"),
    ],
)
def test_what_is_wrong_is_found(world: World, spoil: Callable[[World], None], words: str) -> None:
    spoil(world)
    assert words in found(world)


def test_damage_and_kills_excuse_what_they_bring_about(world: World) -> None:
    a_second_commit(world)
    a_committed_task_again(world)
    half_written(world)
    world.damaged.add("map-3")
    world.kills["worker"] += 1
    assert found(world) == ""


def test_a_process_that_is_left_is_found(world: World) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(world.temporary)},
    ) as left:
        try:
            assert f"process {left.pid} is left" in found(world)
        finally:
            left.kill()


def test_what_a_launcher_leaves_in_itself_is_found() -> None:
    before = ["/dev/null", "socket"]
    clean = {"threads": [], "descriptors": {"before": before, "after": before}}
    assert list(launcher_leaks("ended-0.json", clean)) == []
    leaking = {
        "threads": ["wait-master"],
        "descriptors": {"before": before, "after": [*before, "pipe"]},
    }
    assert list(launcher_leaks("ended-0.json", leaking)) == [
        "ended-0.json: threads ['wait-master'] are left",
        "ended-0.json: descriptors are left: {'pipe': 1}",
    ]
