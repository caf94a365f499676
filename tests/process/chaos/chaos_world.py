"""One run under chaos as its driver sees it: its processes, its store, and how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gomr_runtime.errors import EXIT_CONFLICT, EXIT_OK
from gomr_runtime.model import layout
from gomr_runtime.runs.claims import logs
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.system.process_tree import children_of, descendants_of
from tests.process.chaos.chaos_jobs import KINDS, MAPS, ROOT, TEXT, Kind
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_faults import Fault
from tests.process.support.s3.s3_http import Request
from tests.process.support.s3.s3_proxy import S3Proxy

BUCKET = "gomr-chaos"
RUN = "chaos"
LEASE, HEARTBEAT = 1.5, 0.2
GONE_SECONDS = 15.0  # for what lost its launcher to end by itself
LOOK_EVERY = 0.1
CHANGES = ("create", "put", "copy", "delete")


@dataclass(frozen=True)
class Setting:
    """What a seed runs: the store, the job, how many workers, and whether tasks get backups."""

    over_s3: bool
    kind: str
    workers: int
    backups: bool
    attempts: int  # that a task may fail; it grows with the children that are to be killed

    def __str__(self) -> str:
        store = "MinIO" if self.over_s3 else "directory"
        return f"{store}, {self.kind}, {self.workers} workers{', backups' * self.backups}"


@dataclass
class Burst:
    """The next `left` requests that change the store, or all of them, get the fault."""

    fault: Fault
    left: int
    changes_only: bool = False
    hits: int = 0


class Proxied:
    """The proxy before MinIO: bursts of faults, and when things were created by it."""

    def __init__(self, server: MinioServer) -> None:
        self.proxy = S3Proxy(server.settings, self._rule)
        self.proxy.before = self._before
        self.proxy.after = self._after
        self.bursts: list[Burst] = []
        self.seen = 0  # requests but those that only time brings
        self.asked: dict[str, int] = {}  # key to ns since the epoch, before the server knew of it
        self.created: dict[str, int] = {}  # the same, when it had answered
        self._lock = threading.Lock()

    def _rule(self, request: Request) -> Fault | None:
        with self._lock:
            self.seen += request.kind != "list"
            for burst in self.bursts:
                if burst.left and (request.kind in CHANGES or not burst.changes_only):
                    burst.left -= 1
                    burst.hits += 1
                    return burst.fault
        return None

    def _before(self, request: Request) -> None:
        if request.kind == "create":
            self.asked.setdefault(request.key, time.time_ns())

    def _after(self, request: Request) -> None:
        if self.proxy.record.created[request.key]:
            self.created.setdefault(request.key, time.time_ns())


@dataclass
class World:
    """`folder` and `temporary` are this run's own. Use as a context manager."""

    setting: Setting
    prefix: str
    server: MinioServer | None
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gomr-chaos-")))
    temporary: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="c-", dir="/tmp")))
    launcher: subprocess.Popen[bytes] | None = None
    starts: int = 0
    looked: float = 0.0
    known: dict[int, float] = field(default_factory=dict)  # every pid seen, and when it began
    busy: set[int] = field(default_factory=set)  # dead, or victims of a fault that is not over
    damaged: set[str] = field(default_factory=set)  # maps whose stored output was changed
    took_over: bool = False  # a second master was started: the launcher may end with 5
    second: subprocess.Popen[bytes] | None = None
    lifelines: list[socket.socket] = field(default_factory=list)
    launcher_killed: bool = False
    end_by: float = 0.0  # when all that a killed launcher had started must be gone, 0 for any time
    kills: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> World:
        self.proxied = Proxied(self.server) if self.server else None
        (self.folder / "worker.py").write_text(self.kind.source(self.folder))
        (self.folder / "input.txt").write_text(TEXT)
        self.root = self.folder / "store"
        given = {
            "run": RUN,
            "options": {
                "store": f"s3://{BUCKET}/{self.prefix}" if self.server else str(self.root),
                "workers": self.setting.workers,
                "mappers": MAPS,
                "reducers": self.kind.reduces or 1,
                "param": {"pace": "0.005"},
            },
            "job": {
                "lease": LEASE,
                "heartbeat": HEARTBEAT,
                "backups": self.setting.backups,
                "backup_floor": 0.3,
                "max_attempts": self.setting.attempts,
            },
        }
        (self.folder / "run.json").write_text(json.dumps(given))
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever still runs was reported by then."""
        for process in (self.launcher, self.second):
            if process is not None:
                process.kill()
                process.wait()
        for left in self.left_running():
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        for lifeline in self.lifelines:
            lifeline.close()
        if self.proxied is not None:
            self.proxied.proxy.close()

    def remove(self) -> None:
        shutil.rmtree(self.folder)
        shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def kind(self) -> Kind:
        return KINDS[self.setting.kind]

    # The launcher.

    def launch(self) -> None:
        """Start the run, or go on with it."""
        command = [sys.executable, "-m", "tests.process.chaos.chaos_launcher"]
        with (self.folder / f"launcher-{self.starts}.log").open("wb") as log:
            self.launcher = subprocess.Popen(
                [*command, str(self.folder), str(self.starts)],
                cwd=ROOT,
                env={**os.environ, **self.environment(), "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    def environment(self) -> dict[str, str]:
        if self.server is None or self.proxied is None:
            return {}
        return {
            "GOMR_S3_ENDPOINT": self.proxied.proxy.endpoint,
            "GOMR_S3_REGION": self.server.settings.region,
            "GOMR_S3_ACCESS_KEY": self.server.settings.access_key,
            "GOMR_S3_SECRET_KEY": self.server.settings.secret_key,
            "GOMR_S3_READ_TIMEOUT": "2",
            "GOMR_S3_RETRY_SECONDS": "60",
        }

    def ended(self) -> int:
        """The launcher's exit code."""
        assert self.launcher is not None
        return self.launcher.wait()

    def end_second(self) -> str:
        """The second master ends by itself when the run is over; "" when it did."""
        if self.second is None:
            return ""
        try:
            code = self.second.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the second master runs {GONE_SECONDS:.0f} s after the end of the run"
        return "" if code in {EXIT_OK, EXIT_CONFLICT} else f"the second master ended with {code}"

    def last_lines(self, count: int) -> str:
        """Of the launcher and the masters."""
        paths = [*self.folder.glob("launcher-*.log"), *self.log_folder.glob("master*.log")]
        tails = (path.read_text(errors="replace").splitlines()[-count:] for path in paths)
        return "\n".join(
            f"{path.name}: {' | '.join(t)}" for path, t in zip(paths, tails, strict=True)
        )

    def pause(self, seconds: float = 0.02) -> None:
        """Until the launcher ends, or so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert self.launcher is not None
            if self.launcher.returncode is None:
                self.launcher.wait(seconds)
            else:
                threading.Event().wait(seconds)

    def settled(self) -> bool:
        """Nothing is left to wait for before a run whose launcher has ended goes on."""
        if not self.end_by:
            return True
        return not self.left_running() or time.monotonic() > self.end_by

    @property
    def running(self) -> bool:
        return self.launcher is not None and self.launcher.poll() is None

    # Its processes.

    def look(self) -> None:
        """Remember every process of the run; those that live for a moment may be missed."""
        if time.monotonic() < self.looked + LOOK_EVERY:
            return
        self.looked = time.monotonic()
        for top in (self.launcher, self.second):
            if top is not None and top.returncode is None:
                for pid in (top.pid, *descendants_of(top.pid)):
                    if pid not in self.known and (began := began_at(pid)) is not None:
                        self.known[pid] = began

    def masters(self) -> list[int]:
        """The launcher's one, if nothing is being done to it."""
        return self._named("master")

    def workers(self) -> list[int]:
        """Those that nothing else is being done to."""
        return self._named("worker")

    def children(self, worker: int) -> list[int]:
        """The processes of a worker that run user code: children of its forkserver."""
        found = (child for below in children_of(worker) for child in children_of(below))
        return [child for child in found if child not in self.busy]

    def serves(self, pid: int, address: Path) -> bool:
        """The master has taken its epoch and listens there."""
        with contextlib.suppress(psutil.Error):
            sockets = psutil.Process(pid).net_connections(kind="unix")
            return any(str(found.laddr) == str(address) for found in sockets)
        return False

    def below(self, pid: int) -> list[int]:
        return descendants_of(pid)

    def _named(self, name: str) -> list[int]:
        if self.launcher is None:
            return []
        found = []
        for pid in sorted(set(children_of(self.launcher.pid)) - self.busy):
            with contextlib.suppress(OSError):
                told = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                if re.search(rb"gomr[-_](runtime\.)?" + name.encode(), told) and alive(pid):
                    found.append(pid)
        return found

    def left_running(self) -> list[psutil.Process]:
        """Every process of the run, seen before or found by its folders, that is alive."""
        found = []
        for process in psutil.process_iter():
            try:
                seen = self.known.get(process.pid) == began_at(process.pid)
                told = [*process.cmdline(), process.environ().get("TMPDIR", "")]
            except psutil.AccessDenied:
                told = []
            except psutil.NoSuchProcess:
                continue
            ours = (str(self.folder), str(self.temporary))
            if seen or any(path in word for word in told for path in ours):
                found.append(process)
        beside = {os.getpid(), self.second.pid if self.second else 0}
        return [process for process in found if process.pid not in beside]

    # How far it is.

    @property
    def store(self) -> Store:
        """The truth, past the proxy."""
        if self.server is None:
            return open_store(str(self.root))
        settings = dataclasses.replace(self.server.settings, retry_seconds=20.0)
        return S3Store(BUCKET, self.prefix, settings)

    def has(self, key: str) -> bool:
        if self.proxied is not None:
            return f"{self.prefix}/{key}" in self.proxied.created
        return (self.root / key).exists()

    @property
    def committed(self) -> set[str]:
        """Tasks, and generations of tasks."""
        if self.proxied is not None:
            above = f"{self.prefix}/{layout.commits(RUN)}"
            keys = list(self.proxied.created)
            return {key.removeprefix(above) for key in keys if key.startswith(above)}
        with contextlib.suppress(FileNotFoundError):
            return set(os.listdir(self.root / layout.commits(RUN)))
        return set()

    def generations(self, task: str) -> int:
        """How often the task was committed, each time but the first because of damage."""
        return sum(name.partition(".")[0] == task for name in self.committed)

    @property
    def epochs(self) -> int:
        if self.proxied is not None:
            above = f"{self.prefix}/{layout.epochs(RUN)}"
            return sum(key.startswith(above) for key in list(self.proxied.created))
        with contextlib.suppress(FileNotFoundError):
            return len(os.listdir(self.root / layout.epochs(RUN)))
        return 0

    @property
    def over(self) -> bool:
        """It is decided how the run ends."""
        return not self.running or self.has_ended()

    def has_ended(self) -> bool:
        """The run has its output, whoever is there to see it."""
        return self.has(layout.success(RUN))

    @property
    def taken(self) -> int:
        """Records that were begun so far, over all attempts."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "taken").stat().st_size
        return 0

    @property
    def requests(self) -> int:
        return self.proxied.seen if self.proxied else 0

    @property
    def log_folder(self) -> Path:
        return self.folder / "logs" if self.server else logs(self.root, RUN)

    def said(self, words: str, process: str = "*") -> int:
        """How often a process of the run has logged the words."""
        texts = (
            path.read_text(errors="replace") for path in self.log_folder.glob(f"{process}.log")
        )
        return sum(text.count(words) for text in texts)


def began_at(pid: int) -> float | None:
    """None when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def state_of(pid: int) -> str:
    """As in /proc: `T` for stopped, `Z` for dead, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return state_of(pid) not in {"", "Z", "X"}


def send(pid: int, number: signal.Signals) -> bool:
    """False when it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
