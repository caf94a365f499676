"""A master and workers that say anything: its real service, driver, core and journal.

Only gRPC is left out: a wire hands each message on as the bytes that it is, with one field or a few
of it gone wrong. A worker knows the nonces of what it was given, so that all of a report is read.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random
from typing import Any, cast
from zlib import crc32

from google.protobuf.message import DecodeError
from grpc.aio import EOF

import gomr_runtime
from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.fields import to_json
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.recovery import take_over
from gomr_runtime.master.service import Context, MasterService
from gomr_runtime.model import layout
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.storage.memory import MemoryStore
from tests.fuzz import honest
from tests.fuzz.child_border import Violated
from tests.fuzz.grammar import WRONG, conforms, mutated, spoilt, text_of

SECONDS = 60.0
NAMED = ("run", "kind", "index", "attempt", "nonce")  # of a task, all that a report says
TEXTS = [text for text in WRONG if isinstance(text, str) and text.isprintable()]


class Aborted(Exception):
    """The master ended the stream."""


class Wire:
    """A stream of a worker, as the service sees it."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.outgoing: asyncio.Queue[pb.MasterMessage] = asyncio.Queue()

    async def read(self) -> Any:
        return await self.incoming.get()

    async def write(self, messages: pb.MasterMessages) -> None:
        for message in messages.messages:
            self.outgoing.put_nowait(message)

    async def abort(self, code: object, details: str) -> None:
        raise Aborted(details)


class Speaker:
    """A worker: registers, takes tasks, and says what it is told to."""

    def __init__(self, service: MasterService, name: str) -> None:
        self.name = name
        self.wire = Wire()
        self.tasks: list[tuple[TaskSpec, int]] = []
        self._number = 0
        self.ended = False
        self.stream = asyncio.create_task(service.Session(None, cast(Context, self.wire)))

    def register(self, **change: Any) -> pb.WorkerMessage:
        fields: dict[str, Any] = {
            "run": honest.RUN,
            "worker": self.name,
            "description": to_json(honest.DESCRIPTION).decode(),
            "version": gomr_runtime.__version__,
        }
        return pb.WorkerMessage(register=pb.Register(**fields | change))

    async def say(self, message: pb.WorkerMessage) -> bool:
        """Whether the master took it; what it gives out meanwhile is kept."""
        self._number += 1
        message.id = self._number
        self.wire.incoming.put_nowait(pb.WorkerMessages(messages=[message]))
        while True:
            heard = asyncio.create_task(self.wire.outgoing.get())
            await asyncio.wait({heard, self.stream}, return_when=asyncio.FIRST_COMPLETED)
            if not heard.done():
                heard.cancel()
                self.ended = True
                return False
            said = heard.result()
            if said.WhichOneof("body") == "assign":
                fields = json.loads(said.assign.task)
                spec = TaskSpec(
                    **{n: fields[n] for n in ("run", "kind", "index", "attempt", "nonce")}
                )
                self.tasks.append((spec, said.epoch))
            elif said.WhichOneof("body") in {"refused", "finished"}:
                self.ended = True
                return False
            elif said.ack.id == self._number:
                return True

    async def close(self) -> None:
        self.wire.incoming.put_nowait(EOF)
        self.stream.cancel()
        with suppress(asyncio.CancelledError, Aborted):
            await self.stream


def report_of(spec: TaskSpec, epoch: int, **outcome: str) -> pb.WorkerMessage:
    attempt = pb.Attempt(kind=spec.kind, index=spec.index, attempt=spec.attempt, nonce=spec.nonce)
    return pb.WorkerMessage(report=pb.Report(attempt=attempt, epoch=epoch, **outcome))


def wrong_message(rng: Random, speaker: Speaker) -> pb.WorkerMessage:
    """A message with something wrong in it, most often a report of what the worker was given."""
    act = rng.random()
    if speaker.tasks and act < 0.6:
        spec, epoch = speaker.tasks.pop()
        fails = rng.random() < 0.3
        fields = honest.plain(honest.failure_of(spec) if fails else honest.result_of(spec))
        if rng.random() < 0.2:  # so that the run comes to its reduces, and to its end
            return report_of(spec, epoch, result=json.dumps(honest.plain(honest.result_of(spec))))
        text = text_of(mutated(rng, fields)).encode("utf-8", "surrogateescape")
        said = {"failure" if fails else "result": spoilt(rng, text).decode(errors="replace")}
        return report_of(spec, rng.choice((epoch, epoch, epoch, 0, 2**64 - 1)), **said)
    if act < 0.75:
        fraction = rng.choice((0.5, -1.0, 2.0, float("nan"), float("inf"), 1e308))
        done = rng.choice((0, -1, 2**63 - 1, -(2**63)))
        attempt = pb.Attempt(kind=rng.choice(TEXTS), index=rng.choice((0, 2**32 - 1)), attempt=1)
        progress = pb.Progress(attempt=attempt, fraction=fraction, done=done)
        return pb.WorkerMessage(heartbeat=pb.Heartbeat(running=[progress], room=2**32 - 1))
    if act < 0.85:
        return pb.WorkerMessage(
            next=pb.Next(count=rng.choice((0, 2**32 - 1)), running=pb.Running())
        )
    if act < 0.9:
        return pb.WorkerMessage(leave=pb.Leave(reason=rng.choice(TEXTS)))
    return rng.choice((pb.WorkerMessage(), speaker.register()))


