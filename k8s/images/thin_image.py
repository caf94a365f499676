"""An image as layers on top of one that is there already: pure, from bytes to bytes.

A node that holds the lower layers needs only those that are new, a config and a manifest: some
kilobytes, written here as an OCI layout, instead of the whole image. What lies below is taken from
a manifest as the node holds it, so it is right however it came there.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

# Docker's names of the types, where a manifest of that kind has others than OCI's.
_OCI_TYPES = {
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    DOCKER_LAYER: OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{OCI_LAYER}+gzip",
}
# What a config says of the container that its last step ran in.
_STALE = ("container", "container_config", "id", "parent", "docker_version")


@dataclass(frozen=True, slots=True)
class Base:
    """Manifest and config of an image for one platform, as stored; raises ValueError otherwise."""

    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.manifest["layers"]) != len(self.config["rootfs"]["diff_ids"]):
            raise ValueError("the manifest's layers are not those of the config")

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        """Descriptors, the lowest layer first."""
        return list(self.manifest["layers"])


def manifest_for(stored: Mapping[str, Any], platform: str) -> str:
    """Digest of the manifest for `platform` in an index; empty when `stored` is a manifest."""
    if "layers" in stored:
        return ""
    for entry in stored["manifests"]:
        found = entry.get("platform", {})
        if f"{found.get('os')}/{found.get('architecture')}" == platform:
            return str(entry["digest"])
    raise ValueError(f"no image for {platform}")


def file_layer(path: str, data: bytes) -> bytes:
    """A layer of one file that everyone may read, and of its folder; equal for equal files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo(path.rpartition("/")[0])
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(data), 0o644
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def file_on_top(base: Base, layer: bytes, entrypoint: Sequence[str]) -> bytes:
    """The config of an image that is `base` with one layer more and another entrypoint."""
    config = {key: value for key, value in base.config.items() if key not in _STALE}
    config["config"] = {**(config.get("config") or {}), "Entrypoint": [*entrypoint], "Cmd": None}
    rootfs = dict(config["rootfs"])
    rootfs["diff_ids"] = [*rootfs["diff_ids"], f"sha256:{_sha256(layer)}"]
    step = {"created": config.get("created"), "created_by": "gomr: the worker file"}
    return _json({**config, "rootfs": rootfs, "history": [*(config.get("history") or ()), step]})


def thin_archive(
    below: Sequence[Mapping[str, Any]], config: bytes, layers: Sequence[bytes], name: str
) -> bytes:
    """An OCI layout, as a tar file, of an image without the layers that its receiver has.

    below: those, as a stored manifest lists them. config: of the whole image. layers: the rest, as
    tar files. name: containerd's, with a registry and a tag.
    """
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config),
            "layers": [
                *({**entry, "mediaType": _oci_type(entry["mediaType"])} for entry in below),
                *(_descriptor(OCI_LAYER, layer) for layer in layers),
            ],
        }
    )
    named = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    entry = _descriptor(OCI_MANIFEST, manifest) | {"annotations": named}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    blobs = {f"blobs/sha256/{_sha256(blob)}": blob for blob in (manifest, config, *layers)}
    first = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(index)}
    return _tar(first | blobs)


def _oci_type(media_type: str) -> str:
    return _OCI_TYPES.get(media_type, media_type)


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(blob)}", "size": len(blob)}


def _tar(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
