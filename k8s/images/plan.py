"""Which images a run needs: pure, from what goes into them.

A tag is the hash of all that its image is made of, so an image that is there is the right one,
and two runs that make the same one make the same thing. The worker file comes last and is hashed
last: a changed worker file is one more small layer on the image called its ground, which holds
Python, the packages and `gomr_runtime`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gomr_runtime.user_code.worker_file import WorkerFile

DEFAULT_BASE = (
    "python:3.11.15-slim@sha256:90744cff8f32887f075c47d747a173ff333e9e98801667af93c357fa9f5e28ff"
)
"""As in the Dockerfiles: whoever moves the tag changes nothing of ours."""
MASTER_FILE, WORKER_FILE = "Dockerfile.master", "Dockerfile.worker"
ENTRYPOINT = ("python", "-m", "gomr_runtime.worker")
WORKER_PATH = "app/worker.py"  # in the image, from its root

# What the images take from a checkout.
FOLDERS = ("gomr_runtime", "native")
FILES = (
    *(MASTER_FILE, WORKER_FILE, "build-tools.txt"),
    *("pyproject.toml", "uv.lock", "README.md", "LICENSE"),
)

PullPolicy = Literal["Never", "IfNotPresent"]

_MADE = re.compile(r"\..*|__pycache__|build|.*\.egg-info")  # by Python, from the rest
_FORMAT = "1"  # counted up when the same sources come to mean another image


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image that all others start from, as the engine has it.

    reference: as in `FROM`. id: `sha256:…`, so that a newer image under the same name counts.
    platform: `linux/amd64` and the like.
    """

    reference: str
    id: str
    platform: str


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The images of one run, by reference, and what they are made of.

    master, worker: what pods run. ground: what the worker file goes onto; the master's image
    itself, unless the worker file has packages of its own. sources: of the runtime, by the name
    in the checkout. source: the worker file's bytes.
    """

    master: str
    ground: str
    worker: str
    base: BaseImage
    sources: Mapping[str, bytes] = field(repr=False)
    source: bytes = field(repr=False)
    dependencies: tuple[str, ...]

    @property
    def references(self) -> tuple[str, str]:
        """What pods run: the master's image and the workers'."""
        return self.master, self.worker


@dataclass(frozen=True, slots=True)
class RunImages:
    """What the manifests say: two references and `imagePullPolicy`."""

    master: str
    worker: str
    pull_policy: PullPolicy


def read_sources(checkout: Path) -> dict[str, bytes]:
    """Everything of the checkout that goes into an image, by name; symbolic links are left out."""
    names = [Path(name) for name in FILES]
    for folder in FOLDERS:
        names += (path.relative_to(checkout) for path in (checkout / folder).rglob("*"))
    return {
        name.as_posix(): (checkout / name).read_bytes()
        for name in sorted(names)
        if not any(map(_MADE.fullmatch, name.parts))
        and (checkout / name).is_file()
        and not (checkout / name).is_symlink()
    }


def plan_images(worker: WorkerFile, base: BaseImage, sources: Mapping[str, bytes]) -> ImagePlan:
    """The images for `worker`, of what `image_build.find_base` and `read_sources` found."""
    source = worker.program.main.source
    runtime = _hash(
        [_FORMAT, base.id, base.platform],
        ((name, data) for name, data in sorted(sources.items()) if name != WORKER_FILE),
    )
    recipe = [(WORKER_FILE, sources[WORKER_FILE])]
    packages = _hash([runtime, *sorted(worker.dependencies)], recipe)
    return ImagePlan(
        master=f"mr-master:{runtime}",
        ground=f"mr-worker:ground-{packages}" if worker.dependencies else f"mr-master:{runtime}",
        worker=f"mr-worker:{_hash([packages], [('worker.py', source)])}",
        base=base,
        sources=sources,
        source=source,
        dependencies=worker.dependencies,
    )


def _hash(facts: list[str], files: Iterable[tuple[str, bytes]]) -> str:
    digests = [[name, hashlib.sha256(data).hexdigest()] for name, data in files]
    return hashlib.sha256(json.dumps([facts, digests]).encode()).hexdigest()[:20]


def on_node(reference: str) -> str:
    """The name under which containerd keeps `reference`: `docker.io/library/mr-worker:latest`."""
    host, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif not ("." in host or ":" in host or host == "localhost"):
        reference = f"docker.io/{reference}"
    tagged = ":" in reference.rpartition("/")[2]  # of a tag or of a digest
    return reference if tagged else f"{reference}:latest"
