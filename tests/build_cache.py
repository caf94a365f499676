"""What the tests need and no package registry has ready, built once and kept.

The cache is `$GOMR_CACHE` or `~/.cache/gomr`: one folder a thing, in it one a key. A key holds the
versions and the content of everything that goes in. A lock keeps two processes from building twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

BUILD_SECONDS = 3000.0
UNUSED_SECONDS = 7 * 86400.0
LAST_LINES = 20


class BuildFailed(Exception):
    """What was needed could not be made here; the text says why."""


def cache_folder() -> Path:
    return Path(os.environ.get("GOMR_CACHE") or Path.home() / ".cache" / "gomr")


def key_of(parts: Iterable[str | Path]) -> str:
    """A short hash of the texts, and of the names and contents of the files and folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"text {len(part)} {part}".encode())
            continue
        files = sorted(part.rglob("*")) if part.is_dir() else [part]
        for file in files:
            if file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                executable = os.access(file, os.X_OK)
                digest.update(
                    f"file {file.relative_to(part.parent)} {executable} {content}".encode()
                )
    return digest.hexdigest()[:16]


def cached(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder that `build` has filled, now or earlier; it appears whole or not at all."""
    folder = cache_folder() / name
    ready = folder / key
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            if not ready.exists():
                _build(folder, ready, build)
    os.utime(ready)
    return ready


def _build(folder: Path, ready: Path, build: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        build(made)
        made.rename(ready)
    for other in folder.iterdir():
        unused = time.time() - other.stat().st_mtime > UNUSED_SECONDS
        if other.is_dir() and other != ready and unused:
            shutil.rmtree(other)


def output(
    command: list[str],
    seconds: float,
    *,
    extra: Mapping[str, str] | None = None,
    given: str | None = None,
    cwd: Path | str = "/",  # outside any Go module, whatever directory the tests run in
) -> str:
    """Its stdout; BuildFailed with its last lines when it fails or takes longer than `seconds`."""
    done = ended(command, seconds, extra=extra, given=given, cwd=cwd)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise BuildFailed(f"`{' '.join(command)}` ended with {done.returncode}:\n{last}")
    return done.stdout


def ended(
    command: list[str],
    seconds: float,
    *,
    extra: Mapping[str, str] | None = None,
    given: str | None = None,
    cwd: Path | str = "/",
) -> subprocess.CompletedProcess[str]:
    """The command once it has ended, well or not; BuildFailed when it takes too long."""
    try:
        return subprocess.run(
            command,
            env={**os.environ, **(extra or {})},
            cwd=cwd,
            **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        line = " ".join(command)
        raise BuildFailed(f"`{line}` did not end within {seconds:.0f} s") from None
    except FileNotFoundError:
        raise BuildFailed(f"`{command[0]}` is not on PATH") from None


@contextlib.contextmanager
def locked(path: Path, seconds: float = BUILD_SECONDS + 60) -> Iterator[None]:
    """Hold the lock file; BuildFailed when another process has held it for `seconds`."""
    deadline = time.monotonic() + seconds
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildFailed(f"another process has held {path} for too long") from None
                time.sleep(0.5)  # flock has no deadline of its own
        yield
