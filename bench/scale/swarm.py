"""Simulated workers: each speaks to the master over a connection of its own, none does any work.

A worker asks for as many attempts as it has slots, reports each at once, or after a while, and
asks again, and sends heartbeats as real ones do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from bench.scale.master_process import PART_BYTES
from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.model import layout
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.model.run_index import encode_index
from gomr_runtime.model.task import Ledger, ResultFile, TaskResult, TaskSpec
from gomr_runtime.rpc import connection
from gomr_runtime.rpc.outbox import Outbox
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store

CONNECTING_AT_ONCE = 50
SHA = "0" * 64


@dataclass
class Tally:
    """started: once every worker is registered. first and last: of assignments, on our clock."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    registered: int = 0
    assigned: int = 0
    first: float = 0.0
    last: float = 0.0
    round_trips: list[float] = field(default_factory=list)
    states: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Way:
    """How workers work. slots: attempts at a time. pause: seconds that an attempt takes."""

    slots: int
    pause: float


class SimulatedWorker:
    def __init__(
        self, job: JobSpec, number: int, way: Way, tally: Tally, store: Store | None
    ) -> None:
        self._job = job
        self._store = store
        self._name = f"simulated-{number:04d}"
        self._slots = way.slots
        self._pause = way.pause
        self._tally = tally
        self._ids = 0
        self._outbox: Outbox[pb.WorkerMessage] = Outbox()
        self._running: dict[tuple[str, int], pb.Attempt] = {}
        self._beat = (0, 0.0)  # the heartbeat on its way, and since when

    async def run(self, address: str, token: str, door: asyncio.Semaphore) -> None:
        tally = self._tally
        async with grpc.aio.insecure_channel(address, options=connection.CLIENT_OPTIONS) as channel:
            stub = services.MasterStub(channel)  # type: ignore[no-untyped-call]
            async with door:
                call = stub.Session(metadata=connection.bearer(token))
                register = self._numbered(register=self._register())
                await call.write(pb.WorkerMessages(messages=[register]))
                await call.read()
            tally.registered += 1
            if tally.registered == self._job.workers:
                tally.started.set()
            await tally.started.wait()
            tasks = [asyncio.create_task(self._write(call)), asyncio.create_task(self._live())]
            self._put(next=pb.Next(count=self._slots))
            try:
                while (message := await call.read()) is not grpc.aio.EOF:
                    if await self._hear(message):
                        return
            finally:
                for task in tasks:
                    task.cancel()

    def _register(self) -> pb.Register:
        description = JobDescription(Format("lines"), False, "", "user", "hash", "", False, SHA)
        return pb.Register(
            run=self._job.run,
            worker=self._name,
            description=to_json(description).decode(),
            version=connection.version(),
        )

    def _numbered(self, **body: object) -> pb.WorkerMessage:
        self._ids += 1
        return pb.WorkerMessage(id=self._ids, **body)  # type: ignore[arg-type]

    def _put(self, **body: object) -> int:
        self._outbox.put(self._numbered(**body))
        return self._ids

    async def _write(self, call: grpc.aio.StreamStreamCall[pb.WorkerMessages, object]) -> None:
        while messages := await self._outbox.next():
            await call.write(pb.WorkerMessages(messages=messages))

    async def _live(self) -> None:
        await asyncio.sleep(random.random() * self._job.heartbeat)
        while True:
            if not self._beat[0]:
                running = [pb.Progress(attempt=each) for each in self._running.values()]
                number = self._put(heartbeat=pb.Heartbeat(running=running))
                self._beat = (number, time.perf_counter())
            await asyncio.sleep(self._job.heartbeat)

    async def _hear(self, several: pb.MasterMessages) -> bool:
        """Act on the messages; True after the last one."""
        done = 0
        for message in several.messages:
            match message.WhichOneof("body"):
                case "assign":
                    await self._do(from_json(TaskSpec, message.assign.task), message.epoch)
                    done += 1
                case "ack":
                    self._acknowledged(message.ack.id)
                case "finished":
                    self._tally.states.add(message.finished.state)
                    return True
        if done and not self._pause:
            self._put(next=pb.Next(count=self._slots))
        return False

    def _acknowledged(self, number: int) -> None:
        if number == self._beat[0]:
            self._tally.round_trips.append(time.perf_counter() - self._beat[1])
            self._beat = (0, 0.0)

    async def _do(self, spec: TaskSpec, epoch: int) -> None:
        tally = self._tally
        tally.assigned += 1
        tally.last = time.perf_counter()
        tally.first = tally.first or tally.last
        attempt = pb.Attempt(
            kind=spec.kind, index=spec.index, attempt=spec.attempt, nonce=spec.nonce
        )
        if self._store is not None and spec.kind == "reduce":
            key = layout.attempt_data(spec, "part")
            await asyncio.to_thread(self._store.put, key, b"x" * PART_BYTES)
        result = to_json(result_of(self._job, spec)).decode()
        report = pb.Report(attempt=attempt, epoch=epoch, result=result)
        if self._pause:
            name = (spec.kind, spec.index)
            self._running[name] = attempt
            asyncio.get_running_loop().call_later(self._pause, self._end, name, report)
        else:
            self._put(report=report)

    def _end(self, name: tuple[str, int], report: pb.Report) -> None:
        del self._running[name]
        self._put(report=report)
        self._put(next=pb.Next(count=self._slots - len(self._running)))


def result_of(job: JobSpec, spec: TaskSpec) -> TaskResult:
    """A map task reads its piece as one record and writes one pair; reducers share the pairs."""
    if spec.kind == "map":
        size = sum(of.end - of.start for of in spec.ranges)
        index = len(encode_index([[]] * job.reducers))
        key = layout.attempt_data(spec, "map")
        file = ResultFile("map", "", 1000 + index, SHA, 1, index, key)
        ledger = Ledger(1, size, 1, map_out=1, written=1, written_bytes=1000)
    else:
        first, last = (n * job.mappers // job.reducers for n in (spec.index, spec.index + 1))
        file = ResultFile("part", "", PART_BYTES, SHA, 1, key=layout.attempt_data(spec, "part"))
        ledger = Ledger(reduce_in=last - first, reduce_groups=min(1, last - first), reduce_out=1)
    return TaskResult((file,), ledger, cpu_seconds=1.0, peak_rss=100 << 20)


async def swarm(job: JobSpec, address: str, token: str, way: Way, store: Store | None) -> Tally:
    tally = Tally()
    door = asyncio.Semaphore(CONNECTING_AT_ONCE)
    workers = [SimulatedWorker(job, number, way, tally, store) for number in range(job.workers)]
    await asyncio.gather(*(worker.run(address, token, door) for worker in workers))
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("address")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that an attempt takes")
    parser.add_argument("--store", default="", help="where parts are put")
    given = parser.parse_args()
    job = from_json(JobSpec, given.job.read_bytes())
    began = time.perf_counter()
    token = connection.read_token(given.token_file)
    store = open_store(given.store) if given.store else None
    tally = asyncio.run(swarm(job, given.address, token, Way(given.slots, given.pause), store))
    trips = sorted(tally.round_trips)
    print(
        json.dumps(
            {
                "assigned": tally.assigned,
                "registering": tally.first - began,
                "seconds": tally.last - tally.first,
                "heartbeats": len(trips),
                "p99": trips[len(trips) * 99 // 100] if trips else 0.0,
                "states": sorted(tally.states),
            }
        )
    )


if __name__ == "__main__":
    main()
