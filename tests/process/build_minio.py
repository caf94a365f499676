"""The real MinIO server that the tests talk to, built from source once and kept in a cache.

    python tests/process/build_minio.py        prints the path of the binary

The cache is `$GOMR_CACHE` or `~/.cache/gomr`, keyed by the version that `latest` (or
`$GOMR_MINIO_VERSION`) resolves to. A lock keeps two processes from building twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MODULE = "github.com/minio/minio"
RESOLVE_SECONDS = 120.0
BUILD_SECONDS = 3000.0


class BuildFailed(Exception):
    """Go is here, the server could not be built; the text says why."""


def cache_folder() -> Path:
    return Path(os.environ.get("GOMR_CACHE") or Path.home() / ".cache" / "gomr")


def resolved_version(wanted: str) -> str:
    """The exact module version that `wanted` (`latest`, a tag, a commit) means now."""
    command = ["go", "list", "-m", "-json", f"{MODULE}@{wanted}"]
    answer = json.loads(_run(command, RESOLVE_SECONDS))
    return str(answer["Version"])


def minio_binary() -> Path:
    """Path of the server, built on the first call (minutes); BuildFailed with Go's last lines."""
    version = resolved_version(os.environ.get("GOMR_MINIO_VERSION") or "latest")
    folder = cache_folder() / "minio"
    binary = folder / version / "minio"
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not binary.exists():
                _build(version, binary)
    return binary


def _build(version: str, binary: Path) -> None:
    with tempfile.TemporaryDirectory(dir=binary.parent.parent, prefix=".build-") as scratch:
        # Symbols and debug data are left out: they double the time of linking.
        flags = ["-trimpath", "-ldflags=-s -w"]
        command = ["nice", "-n", "10", "go", "install", *flags, f"{MODULE}@{version}"]
        print(f"building {MODULE}@{version}, this takes minutes", file=sys.stderr, flush=True)
        began = time.monotonic()
        _run(command, BUILD_SECONDS, {"GOBIN": scratch, "CGO_ENABLED": "0"})
        print(f"built in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        binary.parent.mkdir(exist_ok=True)
        (Path(scratch) / "minio").rename(binary)


def _run(command: list[str], seconds: float, extra: dict[str, str] | None = None) -> str:
    """Its stdout; BuildFailed when it fails or takes longer than `seconds`."""
    line = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(extra or {})},
            cwd="/",  # outside any module, whatever directory the tests run in
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"`{line}` did not end within {seconds:.0f} s") from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.splitlines()[-20:])
        raise BuildFailed(f"`{line}` ended with {done.returncode}:\n{last}")
    return done.stdout


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; whoever holds it builds within BUILD_SECONDS, so waiting ends too."""
    deadline = time.monotonic() + BUILD_SECONDS + 60
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildFailed(f"another build has held {path} for too long") from None
                time.sleep(0.5)  # flock has no deadline of its own
        yield


if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("build_minio: needs the Go toolchain (`go`) on PATH")
    try:
        print(minio_binary())
    except BuildFailed as error:
        sys.exit(f"build_minio: {error}")
