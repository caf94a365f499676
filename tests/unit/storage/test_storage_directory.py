"""What only a store in a directory can do wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.directory import DirectoryStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


def everything_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_nothing_but_the_object_is_left(store: DirectoryStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store.put("a/put", b"x")
    store.put("a/put", b"y")
    store.create("a/created", b"x")
    store.create("a/created", b"y")
    store.copy("a/put", "a/copied")
    store.copy("a/put", "a/copied")
    store.put_file("a/moved", tmp_path / "file")
    names = {"a", "a/put", "a/created", "a/copied", "a/moved", ".tmp"}
    assert everything_below(root) == names


def test_delete_takes_emptied_folders_along(store: DirectoryStore, root: Path) -> None:
    store.put("runs/a/data/1", b"x")
    store.put("runs/b", b"x")
    store.delete("runs/a/")
    assert everything_below(root) == {"runs", "runs/b", ".tmp"}
    store.delete("runs/b")
    assert everything_below(root) == {".tmp"}


@pytest.mark.parametrize("linked", ["a", "a/b", "a/b/c"])
def test_symbolic_links_do_not_lead_out(
    store: DirectoryStore, root: Path, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    target = outside / ("a/b/c".removeprefix(linked).lstrip("/") or "file")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"secret")
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(target if linked == "a/b/c" else outside)
    assert (root / "a/b/c").read_bytes() == b"secret"
    for call in (store.get, store.info, store.local_path, lambda key: store.copy(key, "x")):
        with pytest.raises(StorageError, match=r"a symbolic link is in the way|should be"):
            call("a/b/c")
    assert list(store.list("")) == []
    assert list(store.list("a/b/")) == []
    before = everything_below(outside)
    if linked == "a/b/c":
        store.put("a/b/c", b"ours")  # takes the name, not what the link points to
        assert not (root / "a/b/c").is_symlink()
    else:
        with pytest.raises(StorageError, match="a file is where a folder should be"):
            store.put("a/b/c", b"ours")
        with pytest.raises(StorageError, match="a file is where a folder should be"):
            store.create("a/b/d", b"ours")
        store.delete("a/")
    assert everything_below(outside) == before
    assert target.read_bytes() == b"secret"


def test_a_folder_in_the_way_is_an_error(store: DirectoryStore) -> None:
    store.put("a/b", b"x")
    for write in (store.put, store.create):
        with pytest.raises(StorageError, match=r"cannot .* a in .*a folder is where"):
            write("a", b"y")
        with pytest.raises(StorageError, match="a file is where a folder should be"):
            write("a/b/c", b"y")
    assert [found.key for found in store.list("")] == ["a/b"]


def test_only_abandoned_temporary_files_go(store: DirectoryStore, root: Path) -> None:
    old, fresh = root / ".tmp" / "old", root / ".tmp" / "fresh"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    two_days_ago = time.time() - 48 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    DirectoryStore(root)
    assert everything_below(root) == {".tmp", ".tmp/fresh"}
    assert list(store.list("")) == []


def test_a_killed_writer_leaves_nothing_to_see(store: DirectoryStore, root: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from gomr_runtime.storage.directory import DirectoryStore\n"
        "store = DirectoryStore(Path(sys.argv[1]))\n"
        "os.rename = os.link = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "getattr(store, sys.argv[2])('a/b', b'x' * 1000)\n"
    )
    for method in ("put", "create"):
        done = subprocess.run([sys.executable, "-c", code, root, method], check=False, timeout=60)
        assert done.returncode == -9
    assert len(os.listdir(root / ".tmp")) == 2
    assert list(store.list("")) == []
    assert store.create("a/b", b"ours")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_named(
    store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary file is /dev/full, so that the kernel itself answers ENOSPC."""
    monkeypatch.setattr(
        "builtins.open", lambda *_, **__: os.fdopen(os.open("/dev/full", 1), "wb", 0)
    )
    with pytest.raises(StorageError, match=r"cannot write a/b in .*the disk is full"):
        store.put("a/b", b"x")
    with pytest.raises(StorageError, match=r"cannot create a/b in .*the disk is full"):
        store.create("a/b", b"x")
    monkeypatch.undo()
    assert everything_below(root) == {".tmp"}


def test_put_file_across_file_systems(store: DirectoryStore, root: Path) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("needs a second file system (/dev/shm)")
    path = shared_memory / f"gomr-test-{os.getpid()}"
    path.write_bytes(b"content" * 1000)
    try:
        store.put_file("a/b", path)
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
    assert store.get("a/b") == b"content" * 1000
    assert everything_below(root) == {".tmp", "a", "a/b"}


def test_put_file_refuses_what_is_no_file(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "x")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "."):
        with pytest.raises(StorageError, match="cannot write a/b"):
            store.put_file("a/b", tmp_path / name)


def test_a_store_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        DirectoryStore(tmp_path / "file")
    with pytest.raises(StorageError, match=os.strerror(errno.ENOTDIR) + "|should be"):
        DirectoryStore(tmp_path / "file" / "below")


def test_local_path_is_the_object(store: DirectoryStore) -> None:
    store.put("a/b", b"x")
    path = store.local_path("a/b")
    assert path is not None
    assert path.read_bytes() == b"x"
    with pytest.raises(KeyError):
        store.local_path("a")


def test_writers_and_deleters_do_not_break_each_other(store: DirectoryStore) -> None:
    """Deleters remove emptied folders under the writers, which must make them again."""
    over = threading.Event()
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for n in range(60):
                store.put(f"busy/deep/{writer}/{n}", b"x")
        except BaseException as error:  # noqa: BLE001 (shown below)
            errors.append(error)

    def delete() -> None:
        try:
            while not over.is_set():
                store.delete("busy/")
                assert all(found.size == 1 for found in store.list("busy/"))
        except BaseException as error:  # noqa: BLE001 (shown below)
            errors.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    deleters = [threading.Thread(target=delete) for _ in range(2)]
    for thread in [*writers, *deleters]:
        thread.start()
    for thread in writers:
        thread.join(120)
    over.set()
    for thread in deleters:
        thread.join(60)
    assert not any(thread.is_alive() for thread in [*writers, *deleters])
    assert errors == []
