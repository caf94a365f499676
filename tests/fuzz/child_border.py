"""A supervisor and children that say anything: its real code, real sockets, a store in memory.

Only the process of a child is played, so that thousands of them take seconds; the channel, the
monitor and the scratch folder are what a child shares with its supervisor.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import GomrError
from gomr_runtime.model.inputs.files import FileRange
from gomr_runtime.model.monitor import SLOTS
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.worker import supervisor as module
from gomr_runtime.worker.channel import HEADER, Kind, frame
from gomr_runtime.worker.channel_blobs import RANGE
from gomr_runtime.worker.child_handle import Child, Ended
from gomr_runtime.worker.supervisor import Settings, Supervisor
from tests.fuzz import honest
from tests.fuzz.grammar import WRONG, conforms, mutated, spoilt, text_of

SECONDS = 60.0
NUMBERS = [n for n in WRONG if type(n) is int and -(2**63) <= n < 2**63]


class Violated(Exception):
    """A supervisor died, or passed on what it should not have."""


def script(rng: Random, spec: TaskSpec, scratch: Path) -> bytes:
    """All that a child writes to its channel: questions, then an answer, something of it wrong."""
    said = b"".join(_question(rng) for _ in range(rng.choice((0, 0, 0, 1, 3))))
    fails = rng.random() < 0.3
    message = honest.failure_of(spec) if fails else honest.result_of(spec, scratch)
    kind = Kind.FAILURE if fails else Kind.RESULT
    body = text_of(mutated(rng, honest.plain(message))).encode("utf-8", "surrogateescape")
    if rng.random() < 0.05:
        kind = rng.choice(list(Kind))
    return said + _sent(rng, kind, spoilt(rng, body))


def _question(rng: Random) -> bytes:
    kind = rng.choice((Kind.OPEN, Kind.READ, Kind.VERSION, Kind.CLOSE, Kind.REPLY, Kind.ERROR))
    if kind is Kind.OPEN:
        location = rng.choice(
            ("store:inputs/a", "store:nowhere", "s3://", "/", "/\0", "", "\n", "x" * 99_999)
        )
        return _sent(rng, kind, location.encode())
    numbers = [
        abs(rng.choice(NUMBERS)) if rng.random() < 0.4 else rng.randrange(3) for _ in range(3)
    ]
    return _sent(rng, kind, spoilt(rng, RANGE.pack(*numbers)))


def _sent(rng: Random, kind: Kind, body: bytes) -> bytes:
    if rng.random() < 0.97:
        return frame(kind, body)
    return (
        HEADER.pack(rng.choice((0, 1, len(body), 2**31, 2**32 - 1)), 0, rng.randrange(256)) + body
    )


class PlayedChild(Child):
    """Says what its script says; everything else is the real thing."""

    rng: Random
    root: Path

    async def answer(self) -> tuple[Kind, bytes]:
        rng = self.rng
        ours, theirs = socket.socketpair()
        spec, scratch = _spec(json.loads(self._request.task)), Path(self._request.scratch)
        for role, data in honest.contents(spec).items():
            _make_file(rng, scratch / role, data)
        for slot in range(SLOTS):
            if rng.random() < 0.3:
                self.monitor[slot] = rng.choice(NUMBERS)
        said = script(rng, spec, scratch)
        reader, writer = await asyncio.open_connection(sock=ours)
        heard, speaker = await asyncio.open_connection(sock=theirs)
        listening = asyncio.create_task(_listen(heard))
        speaking = asyncio.create_task(_speak(speaker, said))
        try:
            found = await self._talk(reader, writer)
            if found is None:
                raise Ended("crash", "it ended")
            return found
        finally:
            self.over = True
            for task in (listening, speaking):
                task.cancel()
            writer.close()
            speaker.close()


async def _listen(heard: asyncio.StreamReader) -> None:
    while await heard.read(1 << 20):
        pass


async def _speak(speaker: asyncio.StreamWriter, said: bytes) -> None:
    with suppress(ConnectionError):
        speaker.write(said)
        await speaker.drain()
        speaker.write_eof()


def _make_file(rng: Random, path: Path, data: bytes) -> None:
    act = rng.random()
    if act < 0.9:
        path.write_bytes(data)
    elif act < 0.93:
        path.symlink_to("/etc/passwd")
    elif act < 0.96:
        path.mkdir()


def _spec(fields: dict[str, Any]) -> TaskSpec:
    kept = {name: fields[name] for name in ("run", "kind", "index", "attempt", "nonce", "reducers")}
    return TaskSpec(**kept)


class ChildBorder:
    """One supervisor; `case` gives it one attempt after the other."""

    def __init__(self, folder: Path) -> None:
        store = MemoryStore()
        store.put("inputs/a", b"x" * 100)
        settings = Settings(honest.RUN, "unix:/nowhere", "t", folder, folder / "scratch", 1)
        self.job = honest.job_of(str(folder))
        (folder / "in").write_bytes(b"abc\n\n" * 4)
        self.supervisor = Supervisor(settings, store, self.job)
        self.supervisor._description = honest.DESCRIPTION
        self.counts = {"refused": 0, "passed on": 0}

    async def case(self, seed: int) -> None:
        """Violated unless the attempt ends with one report that says nothing wrong."""
        rng, supervisor = Random(seed), self.supervisor
        kind = rng.choice(("map", "map", "map", "reduce", "sample"))
        ranges = (FileRange(0, 0, 0, 10),) if kind != "reduce" else ()
        spec = TaskSpec(honest.RUN, kind, 1, 1, f"{seed:016x}", ranges, reducers=2)  # type: ignore[arg-type]
        PlayedChild.rng = rng
        supervisor._begin(pb.Assign(task=to_json(spec).decode()), 1)
        supervisor._heartbeat().SerializeToString()
        async with asyncio.timeout(SECONDS):
            while supervisor._tasks:
                await asyncio.wait(set(supervisor._tasks))
                await asyncio.sleep(0)
        self._check_heartbeat(supervisor)
        if supervisor._defect.done():
            raise Violated(f"the supervisor died: {supervisor._defect.exception()!r}")
        reports = list(supervisor._session._unacknowledged.values())
        supervisor._session.forget()
        if len(reports) != 1:
            raise Violated(f"{len(reports)} reports of one attempt")
        self._check(spec, reports[0].report)

    def _check_heartbeat(self, supervisor: Supervisor) -> None:
        for progress in supervisor._heartbeat().running:
            if progress.done < 0 or not 0 <= progress.fraction <= 1:
                raise Violated(f"a heartbeat says {progress}")

    def _check(self, spec: TaskSpec, report: pb.Report) -> None:
        if report.WhichOneof("outcome") == "failure":
            failure = json.loads(report.failure)
            self.counts["refused"] += 1
            if not conforms(honest.plain(honest.failure_of(spec)), failure):
                raise Violated(f"it passed on the failure {report.failure[:300]}")
            if "\n" in failure["message"]:
                raise Violated(f"more than a line: {failure['message']!r}")
            return
        self.counts["passed on"] += 1
        result = json.loads(report.result)
        own = honest.plain(honest.result_of(spec))
        if not conforms(own, result):
            raise Violated(f"it passed on the result {report.result[:300]}")
        for file in result["files"]:
            content = self.supervisor._store.get(file["key"])
            if len(content) != file["size"] or content.startswith(b"root:"):
                raise Violated(f"it stored {len(content)} bytes as {file}")


async def run(seeds: range) -> dict[str, int]:
    """How the cases went; Violated names the first that is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with patch.object(module, "Child", PlayedChild):
        try:
            border = ChildBorder(folder)
            for seed in seeds:
                try:
                    await border.case(seed)
                except (Violated, TimeoutError, GomrError) as error:
                    raise Violated(f"child, seed {seed}: {error!r}") from error
            return border.counts
        finally:
            shutil.rmtree(folder, ignore_errors=True)
