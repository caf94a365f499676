"""Runs on the test cluster through `ClusterRun`: a worker file and a text in, parts out."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.user_code.worker_file import inspect_worker
from k8s.api.connection import Cluster, connect
from k8s.images.build import build
from k8s.images.load import NodeLoader, loader_for, run_images
from k8s.images.plan import RunImages
from k8s.manifest_objects import RunPods, of_run
from k8s.run import run_objects
from k8s.run.cluster_run import ClusterRun
from k8s.store.minio import Minio, find_or_start
from k8s.store.uploads import upload
from tests.cluster.progress import wait_for
from tests.cluster.support.built.image_parts import base_image, plan_for
from tests.cluster.support.built.images import ensure_on_nodes
from tests.cluster.support.layout import CONTEXT
from tests.cluster.support.running_cluster import RunningCluster

OnEvent = Callable[[pb.WatchEvent], None]
NAMESPACE = "test-"  # how the name of a test's namespace begins
STORE_SIZE = 10**9
KINDS = "all,secret,networkpolicy"  # of everything that a run has
WORKER = """
import time
import gomr_runtime as gomr

def mapper(ctx, line: str) -> None:
    time.sleep(float(ctx.params.get("map", "0")))
    if "hold" in ctx.params:
        held = bytearray(int(ctx.params["hold"]))
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]) -> None:
    time.sleep(float(ctx.params.get("reduce", "0")))
    ctx.emit(key, sum(values))

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""


@dataclass(frozen=True)
class Program:
    """A worker file's text, and counts of tasks where `Runs.make` has others."""

    source: str
    counts: dict[str, int] = field(default_factory=dict)


WORD_COUNT = Program(WORKER)
TEXT = "".join(f"the word{n % 97} fox{n % 31} number {n % 7}\n" for n in range(1200))
SLOW = {"map": "0.01", "reduce": "0.01"}  # about 6 s of map and 1 s of reduce on two workers


def counted(text: str) -> dict[str, int]:
    """What the parts of a word count over the text hold."""
    return dict(Counter(text.split()))


@contextlib.contextmanager
def namespace_for(
    cluster: RunningCluster, namespaces: dict[str, str], test: str, *labels: str
) -> Iterator[str]:
    """A namespace for a test or a module; `namespaces` is the fixture of that name."""
    name = f"{NAMESPACE}{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    if labels:
        cluster.kubectl("label", "namespace", name, *labels)
    try:
        yield name
    finally:
        namespaces[name] = test
        cluster.kubectl("delete", "namespace", name, "--wait=false")
        # Nothing that a test left deserves the half minute of a pod that ignores its end.
        pods = ("delete", "pods", "--all", "--grace-period=1", "--wait=false")
        cluster.kubectl(*pods, f"--namespace={name}")


def images_for(folder: Path, source: str = WORKER) -> RunImages:
    """The images of a worker file, on the nodes."""
    worker = folder / "worker.py"
    worker.write_text(source, encoding="utf-8")
    loader = loader_for(CONTEXT)
    assert isinstance(loader, NodeLoader)
    plan = plan_for(worker, base_image())
    if missing := loader.missing(plan):
        build(plan, loader.to_build(plan, missing), print)
        loader.load(plan, print)
    return run_images(plan, loader)


def warnings_of(cluster: Cluster) -> list[str]:
    """Fills with what the API server warns of from now on, such as Pod Security."""
    found: list[str] = []

    async def listen(response: httpx.Response) -> None:
        found.extend(response.headers.get_list("warning"))

    cluster.api.access.client.event_hooks["response"].append(listen)
    return found


