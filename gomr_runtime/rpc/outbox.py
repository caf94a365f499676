"""What waits to be sent on one stream: it goes out together, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

TOGETHER = 256 << 10  # bytes; a message that is larger goes alone


class Outbox(Generic[M]):
    """Messages in, lists of messages out."""

    def __init__(self) -> None:
        self._waiting: deque[M] = deque()
        self._grown = asyncio.Event()
        self._ended = False

    def put(self, message: M) -> None:
        self._waiting.append(message)
        self._grown.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._grown.set()

    async def next(self) -> list[M]:
        """What goes out now, at least one message; none at the end."""
        while not self._waiting and not self._ended:
            self._grown.clear()
            await self._grown.wait()
        taken: list[M] = []
        size = 0
        while self._waiting:
            size += self._waiting[0].ByteSize()
            if taken and size > TOGETHER:
                break
            taken.append(self._waiting.popleft())
        return taken
