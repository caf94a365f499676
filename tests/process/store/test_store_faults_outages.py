"""Whole runs over a store that dies and comes back, stays away, fills up or forgets everything."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model import layout
from gomr_runtime.runs.local import LocalRun
from tests.process.support.local_runs import Job, word_count
from tests.process.support.minio_server import MinioServer, running_minio
from tests.process.support.s3.s3_faults import DROP, always
from tests.process.support.s3.s3_http import Request
from tests.process.support.s3.s3_proxy import S3Proxy, s3_proxy
from tests.process.support.s3.s3_runs import MAPS, S3Job, job_in, use
from tests.process.support.s3.s3_server import BUCKET, NAMESPACE

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
ROOT = Path(__file__).parents[3]
TRASH_SECONDS = 400.0  # MinIO may take five minutes to give back what was deleted
_numbers = itertools.count(1)


@dataclass
class Place:
    """One server, one proxy before it, and a folder for a job."""

    server: MinioServer
    proxy: S3Proxy
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    moments: dict[str, float] = field(default_factory=dict)
    acted: threading.Event = field(default_factory=threading.Event)

    def job(self, *, direct: bool = False, retry_seconds: float = 30.0, **given: object) -> S3Job:
        """direct: past the proxy, which hides from clients that nobody listens any more."""
        settings = self.server.settings
        if not direct:
            settings = dataclasses.replace(settings, endpoint=self.proxy.endpoint)
        use(self.monkeypatch, settings, retry_seconds=retry_seconds, read_timeout=5.0)
        return job_in(self.folder, self.server.settings, f"job-{next(_numbers)}", **given)

    def at(self, end: str, act: Callable[[], None]) -> Callable[[Request], None]:
        """`act` once, when a request for a key with this end comes by."""

        def hook(request: Request) -> None:
            if request.key.endswith(end) and request.method == "PUT" and "seen" not in self.moments:
                self.moments["seen"] = time.monotonic()
                try:
                    act()
                finally:
                    self.acted.set()

        return hook

    def restart(self) -> None:
        self.server.kill()
        self.server.start()
        self.moments["up"] = time.monotonic()

    def since(self, moment: str) -> float:
        seconds = time.monotonic() - self.moments[moment]
        print(f"{seconds:.1f} s since {moment}")  # for docs/faults.md: pytest -rP
        return seconds


@pytest.fixture
def place(minio: MinioServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with s3_proxy(minio.settings) as proxy:
        yield Place(minio, proxy, folder, monkeypatch)


def fails(job: Job, match: str) -> EnvironmentFailed:
    """The run ends with exit 3, one line, and without output."""
    with pytest.raises(EnvironmentFailed, match=match) as caught:
        job.go()
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "end",
    ["plan.json", "commit/map-1", "maps", "commit/reduce-0", "output-00001.txt", "_SUCCESS"],
    ids=["plan", "map", "seal", "reduce", "promote", "success"],
)
def test_S1_the_store_is_killed_and_started_again_in_each_phase(
    place: Place, expected: list[bytes], end: str, moment: str
) -> None:
    """By SIGKILL, just before a request is applied, or when it is and nobody was told."""
    job = place.job()
    setattr(place.proxy, moment, place.at(end, place.restart))
    summary = job.go()
    took = place.since("up")
    job.check(summary, expected, place.proxy)
    assert summary.lost_workers == 0
    assert summary.attempts == len(job.committed()), "nothing ran twice"
    assert took < 20, "the whole rest of the run; about 1 s on an idle machine"


def test_S1_a_store_that_stays_away_ends_the_run_which_can_be_resumed(
    place: Place, expected: list[bytes]
) -> None:
    job = place.job(direct=True, retry_seconds=2.0, lease=1.0)
    server, held = place.server, job.hold()

    def kill_before_the_last_map(_: LocalRun, event: pb.WatchEvent) -> None:
        if "seen" not in place.moments and event.progress.committed == MAPS - 1:
            place.moments["seen"] = time.monotonic()
            server.kill()
            held.unlink()

    try:
        with pytest.raises(EnvironmentFailed, match="connection refused: is the store") as caught:
            job.go(kill_before_the_last_map)
        took = place.since("seen")
    finally:
        server.start()
    assert caught.value.exit_code == 3
    assert "check the store, then resume the run" in str(caught.value)
    assert job.summary is not None
    assert job.summary.state == "failed"
    assert 2.0 <= took < 30, "the budget, and a little more"
    assert not job.has_output()

    before = job.committed()
    assert before
    use(place.monkeypatch, server.settings)
    job.resumed = True
    summary = job.go()
    job.check(summary, expected, None)
    assert summary.attempts == len(job.committed()) - len(before), "0 committed tasks ran again"


def test_S1_a_store_that_goes_while_no_task_needs_it_is_missed_too(place: Place) -> None:
    """A mapper goes on for ever; the master looks at the store from time to time."""
    job = place.job(direct=True, retry_seconds=1.0, lease=1.0)
    job.hold()

    def kill(_: LocalRun, event: pb.WatchEvent) -> None:
        if "seen" not in place.moments and event.progress.committed == MAPS - 1:
            place.moments["seen"] = time.monotonic()
            place.server.kill()

    try:
        with pytest.raises(EnvironmentFailed, match="connection refused: is the store running"):
            job.go(kill)
        assert place.since("seen") < 15
    finally:
        place.server.start()
    assert not job.has_output()


def test_S7_credentials_that_are_revoked_end_the_run(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_minio(tmp_path / "own") as server, s3_proxy(server.settings) as proxy:
        server.make_bucket(BUCKET)
        place = Place(server, proxy, folder, monkeypatch)
        job = place.job(lease=1.0)
        old = server.settings

        def revoke() -> None:
            server.kill()
            server.settings = dataclasses.replace(old, access_key="somebody-else")
            server.start()

        proxy.before = place.at("commit/map-1", revoke)
        fails(job, "access denied: the server does not know GOMR_S3_ACCESS_KEY")
        assert place.since("seen") < 30
        job.truth = job_in(folder, server.settings, job.prefix).truth
        assert not job.has_output()


@pytest.mark.parametrize("end", ["commit/map-1", "commit/reduce-0", "output-00001.txt"])
def test_S7_a_bucket_that_is_removed_ends_the_run(place: Place, end: str) -> None:
    job = place.job(lease=1.0)
    place.proxy.before = place.at(end, lambda: place.server.remove_bucket(BUCKET))
    try:
        fails(job, "bucket does not exist|is gone from s3://|is missing|was there and is gone")
        assert place.since("seen") < 30
    finally:
        if "seen" in place.moments:  # the run may be over before MinIO answers that it is removed
            assert place.acted.wait(30)
            place.server.make_bucket(BUCKET)
    assert not job.has_output()


@pytest.mark.parametrize("end", ["commit/map-1", "maps", "commit/reduce-0", "_SUCCESS"])
def test_S7_a_store_that_forgets_everything_ends_the_run(place: Place, end: str) -> None:
    """As when a volume is lost: the bucket is there again, with nothing in it."""
    job = place.job(lease=1.0)

    def forget() -> None:
        place.server.remove_bucket(BUCKET)
        place.server.make_bucket(BUCKET)

    place.proxy.before = place.at(end, forget)
    with pytest.raises(GomrError) as caught:
        job.go()
    assert caught.value.exit_code == 3, caught.value
    assert "seen" in place.moments
    assert not job.has_output()


def test_S5_a_full_store_ends_the_run_and_can_be_cleaned(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_minio(tmp_path / "own", small=96) as server, s3_proxy(server.settings) as proxy:
        server.make_bucket(BUCKET)
        place = Place(server, proxy, folder, monkeypatch)
        job = place.job(retry_seconds=3.0)
        ballast = job_in(folder, server.settings, "ballast").truth

        def fill() -> None:
            numbers = itertools.count()
            for size in (4 << 20, 64 << 10, 1 << 10, 1 << 10):
                with contextlib.suppress(GomrError):
                    while True:
                        ballast.put(f"ballast/{next(numbers)}", os.urandom(size))

        proxy.before = place.at("commit/map-0", fill)
        fails(job, "disk is full")
        assert place.since("seen") < 60
        assert not job.has_output()
        job.truth.delete(layout.run_prefix(job.run))
        assert job.keys() == []
        ballast.delete("ballast/")

        def has_room() -> bool:  # MinIO looks at its disk from time to time only
            try:
                ballast.put("ballast/0", bytes(4 << 20))
            except GomrError:
                return False
            return True

        server.wait_until(has_room, TRASH_SECONDS)
        again = place.job()
        assert again.go().state == "succeeded", "there is room again"


def test_N2_a_worker_cut_off_from_the_store_is_passed_over(
    place: Place, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker 0 alone reaches the store by the proxy, which drops what it writes."""
    job = place.job(direct=True, retry_seconds=1.0)
    launch = LocalRun._launch

    def launched(run: LocalRun, name: str, module: str, *arguments: str) -> None:
        with monkeypatch.context() as patch:
            if name == "worker-0":
                patch.setenv("GOMR_S3_ENDPOINT", place.proxy.endpoint)
            launch(run, name, module, *arguments)

    monkeypatch.setattr(LocalRun, "_launch", launched)
    place.proxy.rule = always(DROP, "put")
    held, dropped = job.hold(), place.proxy.record.landed

    def go_on_when_both_have_work(_: LocalRun, event: pb.WatchEvent) -> None:
        progress = event.progress
        if dropped["drop"] or (progress.workers == 2 and progress.committed == MAPS - 1):
            held.unlink(missing_ok=True)

    summary = job.go(go_on_when_both_have_work)
    job.check(summary, expected, None)
    assert dropped["drop"] > 0
    failed = [line for line in job.log_lines() if "failed on" in line]
    assert failed
    assert all("cannot write" in line for line in failed)
    assert len(failed) <= 2 * 3, "quarantined after three tasks"


