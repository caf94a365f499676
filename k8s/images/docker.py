"""Docker and the clusters' own tools, as commands.

The docker CLI and not its Python SDK: the SDK has no BuildKit, while the CLI builds with whatever
this machine has, finds contexts, remote engines and registry logins as its user set them up, is
what kind and k3d call themselves, and costs no import.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.user_code.environment import CHECKOUT

Tell = Callable[[str], object]

QUICK_SECONDS = 60.0  # commands that only ask
LAST_LINES = 12
KEPT_LINES = 60  # of a command that is followed

INSTEAD = "or name images that the cluster has: --master-image and --worker-image"
_NO_ENGINE = re.compile(
    r"cannot connect to the docker daemon|error during connect|failed to connect to the docker API"
    r"|permission denied while trying to connect",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HOMES = {
    "docker": "https://docs.docker.com/engine/install",
    "kind": "https://kind.sigs.k8s.io",
    "k3d": "https://k3d.io",
    "minikube": "https://minikube.sigs.k8s.io",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that came to its end. err: its last lines on stderr."""

    code: int
    out: bytes
    err: str


def ask(tool: str, *arguments: str, stdin: bytes = b"", seconds: float = QUICK_SECONDS) -> Ended:
    """Run a command whose failure may be an answer; `tool` is docker, kind, k3d or minikube.

    Raises EnvironmentFailed: the tool is not installed, Docker is not running, or no end within
    `seconds`.
    """
    argv = [_path(tool), *arguments]
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise _too_long(tool, arguments, seconds) from None
    return _ended(done.returncode, done.stdout, _tail(done.stderr.decode("utf-8", "replace")))


def call(tool: str, *arguments: str, stdin: bytes = b"", seconds: float = QUICK_SECONDS) -> bytes:
    """Run a command that has to succeed; its stdout. Raises EnvironmentFailed with its words."""
    ended = ask(tool, *arguments, stdin=stdin, seconds=seconds)
    if ended.code:
        raise failed(tool, arguments, ended.err)
    return ended.out


def follow(
    tool: str,
    *arguments: str,
    line: Callable[[str], object],
    seconds: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Like `ask` for a command that takes long: `line` hears every line of its output."""
    argv = [_path(tool), *arguments]
    last: deque[str] = deque(maxlen=KEPT_LINES)
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            argv,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    overdue = threading.Timer(seconds, process.kill)
    overdue.start()
    try:
        assert process.stdout is not None
        for text in process.stdout:
            if plain := _COLOUR.sub("", text).rstrip():
                last.append(plain)
                line(plain)
        code = process.wait()
    finally:
        late = not overdue.is_alive()
        overdue.cancel()
        process.kill()
        process.communicate()
    if code and late:
        raise _too_long(tool, arguments, seconds)
    return _ended(code, b"", "\n".join(last))


def failed(tool: str, arguments: Sequence[str], words: str) -> EnvironmentFailed:
    """The error for a command that ended badly: its last line, and all of its last lines."""
    lines = words.splitlines() or ["no word why"]
    return EnvironmentFailed(f"{tool} {_shown(arguments)}: {lines[-1]}", detail=_tail(words))


def _path(tool: str) -> str:
    found = shutil.which(tool) or shutil.which(tool, path=str(CHECKOUT / ".venv" / "bin"))
    if found:
        return found
    raise EnvironmentFailed(f"{tool}: not found: install it ({_HOMES[tool]}), {INSTEAD}")


def _ended(code: int, out: bytes, err: str) -> Ended:
    if code and _NO_ENGINE.search(err):
        raise EnvironmentFailed(f"Docker does not answer: start it, {INSTEAD}", detail=err)
    return Ended(code, out, err)


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


def _too_long(tool: str, arguments: Sequence[str], seconds: float) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{tool} {_shown(arguments)}: no end after {seconds:.0f} s: "
        "check that Docker answers (docker info)"
    )


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(arguments[:4])[:120]