def garbled(rng: Random, message: pb.WorkerMessage) -> pb.WorkerMessage:
    """The message after its bytes were spoilt, where protobuf still takes them."""
    try:
        return pb.WorkerMessage.FromString(spoilt(rng, message.SerializeToString()))
    except DecodeError:
        return message


class MasterBorder:
    """One run after the other; `case` lets one more worker say something wrong."""

    def __init__(self) -> None:
        self.counts = {"given up": 0, "taken": 0, "not registered": 0, "runs": 0}

    async def start(self) -> None:
        job = honest.job_of()
        self.store = MemoryStore()
        self.store.put(layout.job(honest.RUN), to_json(job))
        journal = Journal(self.store, honest.RUN)
        succession = take_over(journal)
        self.driver = Driver(journal, succession, Feed(succession.epoch))
        self.service = MasterService(self.driver, None)
        self.running = asyncio.create_task(self.driver.run())
        self.counts["runs"] += 1

    async def case(self, seed: int) -> None:
        rng = Random(seed)
        speaker = Speaker(self.service, f"w{seed}")
        try:
            async with asyncio.timeout(SECONDS):
                change = self._registration(rng)
                if not await speaker.say(speaker.register(**change)):
                    self.counts["not registered"] += 1
                    return
                await speaker.say(pb.WorkerMessage(next=pb.Next(count=2)))
                await self._settle(speaker)
                while not speaker.ended and rng.random() < 0.8:
                    await speaker.say(garbled(rng, wrong_message(rng, speaker)))
                    await self._settle(speaker)
                self.counts["given up" if speaker.ended else "taken"] += 1
                if not speaker.ended:
                    await speaker.say(pb.WorkerMessage(leave=pb.Leave(reason="done")))
        finally:
            await speaker.close()
            await self._check()

    async def _settle(self, speaker: Speaker) -> None:
        """Let the master decide and commit; what it gives out comes before an answer."""
        for _ in range(5):
            await asyncio.sleep(0)
        if not speaker.ended:
            await speaker.say(pb.WorkerMessage(heartbeat=pb.Heartbeat(room=2)))

    def _registration(self, rng: Random) -> dict[str, Any]:
        act = rng.random()
        if act < 0.6:
            return {}
        if act < 0.7:
            return {"highest_epoch": rng.choice((2, 2**32, 2**64 - 1))}
        name = rng.choice(("description", "description", "failure", "run", "worker", "version"))
        if name == "description":
            return {name: text_of(mutated(rng, honest.plain(honest.DESCRIPTION)))[:100_000]}
        if name == "failure":
            return {name: rng.choice(("{}", "[", "5", '{"kind": "user", "message": 5}'))}
        return {name: rng.choice(TEXTS)}

    async def _check(self) -> None:
        """The master lives or has ended in order; what it stored is what honest workers say."""
        await asyncio.sleep(0)
        for found in list(self.store.list(layout.commits(honest.RUN))):
            self._check_manifest(self.store.get(found.key))
        if self.running.done():
            if error := self.running.exception():
                raise Violated(f"the master died: {error!r}")
            if not json.loads(self.driver.feed.last_summary)["run"]:
                raise Violated("a run without a summary")
            if "defect in " in self.driver.feed.last_summary:
                raise Violated(self.driver.feed.last_summary[:500])
            await self.start()

    def _check_manifest(self, data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        manifest = json.loads(body)
        kind, index = manifest["task"]
        own = honest.plain(honest.result_of(TaskSpec(honest.RUN, kind, index, 1, "")))
        if int(head, 16) != crc32(body) or not conforms(own, manifest["result"]):
            raise Violated(f"it stored {data[:500]!r}")

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def run(seeds: range) -> dict[str, int]:
    """How the cases went; Violated names the first that is wrong."""
    border = MasterBorder()
    await border.start()
    try:
        for seed in seeds:
            try:
                await border.case(seed)
            except (Violated, TimeoutError) as error:
                raise Violated(f"master, seed {seed}: {error!r}") from error
    finally:
        await border.stop()
    return border.counts
