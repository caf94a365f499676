"""Reading files and the objects of a directory store by range."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gomr_runtime.blobs import BytesBlob, FileBlob, LocalBlobs, check_unchanged, open_input
from gomr_runtime.errors import DataError
from gomr_runtime.inputs import resolve
from gomr_runtime.job import InputFile


def test_ranges_of_a_file_and_of_a_store_object(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789")
    blobs = LocalBlobs(tmp_path.joinpath)
    for location in (str(tmp_path / "key"), "store:key"):
        with blobs.open(location) as blob:
            assert blob.size == 10
            assert blob.read_at(0, 3) == b"012"
            assert blob.read_at(8, 5) == b"89"
            assert blob.read_at(10, 5) == b""
            assert blob.read_at(99, 5) == b""
    assert BytesBlob(b"0123").read_at(2, 9) == b"23"


def test_a_closed_blob_gives_its_descriptor_back(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    before = len(os.listdir("/proc/self/fd"))
    blob = FileBlob(tmp_path / "f")
    blob.close()
    blob.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["missing", "directory", "fifo"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match=name):
        LocalBlobs(tmp_path.joinpath).open(f"store:{name}")


def test_a_key_without_a_file_is_named() -> None:
    with pytest.raises(DataError, match="store:runs/r/x"):
        LocalBlobs(lambda key: None).open("store:runs/r/x")


@pytest.mark.parametrize("change", ["longer", "shorter", "same size", "gone"])
def test_an_input_that_changed_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"one\n")
    (file,) = resolve([str(path)])
    blobs = LocalBlobs(tmp_path.joinpath)
    blob = open_input(blobs, file)
    check_unchanged(blob, file)
    blob.close()
    os.utime(path, ns=(1, 1))
    match change:
        case "longer":
            path.write_bytes(b"one\ntwo\n")
        case "shorter":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
    expected = "No such file" if change == "gone" else "input changed while the run went on"
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DataError, match=rf"in\.txt.*{expected}"):
        open_input(blobs, file)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_change_during_reading_is_seen_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"one\n")
    (file,) = resolve([str(path)])
    with FileBlob(path) as blob:
        with path.open("ab") as out:
            out.write(b"two\n")
        with pytest.raises(DataError, match="input changed"):
            check_unchanged(blob, file)


def test_a_store_object_is_held_to_its_size_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123")
    blobs = LocalBlobs(tmp_path.joinpath)
    open_input(blobs, InputFile("in", "store:key", 4, version="an etag")).close()
    with pytest.raises(DataError, match=r"^in: input changed"):
        open_input(blobs, InputFile("in", "store:key", 5, version="an etag"))