def test_S9_leftovers_and_foreign_objects_do_no_harm(place: Place, expected: list[bytes]) -> None:
    """More than a page of them, under every prefix that a master lists."""
    job = place.job()
    run = job.run
    other = layout.run_prefix("run-10")
    for n in range(3):
        job.truth.put(f"{layout.epochs(run)}foreign-{n}", b"x")
        job.truth.put(f"{layout.commits(run)}foreign-{n}", b"{}")
        job.truth.put(f"{layout.data(run)}map-0/1-old/map", b"garbage")
        job.truth.put(f"{layout.output_prefix(run)}notes-{n}", b"mine")
        job.truth.put(f"{other}commit/map-{n}", b"another run's")
    for n in range(1_050):
        job.truth.put(f"{layout.commits(run)}zz/{n:04}", b"x")

    def kill_the_master() -> None:
        assert job.live is not None
        os.kill(job.live.pids["master"], signal.SIGKILL)

    place.proxy.before = place.at("commit/reduce-0", kill_the_master)
    summary = job.go()
    assert any("master 2 goes on" in line for line in job.log_lines()), "it has read the pages"
    assert job.parts(summary) == expected
    commits = [name for name in job.committed() if "foreign" not in name and "zz" not in name]
    assert len(commits) == 6
    assert job.has_output()
    success = job.truth.get(layout.success(run))
    assert b"notes" not in success
    keys = job.keys()
    maps = [key for key in keys if "/data/map-" in key and "old" not in key]
    assert len(maps) == MAPS, "committed tasks were not run again"
    assert len([key for key in keys if key.startswith(other)]) == 3


