"""The Python environment a worker file asks for by its PEP 723 header, built once and cached.

An environment is a folder `<cache>/gomr/env/<key>`; the key covers the header, the Python version
and the sources of `gomr_runtime`, so a folder that stands is right for ever. It is built beside
its place and renamed: whoever finishes second uses the first one's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.system.settings import read
from gomr_runtime.user_code.worker_file import WorkerFile

BUILD_SECONDS = 900.0
PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent


def cache_folder() -> Path:
    """Where environments are kept: `$XDG_CACHE_HOME/gomr/env`, by default below `~/.cache`."""
    base = read("cache") or Path.home() / ".cache"
    return Path(base) / "gomr" / "env"


def python_for(worker: WorkerFile) -> str:
    """The Python executable that can run `worker`; takes minutes the first time, then none.

    Without dependencies it is this very Python. Raises UsageError when `requires-python` leaves
    this Python out, EnvironmentFailed (with the installer's last lines) when a package cannot be
    installed.
    """
    here = ".".join(map(str, sys.version_info[:3]))
    if not satisfies(here, worker.requires_python):
        raise UsageError(
            f"{worker.path}: needs Python {worker.requires_python} and this is "
            f"{here}: run GoMR with another Python"
        )
    if not worker.dependencies:
        return sys.executable
    place = cache_folder() / environment_key(worker)
    if not place.is_dir():
        _build(worker, place)
    if os.lstat(place).st_uid not in {0, os.geteuid()}:  # what is in there will be executed
        raise EnvironmentFailed(
            f"{place} belongs to another user: set XDG_CACHE_HOME to a folder of your own"
        )
    return str(place / "bin" / "python")


def satisfies(here: str, specifiers: str) -> bool:
    """Whether a version of Python meets what `requires-python` says, such as `>=3.11,<3.14`.

    Raises:
        UsageError: It says what is no version specifier.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # only for a file with a header

    try:
        return SpecifierSet(specifiers).contains(here, prereleases=True)
    except InvalidSpecifier:
        raise UsageError(f"requires-python {specifiers!r} is not understood") from None


def environment_key(worker: WorkerFile) -> str:
    """Name of the environment: equal for equal dependencies, Python and `gomr_runtime`."""
    content = hashlib.sha256()
    sources = [*sorted(PACKAGE.rglob("*.py")), *sorted((CHECKOUT / "native").glob("src/*"))]
    for path in sources:
        content.update(path.relative_to(CHECKOUT).as_posix().encode() + b"\0")
        content.update(hashlib.sha256(path.read_bytes()).digest())
    facts = [sorted(worker.dependencies), sys.version, sys.platform, content.hexdigest()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _build(worker: WorkerFile, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=place.parent))
    built = scratch / "env"
    try:
        for command in _commands(built, worker.dependencies):
            _run(command, worker)
        with contextlib.suppress(FileExistsError, OSError):
            built.rename(place)
        if not (place / "bin" / "python").exists():
            raise EnvironmentFailed(f"{place}: cannot be made: check the folder's permissions")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _commands(built: Path, dependencies: tuple[str, ...]) -> list[list[str]]:
    python = str(built / "bin" / "python")
    packages = [*_own_packages(), *dependencies]
    uv = shutil.which("uv") or shutil.which("uv", path=str(CHECKOUT / ".tools" / "uv" / "bin"))
    if uv:
        return [
            [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(built)],
            [uv, "pip", "install", "--quiet", "--python", python, *packages],
        ]
    return [
        # -P: no module of the folder that we are started in takes the place of one of theirs.
        [sys.executable, "-P", "-m", "venv", str(built)],
        [python, "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
    ]


def _own_packages() -> list[str]:
    """What to install so that `import gomr_runtime` gives this very code."""
    if (CHECKOUT / "pyproject.toml").is_file():
        return [str(CHECKOUT), str(CHECKOUT / "native")]
    return [f"gomr-runtime=={version('gomr-runtime')}"]


def _run(command: list[str], worker: WorkerFile) -> None:
    wanted = ", ".join(worker.dependencies)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(
            f"{worker.path}: installing {wanted} took longer than {BUILD_SECONDS:.0f} s: "
            "check the package index"
        ) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise EnvironmentFailed(
            f"{worker.path}: its packages ({wanted}) cannot be installed: "
            "check the '# /// script' header and the package index",
            detail="\n".join(lines),
        )
