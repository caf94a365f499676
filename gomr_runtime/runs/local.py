"""A run on this machine: one master and some workers as real processes, no cluster.

Does what Kubernetes does: starts a dead worker or master again, within budgets, and leaves
nothing behind, however the launcher ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from gomr_runtime.errors import (
    EXIT_CONFLICT,
    EXIT_ENVIRONMENT,
    EXIT_OK,
    EXIT_SIGTERM,
    EXIT_USAGE,
    EnvironmentFailed,
    GomrError,
    RunConflict,
)
from gomr_runtime.model.errors_of import error_of, summary_of
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.claims import announce, scratch
from gomr_runtime.runs.local_folder import CLIENT_TOKEN, WORKER_TOKEN, make_folder
from gomr_runtime.runs.submit import submit
from gomr_runtime.runs.watched_run import LATE_SUMMARY, WatchedRun
from gomr_runtime.storage.directory import path_of
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import stored_summary
from gomr_runtime.system.own_files import make_private
from gomr_runtime.system.processes import MARK, LocalProcess, end_all, end_marked, part_of
from gomr_runtime.system.unforeseen import check_address_space
from gomr_runtime.user_code.program_files import ProgramFiles

if TYPE_CHECKING:
    from gomr_runtime._pb import run_pb2 as pb

MASTER_STARTS = 3
QUICK_DEATH = 2.0  # seconds; a worker that dies younger did nothing
CANCEL_SECONDS = 10.0  # for a cancelled run to end by itself
SHORT_PATH = 50  # bytes of a path below which sockets of ours and of multiprocessing fit
TAIL = 20  # lines of a log that are shown


class LocalRun(WatchedRun["LocalProcess | Exception"]):
    """One run's processes. Use as a context manager: everything is ended at its end.

    Raises RunConflict when the run id is taken in the store, EnvironmentFailed as it demands.
    """

    def __init__(
        self,
        job: JobSpec,
        program: ProgramFiles,
        store_url: str,
        *,
        python: str = sys.executable,
        log_folder: Path | None = None,
    ) -> None:
        """program: what workers run; its sha256 is `job.worker_sha256`. python: of workers and
        master. log_folder: where their stderr goes, by default beside the run's scratch
        space, which goes with the run."""
        super().__init__()
        check_address_space()
        self.job = job
        self._program = program
        self._store = open_store(store_url)
        self._python = python
        self._folder, self._lock = make_folder(_short_folder())
        self._logs = log_folder or self._folder / "logs"
        self._scratch = self._scratch_folder()
        self._address = f"unix:{self._folder}/master"
        self._lifeline_read, self._lifeline = os.pipe()
        self._processes: list[LocalProcess] = []
        self._master_starts = 0
        self._quick_deaths: dict[int, int] = {}
        self._refused: LocalProcess | None = None
        self._old_handler: signal.Handlers | Callable[[int, FrameType | None], object] | None = None
        self._closed = False

    def __enter__(self) -> LocalRun:
        try:
            self._handle_sigterm()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                self.interrupt()
        finally:
            self.close()

    def start(self) -> None:
        """Write job and program to the store, then start every process."""
        submit(self._store, self.job, self._program)
        make_private(self._logs)
        make_private(self._scratch)
        token = _write_token(self._folder / CLIENT_TOKEN)
        _write_token(self._folder / WORKER_TOKEN)
        self._start_master()
        for slot in range(self.job.workers):
            self._start_worker(slot)
        if (root := self._store_folder()) is not None:
            announce(root, self.job.run, self._folder)
        from gomr_runtime.rpc.client import RunClient  # gRPC is imported while they start

        self._client = RunClient(self._address, token, self.job.run)
        self._client.forward(self._happenings.put)

    def close(self) -> None:
        """End every process and remove what the run kept outside its store. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._client is not None:
                self._client.close()
            end_all(self._processes)
            self._end_left("")
        finally:
            for end in (self._lifeline, self._lifeline_read):
                os.close(end)
            shutil.rmtree(self._scratch, ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            if self._old_handler is not None:
                signal.signal(signal.SIGTERM, self._old_handler)

    @property
    def pids(self) -> dict[str, int]:
        """The live processes by name: `master`, `worker-0`, ..."""
        return {process.name: process.pid for process in self._processes if process.alive}

    # Starting.

    def _start_master(self) -> None:
        self._master_starts += 1
        Path(self._folder, "master").unlink(missing_ok=True)
        self._launch(
            "master",
            "gomr_runtime.master",
            "--listen",
            self._address,
            "--token-file",
            str(self._folder / CLIENT_TOKEN),
            "--worker-token-file",
            str(self._folder / WORKER_TOKEN),
            "--address-file",
            str(self._folder / "address"),
        )

    def _start_worker(self, slot: int) -> None:
        name = f"worker-{slot}"
        self._end_left(name)
        space = self._scratch / f"w{slot}"
        shutil.rmtree(space, ignore_errors=True)
        space.mkdir()
        self._launch(
            name,
            "gomr_runtime.worker",
            "--master",
            self._address,
            "--token-file",
            str(self._folder / WORKER_TOKEN),
            "--scratch",
            str(space),
            "--sockets",
            str(self._folder),
        )

    def _launch(self, name: str, module: str, *arguments: str) -> None:
        command = [
            *(self._python, "-P", "-m", module, "--run", self.job.run),
            *("--store", self._store.url, "--lifeline", str(self._lifeline_read), *arguments),
        ]
        process = LocalProcess(
            name,
            command,
            self._logs / f"{name}.log",
            self._lifeline_read,
            {
                "TMPDIR": str(self._folder),
                "GRPC_ENABLE_FORK_SUPPORT": "0",
                MARK: part_of(self._store.url, self.job.run, self._folder.name, name),
            },
            self._happenings.put,
        )
        self._processes.append(process)

    def _end_left(self, name: str) -> None:
        """End what a dead process, or all of them ("") left running. They see to that themselves
        unless they are killed together with what they had started."""
        names = (self._folder.name, name) if name else (self._folder.name,)
        end_marked(part_of(self._store.url, self.job.run, *names))

    def _scratch_folder(self) -> Path:
        root = self._store_folder()
        return (
            self._folder / "scratch"
            if root is None
            else scratch(root, self.job.run, self._folder.name)
        )

    def _store_folder(self) -> Path | None:
        """The store's own folder, where it has one."""
        url = self._store.url
        return path_of(url) if url.startswith("file:") else None

    # Reacting.

    def _react(self, process: LocalProcess) -> bool:
        """A process ended before we heard how the run did; True when all hope is gone."""
        if process.name == "master":
            return self._react_to_master(process)
        slot = int(process.name.removeprefix("worker-"))
        if process.returncode in {EXIT_OK, EXIT_USAGE, EXIT_ENVIRONMENT}:
            # It was told to end, or it says why it cannot work: the same would happen again.
            if process.returncode != EXIT_OK:
                self._refused = process
            return self._no_workers()
        young = process.seconds < QUICK_DEATH
        self._quick_deaths[slot] = self._quick_deaths.get(slot, 0) + 1 if young else 0
        if self._quick_deaths[slot] > self.job.max_lost:  # the master would have ended the run
            self._refused = process
            return self._no_workers()
        self._start_worker(slot)
        return False

    def _react_to_master(self, process: LocalProcess) -> bool:
        if process is not [p for p in self._processes if p.name == process.name][-1]:
            return False  # it gave way to the one after it
        summary = stored_summary(self._store, self.job.run)
        if summary is not None and summary.exit_code == process.returncode:
            return True  # the run is over, its last event may be on the way
        if process.returncode == EXIT_CONFLICT:
            raise RunConflict(
                f"run {self.job.run}: another master took over", detail=process.tail(TAIL)
            )
        if process.returncode == EXIT_USAGE or self._master_starts >= MASTER_STARTS:
            raise self._dead(process)
        self._start_master()
        return False

    def _message_of(
        self, happening: pb.WatchEvent | LocalProcess | Exception
    ) -> pb.WatchEvent | None:
        if isinstance(happening, Exception):
            raise happening
        if not isinstance(happening, LocalProcess):
            return happening
        if self._react(happening):
            self._deadline = self._deadline or time.monotonic() + LATE_SUMMARY
        return None

    def _unheard_summary(self) -> Summary:
        if (summary := stored_summary(self._store, self.job.run)) is not None:
            return summary
        raise self._dead(self._refused)

    def _no_workers(self) -> bool:
        return not any(p.alive for p in self._processes if p.name.startswith("worker"))

    def _dead(self, process: LocalProcess | None) -> GomrError:
        if (summary := stored_summary(self._store, self.job.run)) is not None:
            self.summary = summary
            if error := error_of(summary):
                return error
        if process is None:
            return EnvironmentFailed(f"run {self.job.run}: its processes ended without a summary")
        return EnvironmentFailed(
            f"run {self.job.run}: {process.name} {process.ending()}; its last lines follow",
            detail=process.tail(TAIL),
        )

    # Ending.

    def interrupt(self) -> None:
        """Let the master write down how the run ended, if it can within seconds."""
        if self.summary is not None:
            return
        with contextlib.suppress(GomrError):
            self.cancel("interrupted")
            deadline = time.monotonic() + CANCEL_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                try:
                    happening = self._happenings.get(timeout=left)
                except queue.Empty:
                    return
                if isinstance(happening, (LocalProcess, Exception)):
                    return
                if happening.WhichOneof("body") == "summary":
                    self.summary = summary_of(happening.summary)
                    return

    def _handle_sigterm(self) -> None:
        """SIGTERM ends the run as Ctrl-C does, unless the program handles it by itself."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._old_handler = signal.SIG_DFL
            signal.signal(signal.SIGTERM, _exit_on_sigterm)


def _write_token(path: Path) -> str:
    """A new token, in a file for this user alone."""
    token = secrets.token_urlsafe(32)
    path.touch(0o600)
    path.write_text(token)
    return token


def _short_folder() -> str:
    """Where sockets can lie: their paths have at most 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= SHORT_PATH else "/tmp"  # noqa: S108


def _exit_on_sigterm(_: int, __: FrameType | None) -> None:
    raise SystemExit(EXIT_SIGTERM)
