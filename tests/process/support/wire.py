"""A wire between a worker and its master that can fall silent, in either direction or both."""

from __future__ import annotations

import contextlib
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK = 64 << 10  # bytes
# In place of Python: the worker with this scratch folder talks through the wire.
PYTHON = """#!/bin/bash
arguments=("$@")
if [[ " $* " == *" gomr_runtime.worker "* && " $* " == *"/{worker} "* ]]; then
    for ((i = 0; i < $#; i++)); do
        if [[ ${{arguments[i]}} == --master ]]; then
            echo -n "${{arguments[i + 1]#unix:}}" > {target}
            arguments[i + 1]=unix:{address}
        fi
    done
fi
exec {python} "${{arguments[@]}}"
"""


class Wire:
    """Relays every connection. What is sent over a silent direction waits, as in a network that
    comes back, and arrives when it is restored."""

    def __init__(self, folder: Path, worker: str) -> None:
        """folder: a short path. worker: the last part of its scratch folder, such as w0."""
        self._target = folder / "target"
        self.python = folder / "python"
        address = folder / "wire"
        words = {
            "worker": worker,
            "target": shlex.quote(str(self._target)),
            "address": shlex.quote(str(address)),
            "python": shlex.quote(sys.executable),
        }
        self.python.write_text(PYTHON.format_map(words))
        self.python.chmod(0o755)
        self._flows = {"to": threading.Event(), "from": threading.Event()}
        self.restore()
        self.held = dict.fromkeys(self._flows, 0)  # bytes that had to wait
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self, way: str) -> None:
        """way: "to" the master, "from" it, or "both"."""
        for name, flow in self._flows.items():
            if way in {name, "both"}:
                flow.clear()

    def restore(self) -> None:
        for flow in self._flows.values():
            flow.set()

    def close(self) -> None:
        self.restore()
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):  # its other end may have closed it
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                worker, _ = self._listener.accept()
                master = socket.socket(socket.AF_UNIX)
                self._ends += [worker, master]
                try:
                    master.connect(self._target.read_text())
                except OSError:  # no master yet, or none any more
                    worker.close()
                    continue
                for pair in ((worker, master, "to"), (master, worker, "from")):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):  # either end may go at any time
            while data := source.recv(CHUNK):
                if not self._flows[name].is_set():
                    self.held[name] += len(data)
                    self._flows[name].wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire_to(folder: Path, worker: str) -> Iterator[Wire]:
    wire = Wire(folder, worker)
    try:
        yield wire
    finally:
        wire.close()
