"""The images of the test cluster, each built once, kept as an archive and loaded where missing.

python -m tests.cluster.support.built.images gomr-python         in the engine; prints the reference
python -m tests.cluster.support.built.images --on-nodes minio    also on every node of the cluster
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.build_cache import BuildFailed, cached, ended, key_of, output
from tests.cluster.progress import say
from tests.cluster.support.built.debian_root import debian_root
from tests.cluster.support.built.go_programs import kubernetes_programs, kubernetes_version
from tests.cluster.support.engine import ensure_engine
from tests.cluster.support.kubectl import program_path
from tests.cluster.support.layout import CLUSTER
from tests.process.support.build_minio import minio_binary

SOURCES = Path(__file__).parents[2] / "images"
BUILD_SECONDS = 900.0
LOAD_SECONDS = 600.0
KEY_LABEL = "gomr.key"


@dataclass(frozen=True)
class Image:
    """What goes in: its own folder under `images/`, the image it is FROM, and `files`."""

    name: str
    tag: Callable[[], str]
    files: Callable[[], list[Path]]
    base: str | None = None

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{self.tag()}"

    def key(self) -> str:
        below = IMAGES[self.base].key() if self.base else ""
        # Built files lie in folders named by their own key, so their names will do.
        names = [str(path.relative_to(path.parents[1])) for path in self.files()]
        return key_of([below, SOURCES / self.name, *names])


def _programs(*names: str) -> Callable[[], list[Path]]:
    return lambda: [kubernetes_programs() / name for name in names]


_LIST = [
    Image("debian", lambda: "bookworm", lambda: [debian_root()]),
    Image("gomr-python", lambda: "3.11", list, base="debian"),
    Image("minio", lambda: minio_binary().parent.name, lambda: [minio_binary()], base="debian"),
    Image("pause", lambda: "1", _programs("pause")),
    Image("coredns", lambda: "1", _programs("coredns")),
    Image("gomr-node", kubernetes_version, _programs("kube", "crictl"), base="debian"),
]
IMAGES = {image.name: image for image in _LIST}


def ensure_image(name: str) -> str:
    """The reference of the image, which is in the engine now. The engine must run."""
    image = IMAGES[name]
    if _key_in_engine(image) != image.key():
        archive = image_archive(name)
        if _key_in_engine(image) != image.key():
            say(f"loading {image.reference}")
            output(["docker", "load", "--input", str(archive)], LOAD_SECONDS)
    return image.reference


def ensure_on_nodes(name: str) -> str:
    """The same, and on every node of the running cluster, put there by the kind CLI."""
    reference = ensure_image(name)
    load_on_nodes(reference)
    return reference


def load_on_nodes(reference: str) -> None:
    """An image of the engine, by the kind CLI."""
    command = [str(program_path("kind")), "load", "docker-image", reference, "--name", CLUSTER]
    output(command, LOAD_SECONDS)


def image_archive(name: str) -> Path:
    """The image as `docker save` writes it, from the cache or built now."""
    image = IMAGES[name]

    def build(made: Path) -> None:
        if image.base:
            ensure_image(image.base)
        say(f"building {image.reference}")
        with tempfile.TemporaryDirectory(dir=made.parent) as context:
            _fill(image, Path(context))
            command = ["docker", "build", "--quiet", "--tag", image.reference]
            command += ["--label", f"{KEY_LABEL}={image.key()}", context]
            output(command, BUILD_SECONDS, extra={"DOCKER_BUILDKIT": "0"})
        target = str(made / "image.tar")
        output(["docker", "save", "--output", target, image.reference], LOAD_SECONDS)

    return cached(f"image-{name}", image.key(), build) / "image.tar"


def _fill(image: Image, context: Path) -> None:
    shutil.copytree(SOURCES / image.name, context, dirs_exist_ok=True)
    for path in image.files():
        (context / path.name).hardlink_to(path)


def _key_in_engine(image: Image) -> str | None:
    command = ["docker", "image", "inspect", image.reference]
    command += ["--format", "{{json .Config.Labels}}"]
    done = ended(command, LOAD_SECONDS)
    if done.returncode != 0:
        return None
    labels = json.loads(done.stdout) or {}
    key: str | None = labels.get(KEY_LABEL)
    return key


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.support.built.images")
    parser.add_argument("names", nargs="+", choices=sorted(IMAGES), metavar="NAME")
    parser.add_argument("--on-nodes", action="store_true", help="load it on the cluster's nodes")
    arguments = parser.parse_args()
    try:
        ensure_engine()
        for name in arguments.names:
            print(ensure_on_nodes(name) if arguments.on_nodes else ensure_image(name))
    except BuildFailed as error:
        sys.exit(f"images: {error}")


if __name__ == "__main__":
    main()
