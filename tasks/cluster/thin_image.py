"""An image as a layer on top of one that is there already: pure, from bytes to bytes.

A node that holds the base needs only the layer that is new, a config and a manifest: some
kilobytes, written here as an OCI layout, instead of the whole image. Everything is derived from
the base's own manifest and config, as the node holds them, so it is right for any base.
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
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
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


def thin_archive(base: Base, name: str, layer: bytes, entrypoint: Sequence[str]) -> bytes:
    """An OCI layout, as a tar file, of the image `name`: `base` with `layer` on top.

    It holds no layer of the base. `name` is containerd's: with a registry and a tag.
    """
    config = _config(base.config, layer, entrypoint)
    manifest = _manifest(base.manifest, config, layer)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            _descriptor(OCI_MANIFEST, manifest)
            | {
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                }
            }
        ],
    }
    blobs = {f"blobs/sha256/{_sha256(blob)}": blob for blob in (manifest, config, layer)}
    return _tar(
        {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(index)} | blobs
    )


def _config(base: Mapping[str, Any], layer: bytes, entrypoint: Sequence[str]) -> bytes:
    config = {key: value for key, value in base.items() if key not in _STALE}
    config["config"] = {**(config.get("config") or {}), "Entrypoint": [*entrypoint], "Cmd": None}
    rootfs = dict(config["rootfs"])
    rootfs["diff_ids"] = [*rootfs["diff_ids"], f"sha256:{_sha256(layer)}"]
    step = {"created": config.get("created"), "created_by": "gomr: the worker file"}
    return _json({**config, "rootfs": rootfs, "history": [*(config.get("history") or ()), step]})


def _manifest(base: Mapping[str, Any], config: bytes, layer: bytes) -> bytes:
    below = [
        {**entry, "mediaType": _OCI_TYPES.get(entry["mediaType"], entry["mediaType"])}
        for entry in base["layers"]
    ]
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config),
            "layers": [*below, _descriptor(OCI_LAYER, layer)],
        }
    )


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
