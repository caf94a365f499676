"""Reading files and the objects of a directory store by range."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gomr_runtime.dataflow.input.open import check_unchanged, open_input
from gomr_runtime.errors import DataError
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.storage.blobs import StoreBlobs
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.local_blobs import LocalBlobs
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.system.file_blob import FileBlob
from gomr_runtime.worker.channel import read_frame
from gomr_runtime.worker.channel_blobs import BrokeredBlobs
from gomr_runtime.worker.child_handle import Child, Limits
from gomr_runtime.worker.child_main import Request
from tests.unit.support.bytes_blob import BytesBlob


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


class Opened:
    """A blob of a version, and no more."""

    def __init__(self, version: str, size: int = 4) -> None:
        self.version = version
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def test_an_object_is_held_to_the_version_that_was_planned() -> None:
    file = InputFile("in", "s3://bucket/in", 4, version="etag-1")
    check_unchanged(Opened("etag-1"), file)
    check_unchanged(Opened(""), file)  # a server that tells none
    check_unchanged(Opened("etag-1"), replace(file, version=""))
    with pytest.raises(DataError, match="in: input changed while the run went on: it was written"):
        check_unchanged(Opened("etag-2"), file)
    with pytest.raises(DataError, match=r"4 bytes when it started, 5 now"):
        check_unchanged(Opened("etag-1", 5), file)


def test_a_store_object_is_held_to_its_size_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123")
    for blobs in (LocalBlobs(tmp_path.joinpath), StoreBlobs(DirectoryStore(tmp_path))):
        open_input(blobs, InputFile("in", "store:key", 4, version="a hash")).close()
        with pytest.raises(DataError, match=r"^in: input changed"):
            open_input(blobs, InputFile("in", "store:key", 5, version="a hash"))


CHANGES = ["longer", "shorter", "in place", "replaced"]


def change(path: Path, how: str) -> None:
    match how:
        case "longer":
            with path.open("ab") as out:
                out.write(b"two\n")
        case "shorter":
            os.truncate(path, 1)
        case "in place":
            path.write_bytes(b"two\n")
        case _:
            (path.parent / "other").write_bytes(b"two\n")
            os.replace(path.parent / "other", path)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("kind", ["local", "stored", "brokered"])
def test_every_way_to_read_a_file_sees_that_it_changed(tmp_path: Path, how: str, kind: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"one\n")
    (file,) = resolve([str(path)])
    with contextlib.ExitStack() as ends:
        match kind:
            case "local":
                blobs: Blobs = LocalBlobs(tmp_path.joinpath)
            case "stored":
                blobs = StoreBlobs(MemoryStore())
            case _:
                blobs = ends.enter_context(brokered(StoreBlobs(MemoryStore())))
        blob = open_input(blobs, file)
        assert blob.read_at(0, 9) == b"one\n"
        check_unchanged(blob, file)
        change(path, how)
        if how != "replaced":  # what is open is the old file, read to its end
            with pytest.raises(DataError, match=r"in.txt: input changed while the run went on"):
                check_unchanged(blob, file)
        blob.close()
        with pytest.raises(DataError, match=r"in.txt: input changed while the run went on"):
            open_input(blobs, file)


@contextlib.contextmanager
def brokered(blobs: Blobs) -> Iterator[Blobs]:
    """How a child reads whose supervisor reads from `blobs`."""
    ours, theirs = socket.socketpair()
    child = Child(Request("", "", "worker.py"), Limits(1, 1.0), blobs)

    def answer() -> None:
        with contextlib.suppress(EOFError):
            while True:
                if reply := child._serve(*read_frame(ours.recv)):
                    ours.sendall(reply)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield BrokeredBlobs(theirs)
    finally:
        theirs.close()
        thread.join()
        ours.close()
