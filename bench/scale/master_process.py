"""The real master over a store in its own memory, for measuring: no disk, no network but gRPC.

python -m bench.scale.master_process JOB.json --listen ADDRESS --token-file FILE
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.master.server import Arguments, serve
from gomr_runtime.model import layout
from gomr_runtime.model.job import JobSpec
from gomr_runtime.storage.base import ObjectInfo
from gomr_runtime.storage.memory import MemoryStore

PART_BYTES = 4  # what simulated workers say of every part


class PartsInMind(MemoryStore):
    """Workers of other processes cannot put anything here: what they would have is assumed."""

    def info(self, key: str) -> ObjectInfo:
        self._assume(key)
        return super().info(key)

    def copy(self, source: str, target: str) -> None:
        self._assume(source)
        super().copy(source, target)

    def _assume(self, key: str) -> None:
        if "/data/" in key:
            self.put(key, b"x" * PART_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    given = parser.parse_args()
    data = given.job.read_bytes()
    job = from_json(JobSpec, data)
    store = PartsInMind()
    store.put(layout.job(job.run), data)
    arguments = Arguments(job.run, store.url, given.listen, given.token_file, given.token_file)
    return asyncio.run(serve(arguments, store))


if __name__ == "__main__":
    sys.exit(main())
