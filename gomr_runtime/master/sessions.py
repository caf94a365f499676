"""The workers as the master sees them: one session a worker process, one open stream at a time."""

from __future__ import annotations

import asyncio

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.rpc.outbox import Outbox


class Stream(Outbox[pb.MasterMessage]):
    """What is still to be sent on one stream. expired: it ends because its worker is lost."""

    expired = False


class Session:
    """One worker process, over all its streams."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.handled = 0  # highest request id acted upon; repeated ones are only acknowledged
        self.outbox: Stream | None = None
        self.left = False

    def send(self, message: pb.MasterMessage) -> None:
        """Dropped while no stream is open: what matters is found out by heartbeats."""
        if self.outbox is not None:
            self.outbox.put(message)

    def open(self) -> Stream:
        """A new stream; an older one of the same worker ends."""
        if self.outbox is not None:
            self.outbox.end()
        self.outbox = Stream()
        return self.outbox

    def closed(self, outbox: Stream) -> bool:
        """A stream ended; True when the worker has no other one now."""
        if self.outbox is not outbox:
            return False
        self.outbox = None
        return True


class Sessions:
    """Every worker that registered and is not lost."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._sessions: dict[str, Session] = {}
        self._expired: set[str] = set()
        self._idle: list[asyncio.Future[None]] = []
        self.seen = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, worker: str) -> Session | None:
        return self._sessions.get(worker)

    def join(self, worker: str) -> Session:
        session = self._sessions[worker] = Session(worker)
        self.seen += 1
        return session

    def is_expired(self, worker: str) -> bool:
        return worker in self._expired

    def expire(self, worker: str) -> None:
        """The worker must come back under a new name; its stream ends."""
        self._expired.add(worker)
        session = self._sessions.pop(worker, None)
        if session is not None and session.outbox is not None:
            session.outbox.expired = True
            session.outbox.end()

    def leave(self, worker: str) -> None:
        session = self._sessions.pop(worker, None)
        if session is not None:
            session.left = True

    def send(self, worker: str, message: pb.MasterMessage) -> None:
        session = self._sessions.get(worker)
        if session is not None:
            message.epoch = self.epoch
            session.send(message)

    def finish(self, state: str) -> None:
        """Tell every worker that the run is over; their streams end after that."""
        for session in self._sessions.values():
            if session.outbox is not None:
                session.outbox.put(
                    pb.MasterMessage(epoch=self.epoch, finished=pb.Finished(state=state))
                )
                session.outbox.end()

    def check_idle(self) -> None:
        """To be called when a stream ended."""
        if not self.any_open():
            for waiter in self._idle:
                if not waiter.done():
                    waiter.set_result(None)

    def any_open(self) -> bool:
        return any(session.outbox is not None for session in self._sessions.values())

    async def until_idle(self) -> None:
        """Until no stream is open."""
        if self.any_open():
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
