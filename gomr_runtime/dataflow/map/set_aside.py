"""Records that are set aside: all of them in a file of the task, the first few in hand.

A line of the file is one record as JSON: where it was, why it is bad, the user's traceback, and the
record itself, as text, or where it is none as {"$bytes": base64}. `bytes` is its size; of a larger
record than `MOST_BYTES` the beginning is kept.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from gomr_runtime.api.user_frames import shortened
from gomr_runtime.dataflow.scratch import HashedFile
from gomr_runtime.laws.results import FIRST
from gomr_runtime.model.task import BadRecord, ResultFile

MOST_BYTES = 1 << 20
MOST_DETAIL = 2_000  # characters of the traceback of a record that is told of


class SetAside:
    """Takes bad records one by one, in memory that does not grow with their number."""

    def __init__(self, path: Path | None) -> None:
        """path: of the file, made with the first record; None where nobody wants it."""
        self.first: list[BadRecord] = []
        self.count = 0
        self._path = path
        self._file: HashedFile | None = None

    def __enter__(self) -> SetAside:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, bad: BadRecord, raw: bytes | None) -> None:
        """raw: the record's bytes without its end, None where they are not known."""
        self.count += 1
        if len(self.first) < FIRST:
            detail = shortened(bad.detail, MOST_DETAIL)
            self.first.append(BadRecord(bad.source, bad.offset, bad.record, bad.cause, detail))
        if self._path is None:
            return
        if self._file is None:
            self._file = HashedFile(self._path)
        self._file.write(_line(bad, raw))

    def finish(self) -> tuple[ResultFile, ...]:
        """The file as a result of the task, if there is one."""
        if self._file is None:
            return ()
        sha256, size = self._file.close(), self._file.size
        return (ResultFile("bad", str(self._file.path), size, sha256, self.count),)


def _line(bad: BadRecord, raw: bytes | None) -> bytes:
    fields: dict[str, Any] = {
        "source": bad.source,
        "offset": bad.offset,
        "number": bad.record,
        "cause": bad.cause,
        "detail": bad.detail,
    }
    if raw is not None:
        fields |= {"record": _readable(raw[:MOST_BYTES]), "bytes": len(raw)}
    return f"{json.dumps(fields)}\n".encode()


def _readable(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"$bytes": base64.b64encode(raw).decode()}


def read_set_aside(data: bytes) -> list[BadRecord]:
    """The records in such a file, without their bytes."""
    found = []
    for line in data.splitlines():
        fields = json.loads(line)
        found.append(
            BadRecord(
                fields["source"],
                fields["offset"],
                fields["number"],
                fields["cause"],
                fields["detail"],
            )
        )
    return found
