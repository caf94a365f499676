"""Runs that stand still in the middle of a phase, and go on when something has happened to them.

A task that is held asks for an object of the store, over and over, and goes on once it is there,
or once the store does not answer: then its result comes while the store is away.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import minio

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.model.summary import Summary
from k8s.manifest_objects import MINIO_ENDPOINT
from k8s.run.cluster_run import ClusterRun
from k8s.store.minio import BUCKET
from tests.cluster.support.runs_on_cluster import Program, Runs

WORKER = """
import time
import urllib.error
import urllib.request
import gomr_runtime as gomr

passed = False

def hold(ctx, phase):
    global passed
    if passed or ctx.params.get("hold") != phase:
        return
    index = int(ctx.attempt_id.split("/")[1].split("-")[1])
    while index >= int(ctx.params["from"]) and not is_open(ctx.params["gate"]):
        time.sleep(0.05)
    passed = True

def is_open(gate):
    try:
        urllib.request.urlopen(gate, timeout=2).close()
    except urllib.error.HTTPError as answer:
        if answer.code == 404:
            return False
        raise
    except OSError:
        print("the store does not answer")
    return True

def mapper(ctx, line: str) -> None:
    hold(ctx, "map")
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]) -> None:
    hold(ctx, "reduce")
    ctx.emit(key, sum(values))

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
LONGEST = 200.0  # seconds: a run that nobody frees ends by itself
MAPPERS, REDUCERS = 12, 4
PROGRAM = Program(WORKER, {"mappers": MAPPERS, "reducers": REDUCERS})
DONE_BEFORE = {"map": 6, "reduce": 2}  # tasks of the phase that commit; all others are held


@dataclass
class HeldRun:
    """A run of which half of a phase is committed, the rest held. `strike` is called then, once.

    noticed: what the run tells before the held tasks go on; None: they go on at once.
    """

    runs: Runs
    phase: str
    strike: Callable[[ClusterRun], None]
    noticed: Callable[[pb.WatchEvent], bool] | None = None
    job: dict[str, Any] = field(default_factory=dict)
    run: ClusterRun = field(init=False)
    lines: list[str] = field(default_factory=list)
    seconds: float = field(init=False, default=0.0)  # from the strike to the end of the run
    _struck: float | None = field(init=False, default=None)
    _gate: str = field(init=False)
    _is_open: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._gate = f"gates/{secrets.token_hex(8)}"
        params = {
            "hold": self.phase,
            "from": str(DONE_BEFORE[self.phase]),
            "gate": self._address(),
        }
        job = {"mappers": MAPPERS, "reducers": REDUCERS, "timeout": LONGEST, **self.job}
        self.run = self.runs.make(params=params, **job)

    def finish(self) -> Summary:
        """See it through; nothing of it is left."""
        summary = self.runs.finish(self.run, self.hear)
        assert self._struck is not None, "nothing happened to it"
        self.seconds = time.monotonic() - self._struck
        return summary

    def follow(self) -> None:
        """Hear of it to its end."""
        for event in self.run.messages():
            self.hear(event)

    def hear(self, event: pb.WatchEvent) -> None:
        """What is done at each of the run's messages."""
        print(f"{event.seconds:6.1f} s", str(event).replace("\n", " ")[:200])
        if event.WhichOneof("body") == "log":
            self.lines.append(event.log.text)
        if self._struck is None:
            if self._is_held(event.progress):
                self._struck = time.monotonic()
                self.strike(self.run)
        elif self.noticed is not None and self.noticed(event):
            self.noticed = None
        if self._struck is not None and self.noticed is None and not self._is_open:
            self.open()
            self._is_open = True

    def open(self) -> None:
        """Let the held tasks go on; returns once the store has heard of it."""
        self.runs.store.put(self._gate, b"open")

    def _is_held(self, progress: pb.PhaseProgress) -> bool:
        """Whether nothing more will happen, on any worker."""
        done = progress.phase == self.phase and progress.committed == DONE_BEFORE[self.phase]
        return done and min(progress.running, progress.workers) >= self.run.job.workers

    def _address(self) -> str:
        """Where pods see the gate; whoever has the address may read it."""
        here = self.runs.minio.access.pods
        client = minio.Minio(
            MINIO_ENDPOINT.removeprefix("http://"),
            here.access_key,
            here.secret_key,
            secure=False,
            region=here.region,
        )
        return str(client.presigned_get_object(BUCKET, self._gate))
