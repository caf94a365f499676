"""The supervisor's side of a child process: start it, watch it, take its answer, end it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from gomr_runtime.errors import DataError, GomrError
from gomr_runtime.model.monitor import BLOCK_RECORD, DONE, RECORD, SLOTS, TICKS
from gomr_runtime.system import process_tree
from gomr_runtime.worker import forkserver
from gomr_runtime.worker.answers import UNREADABLE, check_length, read_location, read_question
from gomr_runtime.worker.channel import HEADER, BadFrame, Kind, check_body, frame, parse_header
from gomr_runtime.worker.child_main import Request, run
from gomr_runtime.worker.output_tail import Captured

if TYPE_CHECKING:
    from gomr_runtime.model.blob import Blob, Blobs

WATCH_EVERY = 0.1  # seconds
MOST_PROCESSES = 256
START_SECONDS = 30.0  # for the forkserver to make a child
TERM_SECONDS = 2.0  # between asking a child to end and killing it
EXIT_SECONDS = 2.0  # for a child to be gone after its answer or after SIGKILL

Answer = tuple[Kind, bytes]


class Ended(Exception):
    """A child ended without an answer. reason: `crash`, `timeout`, `memory` or `abandoned`."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class NotStarted(Exception):
    """No child could be made: the machine's trouble, or an earlier child's doing."""


class Limits:
    """When a child is ended. memory in bytes, silence in seconds without a sign of life."""

    def __init__(self, memory: int, silence: float) -> None:
        self.memory = memory
        self.silence = silence


