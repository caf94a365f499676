"""A run on a cluster: its objects made, watched, ended.

How the run goes is told by its master, through a port-forward that outlives it. The pods tell when
no master will come any more. The store has the last word: a summary there is how the run ended.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.submit import submit
from gomr_runtime.runs.watched_run import LATE_SUMMARY, WatchedRun
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import stored_summary
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
    from k8s.api.connection import Cluster

MASTER_PORT = 50051
SUMMARY_SECONDS = 10.0  # that a store may take to say how the run ended
PATIENCE = 300.0  # seconds without a master that answers, while its pod is well


class ClusterRun(WatchedRun["Happening | BaseException"]):
    """One run's objects and what is heard from them: a `RunHandle` after `start` or `attach`.

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
        super().__init__()
        self.job = job
        self._program = program
        self._cluster = cluster
        self._administrator = administrator or store
        self._store = open_store(store.url, store.here)
        # A store that is away is what ended the run: it is not waited for once more.
        short = replace(store.here, retry_seconds=SUMMARY_SECONDS, read_timeout=SUMMARY_SECONDS)
        self._store_at_the_end = open_store(store.url, short)
        self._pods = pods
        self._ended = MasterEnded("its master ended", "")
        self._forward: PortForward | None = None
        self._watching: concurrent.futures.Future[None] | None = None
        self._closed = False

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

    def _message_of(
        self, happening: pb.WatchEvent | Happening | BaseException
    ) -> pb.WatchEvent | None:
        if isinstance(happening, GomrError):
            self.summary = self._stored_or(happening)
            return None
        if isinstance(happening, BaseException):
            raise happening
        if isinstance(happening, MasterEnded):
            self._ended = happening
            self._deadline = time.monotonic() + LATE_SUMMARY
            return None
        return _message(happening) if isinstance(happening, Told) else happening

    def _unheard_summary(self) -> Summary:
        """The run is over as far as the cluster knows; how it ended is in the store."""
        ended = self._ended
        last = f": {last_line(ended.log)}" if ended.log else ""
        return self._stored_or(
            EnvironmentFailed(f"run {self.job.run}: {ended.reason}{last}", detail=ended.log)
        )

    def _stored_or(self, otherwise: GomrError) -> Summary:
        """How the run ended by its store; raises `otherwise` where that does not tell."""
        with contextlib.suppress(GomrError):
            if (summary := stored_summary(self._store_at_the_end, self.job.run)) is not None:
                return summary
        raise otherwise

    def _hang_up(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._client is not None:
            self._client.close()
        if self._forward is not None:
            self._forward.close()


def _message(happening: Told) -> pb.WatchEvent:
    """A trouble as a message with a log line, which has no number: no master sent it."""
    from gomr_runtime._pb import run_pb2 as pb

    trouble = happening.trouble
    text = "\n".join(filter(None, (trouble.message, trouble.detail)))
    return pb.WatchEvent(log=pb.LogLine(level="warning", text=text))
