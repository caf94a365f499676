"""Messages between a supervisor and the child that runs user code: never pickle, always checked.

A frame is a header (length, CRC-32, kind) and a body. User code shares the child's descriptors
and may scribble on them: whatever does not check out is an error of that attempt alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

HEADER = struct.Struct(">IIB")
MAX_BODY = 64 << 20
MAX_ANSWER = 3 << 20  # bytes of a result or failure: it must fit into one message to the master


class Kind(IntEnum):
    RESULT = 1  # TaskResult or JobDescription as JSON
    FAILURE = 2  # TaskFailure as JSON
    OPEN = 3  # a location, to be opened by the supervisor
    READ = 4  # a request for bytes of an opened location
    CLOSE = 5
    REPLY = 6  # the answer to OPEN, READ or VERSION
    ERROR = 7  # the answer to OPEN, READ or VERSION: it failed, in words
    VERSION = 8  # a request for the version of an opened location as it is now


class BadFrame(Exception):
    """What came over the channel is not a frame."""


def frame(kind: Kind, body: bytes) -> bytes:
    """One frame, ready to send."""
    return HEADER.pack(len(body), zlib.crc32(body), kind) + body


def parse_header(data: bytes) -> tuple[int, int, Kind]:
    """Length and checksum of the body, and what it is; BadFrame for anything else."""
    length, checksum, number = HEADER.unpack(data)
    if length > MAX_BODY or number not in Kind.__members__.values():
        raise BadFrame("the child's answer is not readable: something wrote to its channel")
    return length, checksum, Kind(number)


def check_body(body: bytes, checksum: int) -> bytes:
    if zlib.crc32(body) != checksum:
        raise BadFrame("the child's answer is damaged: something wrote to its channel")
    return body


def read_frame(read: Callable[[int], bytes]) -> tuple[Kind, bytes]:
    """The next frame by a blocking `read(n)` of at most n bytes; EOFError when the peer is gone."""
    length, checksum, kind = parse_header(_exactly(read, HEADER.size))
    return kind, check_body(_exactly(read, length), checksum)


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = read(size - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