def test_S8_a_worker_killed_while_it_uploads_leaves_parts_that_the_cleanup_aborts(
    place: Place,
) -> None:
    dice = random.Random(8)
    words = [f"{dice.getrandbits(256):x}" for _ in range(200_000)]
    job = place.job(mappers=1)
    job.text = "".join(f"{word}\n" for word in words)
    killed: list[str] = []

    def kill_the_uploader(request: Request) -> None:
        if request.query.get("partNumber") == ["2"] and not killed:
            assert job.live is not None
            (folder,) = (job.live._scratch).glob("w*/map-0-*")
            killed.append(folder.parent.name.replace("w", "worker-"))
            os.kill(job.live.pids[killed[0]], signal.SIGKILL)

    place.proxy.before = kill_the_uploader
    summary = job.go()
    assert killed
    assert summary.lost_workers == 1
    lines = b"".join(job.parts(summary)).decode().splitlines()
    assert sorted(lines) == sorted(f"{word}\t1" for word in words)
    keys = {upload.key for upload in place.server.uploads(BUCKET, job.prefix)}
    assert len(keys) == 1
    assert "/data/map-0/1-" in keys.pop()
    job.truth.delete(layout.run_prefix(job.run))
    assert place.server.uploads(BUCKET, job.prefix) == []


FULL = """
set -u
mount -t tmpfs -o size=12m tmpfs .gomr || exit 99
"$1" worker.py --input input.txt --workers 2 --reducers 2 --run-id full --output out
echo "exit $?" >&2
find .gomr -name _SUCCESS >&2
"$1" -m flows.gomr clean --all
echo "clean $?" >&2
find .gomr -type f -size +0 >&2
echo "two words" > input.txt
"$1" worker.py --input input.txt --workers 2 --reducers 2 --run-id again --output out
echo "again $?" >&2
"""


def test_S5_a_full_directory_ends_the_run_and_can_be_cleaned(tmp_path: Path) -> None:
    """A store of 12 MB, by the real commands, on a disk that only they see."""
    (tmp_path / "worker.py").write_text(word_count())
    dice = random.Random(5)
    lines = (" ".join(f"{dice.getrandbits(64):x}" for _ in range(8)) for _ in range(150_000))
    (tmp_path / "input.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / ".gomr").mkdir()
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", FULL, "sh", sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    before, _, after = done.stderr.partition("exit 3\n")
    assert after, done.stderr
    assert "No space left" in before or "disk is full" in before
    assert "Traceback" not in before
    assert after.split("\n")[0].startswith("clean 0") or "removed" in after, after
    assert "_SUCCESS" not in after.partition("clean 0")[0]
    assert after.rstrip().endswith("again 0"), after
    assert (tmp_path / "out" / "_SUCCESS").exists()
