"""The real MinIO server that the tests talk to, built from source once and kept in the cache.

    python -m tests.process.build_minio        prints the path of the binary

The version is what `latest` (or `$GOMR_MINIO_VERSION`) resolves to.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.build_cache import BUILD_SECONDS, BuildFailed, cached, output

MODULE = "github.com/minio/minio"
RESOLVE_SECONDS = 120.0


@functools.cache
def resolved_version(wanted: str) -> str:
    """The exact module version that `wanted` (`latest`, a tag, a commit) means now."""
    command = ["go", "list", "-m", "-json", f"{MODULE}@{wanted}"]
    answer = json.loads(output(command, RESOLVE_SECONDS))
    return str(answer["Version"])


def minio_binary() -> Path:
    """Path of the server, built on the first call (minutes); BuildFailed with Go's last lines."""
    version = resolved_version(os.environ.get("GOMR_MINIO_VERSION") or "latest")

    def build(made: Path) -> None:
        # Symbols and debug data are left out: they double the time of linking.
        flags = ["-trimpath", "-ldflags=-s -w"]
        command = ["nice", "-n", "10", "go", "install", *flags, f"{MODULE}@{version}"]
        print(f"building {MODULE}@{version}, this takes minutes", file=sys.stderr, flush=True)
        began = time.monotonic()
        output(command, BUILD_SECONDS, extra={"GOBIN": str(made), "CGO_ENABLED": "0"})
        print(f"built in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    return cached("minio", version, build) / "minio"


if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("build_minio: needs the Go toolchain (`go`) on PATH")
    try:
        print(minio_binary())
    except BuildFailed as error:
        sys.exit(f"build_minio: {error}")
