"""Building images with Docker, from a context that holds what the plan holds and nothing else.

The context is a tar file made here, sorted and without times, so that the same sources meet the
builder's cache whatever the checkout looks like; no `.git`, no `.env`, nothing that a symbolic
link leads to.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import tarfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import open_own
from gomr_runtime.system.settings import SETTINGS, read
from gomr_runtime.user_code.environment import cache_folder
from k8s.images.docker import INSTEAD, LAST_LINES, Tell, ask, follow
from k8s.images.plan import DEFAULT_BASE, MASTER_FILE, WORKER_FILE, BaseImage, ImagePlan

BUILD_SECONDS = 1800.0
PULL_SECONDS = 900.0
POLL_SECONDS = 0.1

BASE_VARIABLE = SETTINGS["base_image"].variable
_INDEXES = ("pip_index", "uv_default_index", "uv_index")
# A stage begins, as the classic builder says it and as BuildKit does.
_STAGE = re.compile(r"Step \d+/\d+ : FROM \S+ AS (\w+)|#\d+ \[(\w+) +\d+/\d+\] RUN .*")
# What a command of the build says is wrong, and what the builders themselves say.
_ERROR = re.compile(r"(?:#?[\d. ]+ )?ERROR: (.*)")
_BUILDERS = re.compile(
    r"The command '|.*failed to solve|.*(executor failed|did not complete)|-+$"
    r"| ---> |Step \d|Removing intermediate|#\d+ (\[|DONE|CACHED|ERROR|sha256|\.\.\.)| > \["
)


def find_base(tell: Tell, reference: str = "") -> BaseImage:
    """The image that all others start from, fetched if need be.

    reference: `$GOMR_BASE_IMAGE` of who runs this; without it `DEFAULT_BASE`. Raises
    EnvironmentFailed.
    """
    reference = reference or DEFAULT_BASE
    found = _inspect(reference)
    if not found:
        tell(f"fetching {reference}")
        pulled = follow("docker", "pull", reference, line=_unheard, seconds=PULL_SECONDS)
        found = _inspect(reference)
        if not found:
            raise EnvironmentFailed(
                f"base image {reference} cannot be fetched: set {BASE_VARIABLE} to a Python image "
                f"that this machine has, {INSTEAD}",
                detail=pulled.err,
            )
    return BaseImage(reference, *found)


def _inspect(reference: str) -> tuple[str, str] | None:
    """Id and platform of an image that the engine has."""
    form = "{{.Id}} {{.Os}}/{{.Architecture}}"
    ended = ask("docker", "image", "inspect", "--format", form, reference)
    if ended.code:
        return None
    image, platform = ended.out.decode().split()
    return image, platform


def absent(references: Collection[str]) -> list[str]:
    """Those of `references` that the engine does not have."""
    return [reference for reference in sorted(references) if not _inspect(reference)]


def build(
    plan: ImagePlan, references: Collection[str], tell: Tell, *, alone: bool = False
) -> list[str]:
    """Make those of the plan's images in `references` that the engine lacks; their references.

    Whoever builds at the same time is waited for, unless the caller is the one: `alone`. Raises
    EnvironmentFailed with the last lines of pip or Docker.
    """
    if not absent(references):
        return []
    with nullcontext() if alone else one_at_a_time(tell):
        wanted = absent(references)
        context = build_context(plan) if wanted else b""
        for reference in wanted:
            _build(plan, reference, context, tell)
    return wanted


def _build(plan: ImagePlan, reference: str, context: bytes, tell: Tell) -> None:
    arguments = ["build", "--tag", reference, "--build-arg", f"BASE={plan.base.reference}"]
    arguments += index_arguments()
    if reference == plan.master:
        arguments += ["--file", MASTER_FILE]
    else:
        arguments += ["--file", WORKER_FILE, "--build-arg", "WORKER_FILE=worker.py"]
    if reference == plan.ground != plan.master:
        arguments += ["--target", "packages"]
    tell(f"building {reference}")
    ended = follow(
        "docker",
        *arguments,
        "-",
        line=_Stages(tell),
        seconds=BUILD_SECONDS,
        stdin=context,
        environment=os.environ
        | {"BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
    )
    if ended.code:
        raise _not_built(plan, reference, ended.err)


class _Stages:
    """Hears the builder and tells which stage it is at, once for each."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, line: str) -> None:
        if found := _STAGE.fullmatch(line):
            stage = found[1] or found[2]
            if stage not in self._told:
                self._told.add(stage)
                self._tell(f"  stage {stage}")


def _not_built(plan: ImagePlan, reference: str, words: str) -> EnvironmentFailed:
    hint = "the network and the package index"
    if reference != plan.master and plan.dependencies:
        hint = f"the packages of the worker file's header ({', '.join(plan.dependencies)})"
    lines = [line[:300] for line in words.splitlines() if not _BUILDERS.match(line)]
    errors = [found[1] for found in map(_ERROR.fullmatch, lines) if found]
    cause = (errors or lines or ["Docker gives no reason"])[-1]
    return EnvironmentFailed(
        f"image {reference} cannot be built: {cause}: check {hint}",
        detail="\n".join(lines[-LAST_LINES:]),
    )


def build_context(plan: ImagePlan) -> bytes:
    """A tar file of the sources, and the worker file as `worker.py`; equal for equal plans."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted({**plan.sources, "worker.py": plan.source}.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def index_arguments(environ: Mapping[str, str] | None = None) -> list[str]:
    """The package index of `PIP_INDEX_URL` or uv's variables as a build argument.

    Raises UsageError when it holds a password: build arguments stay in an image's history.
    """
    for name in _INDEXES:
        if url := read(name, environ):
            if "@" in urlsplit(url).netloc:
                raise UsageError(
                    f"{SETTINGS[name].variable} holds credentials, which would stay in the image: "
                    f"set it to an index without a password, {INSTEAD}"
                )
            return ["--build-arg", f"PIP_INDEX_URL={url}"]
    return []


@contextmanager
def one_at_a_time(tell: Tell, seconds: float = BUILD_SECONDS) -> Iterator[None]:
    """Hold what only one run of this user may do at a time: two would do the same work twice."""
    place = cache_folder().parent / "images.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    end, told, pause = time.monotonic() + seconds, False, threading.Event()
    try:
        file = open_own(place, os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise EnvironmentFailed(f"{place}: {os_cause(error)}: remove it and try again") from None
    with os.fdopen(file, "wb") as lock:
        while not _taken(lock.fileno()):
            if not told:
                tell("waiting for another run that makes images")
            told = True
            if time.monotonic() > end:
                raise EnvironmentFailed(
                    f"another run has been making images for {seconds:.0f} s: "
                    f"look for it (fuser {place}) and start again"
                )
            pause.wait(POLL_SECONDS)
        yield


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unheard(_line: str) -> None:
    """Progress bars of a pull are not for a log."""
