"""The worker's one stream to its master: opened again when it breaks, nothing said is lost."""

from __future__ import annotations

import asyncio
import platform
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import grpc

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.rpc import connection
from gomr_runtime.rpc.outbox import Outbox

FIRST_PAUSE = 0.05  # seconds before a broken stream is opened again; doubles up to LAST_PAUSE
LAST_PAUSE = 1.0
GIVE_UP = 600.0  # seconds without any master

FATAL = {
    grpc.StatusCode.UNAUTHENTICATED: "the master does not accept this worker's token",
    grpc.StatusCode.INVALID_ARGUMENT: "the master does not understand this worker",
    grpc.StatusCode.UNIMPLEMENTED: "what answers at the master's address is no gomr-master",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker says of itself. description and failure: JSON, one of them ""."""

    run: str
    worker: str
    description: str
    failure: str


class Lost(Exception):
    """The master gave this worker up: it must come back under a new name, with nothing."""


class Session:
    """Requests out, messages in. Call `run` once for each incarnation of the worker."""

    def __init__(
        self,
        address: str,
        token: str,
        on_open: Callable[[], None],
        trust: connection.Trust | None = None,
    ) -> None:
        """`on_open` is called whenever a stream is accepted: time to say how much room there is.
        trust: needed where the master is on another machine."""
        self.highest_epoch = 0
        self.disconnected_since = time.monotonic()
        self.connected = False
        self._address = address
        self._metadata = connection.bearer(token)
        self._on_open = on_open
        self._trust = trust
        self._next_id = 1
        self._unacknowledged: dict[int, pb.WorkerMessage] = {}
        self._outbox: Outbox[pb.WorkerMessage] = Outbox()
        self._settled = asyncio.Event()
        self._beat = 0  # the heartbeat that is on its way

    def send(self, message: pb.WorkerMessage, *, keep: bool = False) -> None:
        """`keep`: send it again after a broken stream until the master acknowledged it. What is
        not kept is dropped while there is no stream."""
        message.id = self._next_id
        self._next_id += 1
        if keep:
            self._unacknowledged[message.id] = message
            self._settled.clear()
        if self.connected:
            self._outbox.put(message)

    def beat(self, heartbeat: pb.Heartbeat) -> None:
        """Send the heartbeat, unless the one before is still on its way: a busy master gets no
        more of them, and can tell that an attempt which two in a row do not name is not here."""
        if self.connected and not self._beat:
            self.send(pb.WorkerMessage(heartbeat=heartbeat))
            self._beat = self._next_id - 1

    def forget(self) -> None:
        """Drop what was not acknowledged: no master wants it any more."""
        self._unacknowledged.clear()
        self._settled.set()

    async def settled(self) -> None:
        """Until everything kept is acknowledged, or there is no stream to wait for."""
        if self._unacknowledged and self.connected:
            await self._settled.wait()

    async def run(self, identity: Identity) -> AsyncIterator[pb.MasterMessage]:
        """Every message of the master but acknowledgements, over all streams.

        Raises Lost, or EnvironmentFailed when no master can be had.
        """
        self.disconnected_since = time.monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                async for message in self._stream(identity):
                    pause = FIRST_PAUSE
                    yield message
            except grpc.aio.AioRpcError as error:
                self._judge(error)
            finally:
                self._close()
            if time.monotonic() - self.disconnected_since > GIVE_UP:
                raise EnvironmentFailed(
                    f"no master at {self._address} for {GIVE_UP:.0f} s; look at the master's log"
                )
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, LAST_PAUSE)

    async def _stream(self, identity: Identity) -> AsyncIterator[pb.MasterMessage]:
        async with self._channel() as channel:
            stub = services.MasterStub(channel)  # type: ignore[no-untyped-call]
            call = stub.Session(timeout=connection.STREAM_DEADLINE, metadata=self._metadata)
            writer: asyncio.Task[None] | None = None
            try:
                await call.write(pb.WorkerMessages(messages=[self._registration(identity)]))
                while (several := await call.read()) is not grpc.aio.EOF:
                    for message in several.messages:
                        if message.epoch < self.highest_epoch:
                            return  # a master that was replaced: look for the new one
                        if message.WhichOneof("body") != "ack":
                            yield message
                            continue
                        if writer is None:
                            writer = self._opened(call, message.epoch)
                        self._acknowledged(message.ack.id)
            finally:
                if writer is not None:
                    writer.cancel()
                call.cancel()

    def _channel(self) -> grpc.aio.Channel:
        if self._trust is None:
            return grpc.aio.insecure_channel(self._address, options=connection.CLIENT_OPTIONS)
        trust = self._trust
        return grpc.aio.secure_channel(self._address, trust.credentials(), trust.options())

    def _registration(self, identity: Identity) -> pb.WorkerMessage:
        register = pb.Register(
            run=identity.run,
            worker=identity.worker,
            description=identity.description,
            failure=identity.failure,
            version=connection.version(),
            highest_epoch=self.highest_epoch,
            python=platform.python_version(),
        )
        message = pb.WorkerMessage(id=self._next_id, register=register)
        self._next_id += 1
        return message

    def _opened(
        self, call: grpc.aio.StreamStreamCall[pb.WorkerMessages, pb.MasterMessages], epoch: int
    ) -> asyncio.Task[None]:
        self._outbox = Outbox()
        self.highest_epoch = epoch
        self.connected = True
        self._beat = 0
        if self._unacknowledged:
            self._settled.clear()
        for message in self._unacknowledged.values():
            self._outbox.put(message)
        self._on_open()
        return asyncio.create_task(self._write(call, self._outbox))

    async def _write(
        self,
        call: grpc.aio.StreamStreamCall[pb.WorkerMessages, pb.MasterMessages],
        outbox: Outbox[pb.WorkerMessage],
    ) -> None:
        # A broken stream shows in the reader, which opens a new one.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while messages := await outbox.next():
                await call.write(pb.WorkerMessages(messages=messages))

    def _acknowledged(self, number: int) -> None:
        self._unacknowledged.pop(number, None)
        if number == self._beat:
            self._beat = 0
        if not self._unacknowledged:
            self._settled.set()

    def _close(self) -> None:
        if self.connected:
            self.connected = False
            self._settled.set()
            self.disconnected_since = time.monotonic()

    def _judge(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            raise Lost from None
        if error.code() in FATAL:
            raise EnvironmentFailed(f"{FATAL[error.code()]}: {error.details()}") from None
