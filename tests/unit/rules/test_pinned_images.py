"""Every image that somebody else makes is named by what is in it, not by a tag that may move."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s import manifest_objects
from k8s.images.plan import DEFAULT_BASE
from k8s.store.minio import _unpatched_image

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"[\w./:-]+:[\w.-]+@sha256:[0-9a-f]{64}")
# Made here from what is in this checkout, or by the tests; `scratch` is empty.
OURS = re.compile(r"(mr-master|mr-worker|gomr-flow):latest|localhost/[\w.:/-]+|scratch")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    return [ROOT / name for name in listed.stdout.decode().splitlines()]


def in_dockerfile(text: str) -> list[str]:
    """What is built on: `FROM` that names no earlier stage, with its build arguments filled in."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)", text, re.MULTILINE))
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE))
    copied = re.findall(r"^COPY --from=(\S+)", text, re.MULTILINE)
    named = re.findall(r"^FROM (\S+)", text, re.MULTILINE) + copied
    filled = [re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], name) for name in named]
    return [name for name in filled if name not in stages]


def in_yaml(text: str) -> list[str]:
    def walk(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [v for k, v in node.items() if k.endswith("image") and isinstance(v, str)]
            return own + [image for value in node.values() for image in walk(value)]
        return [image for value in node for image in walk(value)] if isinstance(node, list) else []

    return [image for document in yaml.safe_load_all(text) for image in walk(document)]


def test_no_image_of_others_is_named_by_a_tag_alone() -> None:
    named = {
        (str(path.relative_to(ROOT)), image)
        for path in tracked("*Dockerfile*", "k8s/*.yaml", "tests/*.yaml")
        for image in (in_dockerfile if "Dockerfile" in path.name else in_yaml)(path.read_text())
    }
    assert len({path for path, _ in named}) >= 10
    unpinned = [(p, image) for p, image in sorted(named) if not OURS.fullmatch(image)]
    assert [(p, image) for p, image in unpinned if not PINNED.fullmatch(image)] == []
    assert {"k8s/manifests/base/minio.yaml", "k8s/minio/Dockerfile"} <= {
        path for path, _ in unpinned
    }


def test_all_images_are_built_on_the_same_base() -> None:
    for name in ("Dockerfile.master", "Dockerfile.worker", "k8s/flow/Dockerfile"):
        assert f"ARG BASE={DEFAULT_BASE}\n" in (ROOT / name).read_text(), name
    assert PINNED.fullmatch(DEFAULT_BASE)


def test_the_store_is_started_by_its_images_entrypoint() -> None:
    """Images of others have other names for the server's program."""
    (deployment,) = [o for o in manifest_objects.minio_objects("", 1) if o["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "command" not in container
    assert container["args"] == ["server", "/data", "--address", ":9000"]


OLD = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z@sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("running", "chosen", "told"),
    [
        (OLD, "", OLD),
        (None, OLD, OLD),
        (None, "", ""),
        ("registry.example.com/minio:1", OLD, ""),
        ("docker.io/pgsty/silo:RELEASE.2026-09-16T00-00-00Z", "", ""),
    ],
)
def test_a_server_whose_tag_says_that_it_is_too_old_is_named(
    running: str | None, chosen: str, told: str
) -> None:
    found = [
        o for o in manifest_objects.minio_objects(running or "", 1) if o["kind"] == "Deployment"
    ]
    assert _unpatched_image(found[0] if running else None, chosen) == told


def test_the_store_by_default_is_none_of_those() -> None:
    (deployment,) = [o for o in manifest_objects.minio_objects("", 1) if o["kind"] == "Deployment"]
    assert _unpatched_image(deployment, "") == ""
