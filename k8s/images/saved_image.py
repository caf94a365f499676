"""The upper layers of an image that Docker has, out of what `docker save` writes."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.images.docker import ask, call

SAVE_SECONDS = 300.0
MOST_BYTES = 128 << 20  # held in memory; an image with more that is new is sent whole


@dataclass(frozen=True, slots=True)
class UpperLayers:
    """The upper layers of an image, with the config of the whole image.

    Attributes:
        config: The image's config as JSON.
        layers: The topmost layers as tar files, the lowest first.
    """

    config: bytes
    layers: list[bytes]


def engine_layers(references: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Map each of `references` that Docker has to the digests of its layers, the lowest first."""
    form = "{{json .RepoTags}}\t{{json .RootFS.Layers}}"
    listed = ask("docker", "image", "inspect", "--format", form, *references).out.decode()
    found: dict[str, tuple[str, ...]] = {}
    for line in listed.splitlines():
        tags, layers = map(json.loads, line.split("\t"))
        found |= dict.fromkeys(tags, tuple(layers))
    return {reference: found[reference] for reference in references if reference in found}


def upper_layers(reference: str, below: Sequence[Mapping[str, Any]]) -> UpperLayers | None:
    """Return the layers of an image that lie above `below`, out of `docker save`.

    Args:
        reference: An image that Docker has.
        below: Its lowest layers, as a manifest lists them (`size` in bytes).

    Returns:
        The layers; None if they exceed MOST_BYTES, or if Docker saves them compressed.
    """
    whole = int(call("docker", "image", "inspect", "--format", "{{.Size}}", reference))
    if whole - sum(layer["size"] for layer in below) > MOST_BYTES:
        return None
    with tempfile.TemporaryDirectory(prefix="gomr-image-") as folder:
        path = Path(folder) / "image.tar"
        call("docker", "save", "--output", str(path), reference, seconds=SAVE_SECONDS)
        with tarfile.open(path) as tar:
            return _read(tar, len(below))


def _read(tar: tarfile.TarFile, below: int) -> UpperLayers | None:
    (entry,) = json.loads(_member(tar, "manifest.json"))
    names = entry["Layers"][below:]
    config = _member(tar, entry["Config"])
    layers = [_member(tar, name) for name in names]
    # The containerd image store saves compressed layers, and the config names them plain.
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    plain = digests == json.loads(config)["rootfs"]["diff_ids"][below:]
    return UpperLayers(config, layers) if plain else None


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    held = tar.extractfile(name)
    if held is None:
        raise ValueError(f"docker save gives no {name}")
    return held.read()
