"""What benchmarks keep between runs: data, environments of the peers, built programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

VERSIONS = {
    "polars": ["polars==2.1.0"],
    "duckdb": ["duckdb==2.0.0"],
    "pyspark": ["pyspark==4.3.0"],
    "dask": ["dask[bag]==2026.8.0"],
    "mrjob": ["mrjob==0.7.4", "setuptools<80"],
}
GO_PROGRAM = Path(__file__).parent / "peers" / "original.go"


def folder() -> Path:
    """`$GOMR_CACHE/bench`, by default below `~/.cache/gomr`."""
    base = os.environ.get("GOMR_CACHE") or Path.home() / ".cache" / "gomr"
    return Path(base) / "bench"


def data(name: str, write: Callable[[Path], None]) -> Path:
    """The data of that name, written on first use."""
    return _made(folder() / "data" / name, write)


def python_of(peer: str) -> str:
    """The interpreter of the peer's environment, installed on first use."""
    wanted = VERSIONS[peer]
    name = "-".join([peer, wanted[0].rpartition("=")[2], f"py{sys.version_info[1]}"])
    place = folder() / "environments" / name
    if not (place / "complete").is_file():
        shutil.rmtree(place, ignore_errors=True)
        print(f"installing {' '.join(wanted)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *wanted], check=True)
        (place / "complete").touch()
    return str(place / "bin" / "python")


def original() -> str:
    """The original system's algorithm as a program, built on first use."""
    source = GO_PROGRAM.read_bytes()
    name = f"original-{len(source)}-{sum(source)}"

    def build(path: Path) -> None:
        subprocess.run(["go", "build", "-o", str(path), str(GO_PROGRAM)], check=True)

    return str(_made(folder() / "programs" / name, build))


def _made(path: Path, write: Callable[[Path], None]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {path.name}", file=sys.stderr)
        unfinished = path.with_name(f".{path.name}-{os.getpid()}")
        write(unfinished)
        unfinished.rename(path)
    return path
