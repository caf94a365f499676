"""The real MinIO servers that the tests talk to, built from source once and kept in the cache.

    python -m tests.process.support.build_minio        prints the path of the binary

The version is what `latest` (or `$GOMR_MINIO_VERSION`) resolves to. It is built by the script by
which `k8s/minio/Dockerfile` builds it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.build_cache import BUILD_SECONDS, BuildFailed, cached, key_of, output

MODULE = "github.com/minio/minio"
PUBLISHED = "v0.0.0-20250907161309-07c3a429bfed"
"""The source of the last image that MinIO published, and which still runs in many places."""
SCRIPT = Path(__file__).parents[3] / "k8s" / "minio" / "build.sh"
RESOLVE_SECONDS = 120.0


@functools.cache
def resolved_version(wanted: str) -> str:
    """The exact module version that `wanted` (`latest`, a tag, a commit) means now."""
    command = ["go", "list", "-m", "-json", f"{MODULE}@{wanted}"]
    answer = json.loads(output(command, RESOLVE_SECONDS))
    return str(answer["Version"])


def minio_binary() -> Path:
    """Path of the server, built on the first call (minutes); BuildFailed with Go's last lines."""
    return _built(resolved_version(os.environ.get("GOMR_MINIO_VERSION") or "latest"))


def published_minio_binary() -> Path:
    """The same for the server as it was published last, with all its faults."""
    return _built(PUBLISHED, "as-it-is")


def _built(version: str, *changes: str) -> Path:
    def build(made: Path) -> None:
        print(f"building {MODULE}@{version}, this takes minutes", file=sys.stderr, flush=True)
        began = time.monotonic()
        output(["nice", "-n", "10", str(SCRIPT), version, str(made), *changes], BUILD_SECONDS)
        print(f"built in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    return cached("minio", f"{version}-{key_of([SCRIPT, *changes])}", build) / "minio"


if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("build_minio: needs the Go toolchain (`go`) on PATH")
    try:
        print(minio_binary())
    except BuildFailed as error:
        sys.exit(f"build_minio: {error}")
