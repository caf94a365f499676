"""Compressed input as one stream of bytes, checked to its end.

The decoders are driven directly: `gzip`, `bz2` and `lzma` file objects, and zstandard's reader,
take junk after the first member or a cut-off last one for the end of the data.
"""

from __future__ import annotations

import bz2
import contextlib
import lzma
import zlib
from typing import Protocol

from gomr_runtime.dataflow.limits import base_of
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.errors import DataError
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.file_signatures import (
    HEAD_BYTES,
    compression_of,
    content_of,
    not_text,
)
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.quantities import format_size

WINDOW = 128 << 20  # bytes that a zstd frame may look back, whatever --memory says
LARGEST_WINDOW = 2 << 30  # the most that zstd knows

_FEED = 64 << 10
_FEED_ZSTD = 512  # its decoder has no output limit: 128 bytes can become 4 MiB at the worst


class Decoder(Protocol):
    """One member (gzip), stream (bz2, xz) or frame (zstd)."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipDecoder:
    """zlib's decoder with the interface of bz2's; it checks each member's CRC and length."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _ZstdDecoder:
    """zstandard's decoder with the interface of bz2's, but for `max_length`."""

    needs_input = True

    def __init__(self, window: int) -> None:
        import zstandard

        self._zstandard = zstandard
        self._window = window
        self._inner = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._inner.decompress(data)
        except self._zstandard.ZstdError as error:
            if "too much memory" in str(error):
                raise ValueError(self._too_large(data)) from None
            raise ValueError(str(error).removeprefix("zstd decompressor error: ")) from None

    def _too_large(self, data: bytes) -> str:
        """Where it does not begin with the frame, that is how the window is said."""
        with contextlib.suppress(self._zstandard.ZstdError):
            needed = self._zstandard.get_frame_parameters(data).window_size
            return (
                f"it looks back over {format_size(needed)}, and --memory leaves "
                f"{format_size(self._window)} for that: raise --memory by the difference"
            )
        return f"it looks back over more than {format_size(self._window)}: raise --memory"


def window_of(memory: int) -> int:
    """Return how many bytes a zstd frame may look back in a task with `memory` bytes."""
    return min(max(WINDOW, memory - base_of(memory)), LARGEST_WINDOW)


def _decoder(file: InputFile, window: int) -> Decoder:
    match file.compression:
        case "gzip":
            return _GzipDecoder()
        case "bz2":
            return bz2.BZ2Decompressor()
        case "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ)
        case _:
            return _ZstdDecoder(window)


class DecompressedStream:
    """The uncompressed bytes of `file`, read once from front to back."""

    def __init__(
        self, file: InputFile, blob: Blob, *, window: int = WINDOW, text: bool = True
    ) -> None:
        """Prepare to read; nothing is read yet.

        Args:
            file: Which input it is.
            blob: Its bytes as stored.
            window: How many bytes a zstd frame may look back.
            text: Refuse what the first bytes show to be no text.
        """
        self._file = file
        self._blob = blob
        self._window = window
        self._feed = _FEED_ZSTD if file.compression == "zstd" else _FEED
        self._decoder = _decoder(file, window)
        self._follows = False  # whether what is decoded next begins a later member
        self._fed = 0  # bytes of the stored file taken so far
        self._pending = memoryview(b"")  # decoded, beyond what was asked for
        self._unchecked = text

    def read(self, size: int) -> bytes:
        """Between 1 and `size` bytes; b"" once the data has ended as it should.

        Raises DataError, naming the file, for truncated or corrupt data, and for what is no text.
        """
        if self._unchecked:
            self._unchecked = False
            self._check_content()
        return self._read(size)

    def _check_content(self) -> None:
        head = b""
        while len(head) < HEAD_BYTES and (more := self._read(HEAD_BYTES - len(head))):
            head += more
        kind = self._file.compression
        if content := content_of(head):
            raise DataError(f"{self._file.source} {not_text(content, kind)}")
        if inner := compression_of(head):
            raise DataError(
                f"{self._file.source} is {inner} data, compressed with {kind} once more: "
                "decompress it once first"
            )
        self._pending = memoryview(head + self._pending)

    def _read(self, size: int) -> bytes:
        while not self._pending:
            if self._decoder.eof:
                member = self._next_member()
                if not member:
                    return b""
                self._decode(member, size)
            else:
                data = self._stored() if self._decoder.needs_input else b""
                ended = self._decoder.needs_input and not data
                self._decode(data, size)
                if ended and not self._pending and not self._decoder.eof:
                    raise self._corrupt("it ends in the middle of the data; was it cut off?")
        out = bytes(self._pending[:size])
        self._pending = self._pending[size:]
        return out

    def skip(self, size: int) -> None:
        """Read and drop `size` bytes."""
        while size and (data := self.read(min(size, 1 << 20))):
            size -= len(data)

    def _stored(self) -> bytes:
        with timed("store"):
            data = self._blob.read_at(self._fed, min(self._feed, self._file.size - self._fed))
        if not data and self._fed < self._file.size:
            raise ended_early(self._file, self._fed)
        self._fed += len(data)
        return data

    def _decode(self, data: bytes, size: int) -> None:
        try:
            self._pending = memoryview(self._decoder.decompress(data, size))
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
            told = "after the end of the data comes something else: " if self._follows else ""
            raise self._corrupt(f"{told}{error}") from None
        self._follows = False

    def _next_member(self) -> bytes:
        """The first bytes of what follows a finished member, padding skipped; b"" at the end."""
        data = self._decoder.unused_data
        padding = b"\0" if self._file.compression in {"gzip", "xz"} else b""
        while not (data := data.lstrip(padding) if padding else data):
            if not (data := self._stored()):
                return b""
        self._decoder = _decoder(self._file, self._window)
        self._follows = True
        return data

    def _corrupt(self, cause: str) -> DataError:
        return DataError(
            f"{self._file.source}: cannot decompress the {self._file.compression} data "
            f"(near byte {self._fed} of {self._file.size}): {cause}"
        )


def ended_early(file: InputFile, position: int) -> DataError:
    """An input that is shorter than it was when the run was planned."""
    return DataError(
        f"{file.source}: input changed while the run went on: "
        f"it ends at byte {position} of {file.size}; run again"
    )