class Child:
    """One child process. `monitor` is what it shares with us, `output` what it printed."""

    def __init__(self, request: Request, limits: Limits, blobs: Blobs | None) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._request = request
        self._limits = limits
        self._blobs = blobs
        self._opened: dict[int, Blob] = {}
        self._handles = 0
        self.monitor: ctypes.Array[ctypes.c_longlong] = self._context.RawArray("q", SLOTS)
        self.monitor[BLOCK_RECORD] = self.monitor[RECORD] = -1
        self.output = Captured()
        self.peak = 0
        self._abandoned = asyncio.Event()
        self._exited = asyncio.Event()
        self.pid = 0
        self.over = False
        self._waits = False  # for us to read from the store: a slow store is no silence of its own

    def abandon(self) -> None:
        """End the child; its answer is not wanted any more."""
        self._abandoned.set()

    async def answer(self) -> Answer:
        """The child's answer. Raises Ended when it has none, or BadFrame for nonsense."""
        ours, theirs = socket.socketpair()
        read_end, write_end = self._context.Pipe(duplex=False)
        try:
            process = self._context.Process(
                target=run, args=(self._request, theirs, write_end, self.monitor), daemon=False
            )
            await _start(process)
        except BaseException:
            ours.close()
            read_end.close()
            raise
        finally:
            theirs.close()
            write_end.close()
        self.pid = process.pid or 0
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, self._has_exited, process.sentinel)
        loop.add_reader(read_end.fileno(), self._drain, read_end)
        os.set_blocking(read_end.fileno(), False)
        try:
            return await self._converse(ours, process)
        finally:
            process_tree.kill_group(self.pid, signal.SIGKILL)
            await self._gone()
            self._drain(read_end)
            loop.remove_reader(read_end.fileno())
            read_end.close()
            self.over = True
            for blob in self._opened.values():
                blob.close()
            if self._exited.is_set():
                process.join()
                process.close()

    async def _converse(
        self, ours: socket.socket, process: multiprocessing.process.BaseProcess
    ) -> Answer:
        reader, writer = await asyncio.open_connection(sock=ours)
        talk = asyncio.create_task(self._talk(reader, writer))
        exited = asyncio.create_task(self._exited.wait())
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({talk, exited, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not talk.done() and watch.done():
                ended = watch.result()
                if ended.reason != "abandoned":
                    await self._terminate()
                raise ended
            if not talk.done():
                process_tree.kill_group(
                    self.pid, signal.SIGKILL
                )  # a grandchild may hold the channel open
            with suppress(TimeoutError):
                found = await asyncio.wait_for(asyncio.shield(talk), EXIT_SECONDS)
                if found is not None:
                    await self._gone()
                    return found
            await self._gone()
            raise Ended("crash", cause_of_death(process.exitcode))
        finally:
            for task in (talk, exited, watch):
                task.cancel()
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Answer | None:
        """Answer the child's questions until it gives its own answer; None when it has none."""
        while True:
            try:
                header = await reader.readexactly(HEADER.size)
                length, checksum, kind = parse_header(header)
                check_length(kind, length)
                body = check_body(await reader.readexactly(length), checksum)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if kind in {Kind.RESULT, Kind.FAILURE}:
                return kind, body
            self._waits = True
            reply = await asyncio.to_thread(self._serve, kind, body)
            self._waits = False
            if reply:
                writer.write(reply)
                await writer.drain()

    def _serve(self, kind: Kind, body: bytes) -> bytes:
        """One question about an input or a stored object; blocks on the store."""
        if self._blobs is None:
            raise BadFrame("the child asked for data that it can read itself")
        try:
            if kind is Kind.OPEN:
                blob = self._blobs.open(read_location(body, len(self._opened)))
                self._handles += 1
                self._opened[self._handles] = blob
                said = {"handle": self._handles, "size": blob.size}
                return frame(Kind.REPLY, json.dumps(said).encode())
            question = read_question(body)
            if question.handle not in self._opened:
                raise BadFrame(f"the child asked about what it has not open; {UNREADABLE}")
            blob = self._opened[question.handle]
            if kind is Kind.CLOSE:
                del self._opened[question.handle]
                blob.close()
                return b""
            if kind is Kind.VERSION:
                return frame(Kind.REPLY, blob.version.encode())
            return frame(Kind.REPLY, blob.read_at(question.offset, question.length))
        except GomrError as error:
            sort = "data" if isinstance(error, DataError) else "storage"
            return frame(Kind.ERROR, json.dumps({"kind": sort, "message": str(error)}).encode())

    async def _watch(self) -> Ended:
        """Returns when the child has to be ended, and why."""
        signs, moved = self._signs(), time.monotonic()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._abandoned.wait(), WATCH_EVERY)
                return Ended("abandoned", "abandoned")
            family = [self.pid, *process_tree.descendants_of(self.pid)]
            if len(family) > MOST_PROCESSES:
                return Ended("crash", f"it started more than {MOST_PROCESSES} processes")
            memory = process_tree.memory_of(family, self._limits.memory)
            self.peak = max(self.peak, memory)
            if memory > self._limits.memory:
                return Ended(
                    "memory",
                    f"it used {memory / 1e6:,.0f} MB, the limit is "
                    f"{self._limits.memory / 1e6:,.0f} MB (--memory)",
                )
            if (now := self._signs()) != signs or self._waits:
                signs, moved = now, time.monotonic()
            elif time.monotonic() - moved > self._limits.silence:
                return Ended("timeout", f"no progress for {self._limits.silence:g} s")

    def _signs(self) -> tuple[int, ...]:
        """What moves while the child takes records, emits in bulk or calls ctx.progress()."""
        return tuple(self.monitor[slot] for slot in (TICKS, RECORD, BLOCK_RECORD, DONE))

    async def _terminate(self) -> None:
        """Ask it to end, so that user code can say where it is; `answer` sees to the rest."""
        process_tree.kill_group(self.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), TERM_SECONDS)

    async def _gone(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), EXIT_SECONDS)

    def _has_exited(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        self._exited.set()

    def _drain(self, output: Connection) -> None:
        for _ in range(64):  # bounded, so that a flood does not keep us from anything else
            try:
                data = os.read(output.fileno(), 65536)
            except BlockingIOError:
                return
            if not data:
                asyncio.get_running_loop().remove_reader(output.fileno())
                return
            self.output.add(data)


async def _start(process: multiprocessing.process.BaseProcess) -> None:
    """Raises NotStarted. User code may have stopped or killed the forkserver."""
    try:
        forkserver.ensure()
        start = asyncio.create_task(asyncio.to_thread(process.start))
        try:
            await asyncio.wait_for(asyncio.shield(start), START_SECONDS)
        except TimeoutError:
            forkserver.end()
            await start
    except (OSError, EOFError) as error:
        raise NotStarted(f"no child process could be started: {error or 'no answer'}") from None


def cause_of_death(code: int | None) -> str:
    """An exit code of multiprocessing in words."""
    if code is None:
        return "it closed its channel and went on running"
    if code < 0:
        try:
            return f"it died of {signal.Signals(-code).name}"
        except ValueError:
            return f"it died of signal {-code}"
    return f"it ended with exit code {code} before it had a result"
