"""What user code prints: always drained, beginning and end kept."""

from __future__ import annotations

from gomr_runtime.errors import one_line

KEEP = 64 << 10  # bytes kept of the beginning, and as many of the end
MOST_SHOWN = 32 << 10  # characters in a message


class Captured:
    """Bytes of a stream of any length in bounded memory."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = self._keep - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if (excess := len(self._tail) - self._keep) > 0:
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """All that was kept, with a line in between that says what was not."""
        head = self._head.decode("utf-8", "backslashreplace")
        tail = self._tail.decode("utf-8", "backslashreplace")
        gap = f"\n... {self._dropped:,} bytes left out ...\n" if self._dropped else ""
        return head + gap + tail

    def last_lines(self, count: int) -> str:
        """The end of it, at most `MOST_SHOWN` characters, none of which moves a terminal."""
        lines = self.text().rstrip().split("\n")[-count:]
        return "\n".join(one_line(line.expandtabs()) for line in lines)[-MOST_SHOWN:]