@dataclass
class Runs:
    """Makes runs in one namespace. `parts` of a run that succeeded are bytes by name."""

    administrator: RunningCluster
    cluster: Cluster
    minio: Minio
    images: RunImages
    folder: Path
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = open_store(self.minio.access.url, self.minio.access.here)

    @property
    def worker(self) -> Path:
        return self.folder / "worker.py"

    def make(
        self, text: str = TEXT, *, pods: dict[str, Any] | None = None, **job: Any
    ) -> ClusterRun:
        """A run that is not started. pods, job: fields of RunPods and of JobSpec."""
        run = job.pop("run", f"test-{secrets.token_hex(4)}")
        source = self.folder / f"{run}.txt"  # its own: what changes while it is read is refused
        source.write_text(text, encoding="utf-8")
        uploaded = upload(self.store, run, resolve([str(source)]), lambda _: None)  # type: ignore[arg-type]
        fields: dict[str, Any] = {
            "run": run,
            "files": uploaded.files,
            "workers": 2,
            "mappers": 12,
            "reducers": 4,
            "worker_sha256": inspect_worker(self.worker).program.sha256,
            "worker_name": "worker.py",
            "memory": 300 * 10**6,
            **job,
        }
        spec = JobSpec(**fields)
        wanted: dict[str, Any] = {
            "run": run,
            "master_image": self.images.master,
            "worker_image": self.images.worker,
            "workers": spec.workers,
            "memory": spec.memory,
            "store": self.minio.access.url,
            "s3": self.minio.access.pods,
            "pull": self.images.pull_policy,
            **(pods or {}),
        }
        access = self.minio.access
        return ClusterRun(
            spec, inspect_worker(self.worker).program, self.cluster, access, RunPods(**wanted)
        )

    def finish(self, run: ClusterRun, on_event: OnEvent | None = None) -> Summary:
        """Start it, see it through, and check that nothing of it is left."""
        try:
            run.start()
            for event in run.messages():
                if on_event is not None:
                    on_event(event)
            return run.result()
        finally:
            run.close()
            assert self.left(run.job.run) == []

    def parts(self, summary: Summary) -> dict[str, bytes]:
        return {part.name: self.store.get(part.key) for part in summary.parts}

    def left(self, run: str) -> list[str]:
        """The objects of the run that are in the cluster."""
        return self.kubectl("get", KINDS, "-l", of_run(run), "--output=name").split()

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        place = f"--namespace={self.cluster.namespace}"
        return self.administrator.kubectl(place, *arguments, given=given)

    def wait_until_gone(self, run: str, seconds: float) -> None:
        """Until it is by itself."""
        wait_for(
            f"end of the objects of {run}",
            lambda: self.left(run) == [],
            seconds,
            lambda: f"there are still {self.left(run)}",
        )

    def wait_until_over(self, run: str, seconds: float) -> None:
        """Until its master has ended."""
        wait_for(
            f"end of run {run}",
            lambda: not run_objects.is_running(self.cluster, run),
            seconds,
            lambda: self.kubectl("get", "pods", "-l", of_run(run)),
        )


def parts_here(runs: Runs, **job: Any) -> dict[str, bytes]:
    """The parts of a run as processes of this machine make them. job: fields of JobSpec."""
    folder = runs.folder / "local"
    spec = runs.make(run="local", **job).job
    path = runs.folder / "text.txt"
    path.write_text(TEXT)
    files = tuple(replace(file, location=str(path), version="") for file in spec.files)
    with LocalRun(
        replace(spec, files=files), inspect_worker(runs.worker).program, str(folder)
    ) as processes:
        summary = processes.result()
    return {part.name: (folder / part.key).read_bytes() for part in summary.parts}


@contextlib.contextmanager
def runs_in(
    cluster: RunningCluster, namespace: str, images: RunImages, folder: Path
) -> Iterator[Runs]:
    """Runs of the administrator, with MinIO in the namespace."""
    with (
        connect(CONTEXT, namespace) as connection,
        find_or_start(connection, STORE_SIZE, minio_image(), print) as minio,
    ):
        yield Runs(cluster, connection, minio, images, folder)


def minio_image() -> str:
    """A reference that every node has."""
    return ensure_on_nodes("minio")


def words(parts: dict[str, bytes]) -> dict[str, int]:
    """What text parts hold."""
    found = {}
    for data in parts.values():
        for line in data.decode().splitlines():
            key, value = line.split("\t")
            found[key] = int(value)
    return found


def once(phase: str, act: Callable[[], None]) -> OnEvent:
    """Calls `act` when a task of the phase runs."""
    done = False

    def on_event(event: pb.WatchEvent) -> None:
        nonlocal done
        progress = event.progress
        if done or event.WhichOneof("body") != "progress" or progress.phase != phase:
            return
        if progress.running:
            done = True
            act()

    return on_event


@dataclass
class Log:
    """Collects the log lines of a run. Use as its `on_event`."""

    lines: list[str] = field(default_factory=list)
    then: OnEvent | None = None

    def __call__(self, event: pb.WatchEvent) -> None:
        if event.WhichOneof("body") == "log":
            self.lines.append(event.log.text)
        if self.then is not None:
            self.then(event)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails when the block takes longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took > seconds:
        pytest.fail(f"took {took:.0f} s, more than {seconds:.0f} s")
