"""A run on a cluster: its objects made, watched, ended. The shape of `runs.local.LocalRun`.

How the run goes is told by its master, through a port-forward that outlives it. The pods tell when
no master will come any more. The store has the last word: a summary there is how the run ended.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model.job import JobSpec, Summary
from gomr_runtime.rpc.client import summary_of
from gomr_runtime.runs.submit import submit
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import read_summary
from gomr_runtime.user_code.program_files import ProgramFiles
from k8s.api.port_forward import PortForward
from k8s.manifest_objects import (
    COMPONENT,
    MINIO_ENDPOINT,
    MINIO_SELECTOR,
    RunPods,
    master_name,
    of_run,
)
from k8s.pods.state import is_running
from k8s.pods.trouble import last_line
from k8s.pods.watch import Happening, MasterEnded, PodWatch, Told
from k8s.run import run_objects
from k8s.store.access import StoreAccess
from k8s.store.run_login import master_settings
from k8s.store.worker_login import logins

if TYPE_CHECKING:
    from gomr_runtime._pb import run_pb2 as pb
    from gomr_runtime.rpc.client import RunClient
    from k8s.api.connection import Cluster

MASTER_PORT = 50051
SUMMARY_SECONDS = 10.0  # that a store may take to say how the run ended
LATE_SUMMARY = 5.0  # seconds for the last events after the master's end
PATIENCE = 300.0  # seconds without a master that answers, while its pod is well

OnEvent = Callable[["pb.WatchEvent"], None]


class ClusterRun:
    """One run's objects and what is heard from them. `start` or `attach`, then `watch`, `close`.

    Raises RunConflict when the run id is taken in the store, EnvironmentFailed as cluster and
    store demand.
    """

    def __init__(
        self,
        job: JobSpec,
        program: ProgramFiles,
        cluster: Cluster,
        store: StoreAccess,
        pods: RunPods,
        administrator: StoreAccess | None = None,
    ) -> None:
        """program: what workers run; its sha256 is `job.worker_sha256`. pods: of the same run.
        administrator: the store with the login that makes the pods' keys; None: as in `store`."""
        self.job = job
        self.summary: Summary | None = None
        self._program = program
        self._cluster = cluster
        self._administrator = administrator or store
        self._store = open_store(store.url, store.here)
        # A store that is away is what ended the run: it is not waited for once more.
        short = replace(store.here, retry_seconds=SUMMARY_SECONDS, read_timeout=SUMMARY_SECONDS)
        self._store_at_the_end = open_store(store.url, short)
        self._pods = pods
        self._happenings: queue.SimpleQueue[pb.WatchEvent | Happening | BaseException] = (
            queue.SimpleQueue()
        )
        self._ended: MasterEnded | None = None
        self._deadline: float | None = None  # once nothing more can come but the last events
        self._client: RunClient | None = None
        self._forward: PortForward | None = None
        self._watching: concurrent.futures.Future[None] | None = None
        self._closed = False

    def __enter__(self) -> ClusterRun:
        try:
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
        self.close()

    def start(self) -> None:
        """Write job and program to the store, then make the run's objects."""
        submit(self._store, self.job, self._program)
        pods = self._pods
        if pods.s3.endpoint == MINIO_ENDPOINT:  # a store of one's own has its own ways
            workers, reader = logins(self._administrator, self.job.run)
            master = master_settings(self._administrator, self.job.run)
            pods = replace(pods, s3=master, worker_s3=workers, reader_s3=reader)
        self._listen(run_objects.deploy(self._cluster, pods))

    def attach(self) -> bool:
        """Watch the run that is there already; False when none of that name runs."""
        found = run_objects.find(self._cluster, self.job.run)
        if found is not None:
            self._listen(found)
        return found is not None

    def watch(self, on_event: OnEvent | None = None) -> Summary:
        """Block until the run is over, calling `on_event` in this thread; its summary.

        May be called again after `on_event` raised. Raises the error the run ended with
        (`summary` holds the rest), or EnvironmentFailed with the cause when its pods cannot work.
        """
        while True:
            try:
                happening = self._happenings.get(timeout=self._patience())
            except queue.Empty:
                return self._without_master()
            if isinstance(happening, GomrError):
                return self._finished(self._stored_summary(), happening)
            if isinstance(happening, BaseException):
                raise happening
            if isinstance(happening, MasterEnded):
                self._ended = happening
                self._deadline = time.monotonic() + LATE_SUMMARY
            elif isinstance(happening, Told):
                if on_event is not None:
                    on_event(_told(happening))
            else:
                if on_event is not None:
                    on_event(happening)
                if happening.WhichOneof("body") == "summary":
                    return self._finished(summary_of(happening.summary), None)

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run; `watch` then raises Cancelled."""
        if self._client is not None:
            self._client.cancel(reason)

    def close(self) -> None:
        """Delete the run's objects, unless they are to be kept, and hang up. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self.summary is None:
            self._cluster.api.hurry()
        try:
            self._hang_up()
        finally:
            if not self._pods.keep:
                run_objects.delete(self._cluster, self.job.run)

    def leave(self) -> None:
        """Hang up and let the run go on."""
        self._closed = True
        self._hang_up()

    def _listen(self, deployed: run_objects.Deployed) -> None:
        run = self.job.run
        store = MINIO_SELECTOR if self._pods.s3.endpoint == MINIO_ENDPOINT else ""
        watch = PodWatch(self._cluster.api, run, self._happenings.put, store)
        self._watching = self._cluster.spawn(watch.run())
        self._watching.add_done_callback(self._watched)
        from gomr_runtime.rpc.client import RunClient  # gRPC is imported while the pods start
        from gomr_runtime.rpc.connection import Trust

        address = f"{master_name(run)}:{MASTER_PORT}"
        if not self._cluster.inside:
            selector = f"{of_run(run)},{COMPONENT}=master"
            self._forward = PortForward(self._cluster, selector, MASTER_PORT, usable=is_running)
            self._forward.open()
            address = self._forward.address
        trust = Trust(deployed.ca, master_name(run))
        self._client = RunClient(address, deployed.token, run, PATIENCE, trust)
        self._client.forward(self._happenings.put)

    def _watched(self, watching: concurrent.futures.Future[None]) -> None:
        """A defect of ours in watching the pods is not to be waited for in silence."""
        if not watching.cancelled() and (error := watching.exception()):
            self._happenings.put(error)

    def _patience(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _without_master(self) -> Summary:
        """The run is over as far as the cluster knows; how it ended is in the store."""
        assert self._ended is not None
        return self._finished(
            self._stored_summary(),
            EnvironmentFailed(
                f"run {self.job.run}: {self._ended.reason}"
                + (f": {last_line(self._ended.log)}" if self._ended.log else ""),
                detail=self._ended.log,
            ),
        )

    def _stored_summary(self) -> Summary | None:
        with contextlib.suppress(KeyError, GomrError):
            return read_summary(self._store_at_the_end, self.job.run)
        return None

    def _finished(self, summary: Summary | None, otherwise: GomrError | None) -> Summary:
        """The summary of a run that succeeded; raises how else it ended."""
        from gomr_runtime.model.errors_of import error_of

        if summary is None:
            assert otherwise is not None
            raise otherwise
        self.summary = summary
        if error := error_of(summary):
            raise error
        return summary

    def _hang_up(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._client is not None:
            self._client.close()
        if self._forward is not None:
            self._forward.close()


def _told(happening: Told) -> pb.WatchEvent:
    """A trouble as the log line of an event, which has no number: no master sent it."""
    from gomr_runtime._pb import run_pb2 as pb

    trouble = happening.trouble
    text = "\n".join(filter(None, (trouble.message, trouble.detail)))
    return pb.WatchEvent(log=pb.LogLine(level="warning", text=text))
