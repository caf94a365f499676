"""Reading through the supervisor: the child holds no credentials, so it asks for byte ranges."""

from __future__ import annotations

import json
import socket
import struct

from gomr_runtime.errors import DataError, EnvironmentFailed
from gomr_runtime.model.blob import Blob
from gomr_runtime.worker.channel import Kind, frame, read_frame

RANGE = struct.Struct(">QQQ")  # handle, offset, length
CHUNK = 16 << 20  # bytes asked for at once


class BrokeredBlobs:
    """`Blobs` over the child's channel; one question at a time."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def open(self, location: str) -> Blob:
        """DataError when it is not there or may not be read."""
        body = location.encode("utf-8", "surrogateescape")
        found = json.loads(self._ask(Kind.OPEN, body))
        return BrokeredBlob(self, int(found["handle"]), int(found["size"]))

    def read(self, handle: int, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            data = self._ask(Kind.READ, RANGE.pack(handle, offset, min(length, CHUNK)))
            if not data:
                break
            parts.append(data)
            offset, length = offset + len(data), length - len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def version(self, handle: int) -> str:
        return self._ask(Kind.VERSION, RANGE.pack(handle, 0, 0)).decode()

    def close(self, handle: int) -> None:
        self._channel.sendall(frame(Kind.CLOSE, RANGE.pack(handle, 0, 0)))

    def _ask(self, kind: Kind, body: bytes) -> bytes:
        self._channel.sendall(frame(kind, body))
        answer, data = read_frame(self._channel.recv)
        if answer is Kind.REPLY:
            return data
        said = json.loads(data)
        error = DataError if said["kind"] == "data" else EnvironmentFailed
        raise error(said["message"])


class BrokeredBlob:
    """One location that the supervisor holds open."""

    def __init__(self, blobs: BrokeredBlobs, handle: int, size: int) -> None:
        self.size = size
        self._blobs = blobs
        self._handle = handle

    @property
    def version(self) -> str:
        """As the supervisor sees it at this moment."""
        return self._blobs.version(self._handle)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._blobs.read(self._handle, offset, length)

    def close(self) -> None:
        if self._handle >= 0:
            self._blobs.close(self._handle)
            self._handle = -1
