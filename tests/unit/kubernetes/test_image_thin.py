"""A thin image is a valid OCI layout: what it names is in it, or in the base."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

import pytest

from k8s.images.thin_image import Base, file_layer, file_on_top, manifest_for, thin_archive

NAME = "docker.io/library/mr-worker:0123"
DOCKER = "application/vnd.docker"
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "config": {"User": "10001:10001", "Env": ["PATH=/opt/gomr/bin"], "Cmd": ["sh"]},
    "container_config": {"Hostname": "of the build"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64, "sha256:" + "b" * 64]},
    "history": [{"created_by": "a"}, {"created_by": "b"}],
}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
    "config": {"digest": "sha256:" + "c" * 64, "size": 7},
    "layers": [
        {
            "mediaType": f"{DOCKER}.image.rootfs.diff.tar",
            "digest": "sha256:" + "a" * 64,
            "size": 10,
        },
        {
            "mediaType": f"{DOCKER}.image.rootfs.diff.tar.gzip",
            "digest": "sha256:" + "d" * 64,
            "size": 9,
        },
    ],
}


def members(archive: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            held = tar.extractfile(member)
            found[member.name] = held.read() if held else b""
    return found


def thin(source: bytes = b"x = 1") -> dict[str, bytes]:
    layer = file_layer("app/worker.py", source)
    base = Base(MANIFEST, CONFIG)
    config = file_on_top(base, layer, ["python", "worker"])
    return members(thin_archive(base.layers, config, [layer], NAME))


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    found = files["blobs/" + descriptor["digest"].replace(":", "/")]
    assert len(found) == descriptor["size"]
    return found


def test_the_layout_is_whole_but_for_the_layers_of_the_base() -> None:
    files = thin()
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == NAME
    manifest = json.loads(blob(files, entry))
    config = json.loads(blob(files, manifest["config"]))
    assert [each["digest"] for each in manifest["layers"][:2]] == [
        each["digest"] for each in MANIFEST["layers"]
    ]
    layer = blob(files, manifest["layers"][2])
    assert config["rootfs"]["diff_ids"] == [
        *CONFIG["rootfs"]["diff_ids"],
        "sha256:" + hashlib.sha256(layer).hexdigest(),
    ]
    assert members(layer) == {"app": b"", "app/worker.py": b"x = 1"}
    assert len(files) == 5


def test_every_blob_bears_its_own_digest() -> None:
    for name, data in thin().items():
        if name.startswith("blobs/"):
            assert name == "blobs/sha256/" + hashlib.sha256(data).hexdigest()


def test_the_config_is_the_bases_with_another_entrypoint() -> None:
    files = thin()
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    config = json.loads(blob(files, manifest["config"]))
    assert config["config"]["User"] == "10001:10001"
    assert config["config"]["Env"] == ["PATH=/opt/gomr/bin"]
    assert config["config"]["Entrypoint"] == ["python", "worker"]
    assert config["config"]["Cmd"] is None
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"])
    assert "container_config" not in config


def test_media_types_are_oci_throughout() -> None:
    files = thin()
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    kinds = [each["mediaType"].removeprefix("application/") for each in manifest["layers"]]
    tar = "vnd.oci.image.layer.v1.tar"
    assert kinds == [tar, f"{tar}+gzip", tar]


def test_equal_files_are_equal_images() -> None:
    assert thin() == thin()
    assert set(thin()) != set(thin(b"x = 2"))


def test_the_layer_can_be_read_by_any_user() -> None:
    with tarfile.open(fileobj=io.BytesIO(file_layer("app/worker.py", b"x"))) as tar:
        assert [(m.name, m.mode, m.uid, m.mtime) for m in tar] == [
            ("app", 0o755, 0, 0),
            ("app/worker.py", 0o644, 0, 0),
        ]


def test_a_manifest_is_picked_from_an_index_by_platform() -> None:
    index = {
        "manifests": [
            {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:2", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:3", "platform": {"os": "unknown", "architecture": "unknown"}},
        ]
    }
    assert manifest_for(index, "linux/amd64") == "sha256:2"
    assert manifest_for(MANIFEST, "linux/amd64") == ""
    with pytest.raises(ValueError, match="no image for linux/s390x"):
        manifest_for(index, "linux/s390x")


def test_a_manifest_of_another_image_is_no_base() -> None:
    with pytest.raises(ValueError, match="not those of the config"):
        Base(MANIFEST, {**CONFIG, "rootfs": {"diff_ids": ["sha256:" + "a" * 64]}})
