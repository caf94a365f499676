"""From a store to the user's directory: no `_SUCCESS`, no output."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.errors import CorruptBlock, PartLost, RunConflict, StorageError, UsageError
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import Ledger
from gomr_runtime.publishing.publish import check_output, promote, publish, read_success
from gomr_runtime.storage.base import ObjectInfo, Store
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.memory import MemoryStore


def contents_of(run: str, parts: int) -> list[bytes]:
    return [f"{run} {n}\t1\n".encode() * (n + 1) for n in range(parts)]


def finished(store: Store, run: str, parts: int) -> Summary:
    """A run with its parts in the store, as its summary tells it."""
    listed = []
    for n, data in enumerate(contents_of(run, parts)):
        key = f"outputs/{run}/output-{n:05d}.txt"
        store.put(key, data)
        sha256 = hashlib.sha256(data).hexdigest()
        listed.append(Part(f"output-{n:05d}.txt", key, len(data), n + 1, sha256))
    ledger = Ledger(records_read=5, mapped=5)
    return Summary(run, "succeeded", parts=tuple(listed), ledger=ledger, counters={"bad ü": 2})


def files_in(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def test_the_output_and_what_success_says_of_it(store: MemoryStore, out: Path) -> None:
    summary = finished(store, "first", 3)
    seen: list[int] = []
    check_output(out, overwrite=False)
    assert publish(store, summary, out, overwrite=False, progress=seen.append) == out / "_SUCCESS"
    files = files_in(out)
    success = json.loads(files.pop("_SUCCESS"))
    assert files == {f"output-{n:05d}.txt": data for n, data in enumerate(contents_of("first", 3))}
    assert sum(seen) == sum(part.size for part in summary.parts)
    assert success["run"] == "first"
    assert success["counters"] == {"bad ü": 2}
    assert success["ledger"]["records_read"] == 5
    assert [part["records"] for part in success["parts"]] == [1, 2, 3]
    for part in success["parts"]:
        data = files[part["name"]]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part["size"], part["sha256"])
    read = read_success(out)
    assert (read.run, read.ledger, len(read.parts)) == ("first", summary.ledger, 3)


def test_no_parts_and_empty_parts(store: MemoryStore, out: Path) -> None:
    publish(store, Summary("none", "succeeded"), out, overwrite=False)
    assert list(files_in(out)) == ["_SUCCESS"]
    store.put("empty", b"")
    part = Part("output-00000.csv", "empty", 0, 0, hashlib.sha256().hexdigest())
    publish(store, Summary("empty", "succeeded", parts=(part,)), out, overwrite=True)
    assert files_in(out)["output-00000.csv"] == b""


def test_a_published_part_is_a_copy(tmp_path: Path, out: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    publish(store, finished(store, "first", 1), out, overwrite=False)
    with (out / "output-00000.txt").open("ab") as part:
        part.write(b"edited")
    assert store.get("outputs/first/output-00000.txt") == contents_of("first", 1)[0]


def test_overwrite_removes_what_the_former_run_wrote_and_nothing_else(
    store: MemoryStore, out: Path
) -> None:
    publish(store, finished(store, "first", 3), out, overwrite=False)
    (out / "notes.txt").write_bytes(b"mine")
    (out / "output-00009.txt").write_bytes(b"mine too")
    (out / "output-00000.txt").write_bytes(b"edited")
    (out / "folder").mkdir()
    with pytest.raises(UsageError, match=r"output of run first: add --overwrite"):
        check_output(out, overwrite=False)
    check_output(out, overwrite=True)
    publish(store, finished(store, "second", 2), out, overwrite=True)
    files = files_in(out)
    assert read_success(out).run == "second"
    assert sorted(os.listdir(out)) == [
        "_SUCCESS", "folder", "notes.txt", "output-00000.txt", "output-00001.txt",
        "output-00009.txt",
    ]  # fmt: skip
    assert files["output-00009.txt"] == b"mine too"
    assert [files[f"output-{n:05d}.txt"] for n in range(2)] == contents_of("second", 2)


def test_a_file_of_the_users_is_not_replaced(store: MemoryStore, out: Path) -> None:
    publish(store, finished(store, "first", 1), out, overwrite=False)
    (out / "output-00001.txt").write_bytes(b"mine")
    before = files_in(out)
    with pytest.raises(UsageError, match=r"output-00001\.txt is not of the earlier output"):
        publish(store, finished(store, "second", 2), out, overwrite=True)
    assert files_in(out) == before


def break_size(store: MemoryStore, part: Part) -> None:
    store.put(part.key, b"too short")


def break_content(store: MemoryStore, part: Part) -> None:
    store.put(part.key, b"?" * part.size)


def break_existence(store: MemoryStore, part: Part) -> None:
    store.delete(part.key)


@pytest.mark.parametrize("break_it", [break_size, break_content, break_existence])
@pytest.mark.parametrize("former", [False, True])
def test_a_wrong_part_publishes_nothing(
    store: MemoryStore, out: Path, break_it: object, former: bool
) -> None:
    if former:
        publish(store, finished(store, "first", 2), out, overwrite=False)
    before = files_in(out) if former else None
    summary = finished(store, "second", 3)
    assert callable(break_it)
    break_it(store, summary.parts[2])
    with pytest.raises((CorruptBlock, StorageError), match=r"output-00002.*nothing was published"):
        publish(store, summary, out, overwrite=True)
    assert (files_in(out) if out.exists() else None) == before
    assert out.parent.exists() == former


@pytest.mark.parametrize("wrong", ["../x", "output-1.txt", "_SUCCESS", "output-00001.txt/x"])
def test_a_summary_cannot_name_other_files(store: MemoryStore, out: Path, wrong: str) -> None:
    summary = finished(store, "first", 2)
    parts = (summary.parts[0], dataclasses.replace(summary.parts[1], name=wrong))
    with pytest.raises(StorageError, match="names a part wrongly"):
        publish(store, dataclasses.replace(summary, parts=parts), out, overwrite=False)
    assert not out.exists()


def test_places_that_cannot_be_an_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_bytes(b"")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    check_output(tmp_path / "empty", overwrite=False)
    check_output(tmp_path / "new" / "deeper", overwrite=False)
    for name in ("file", "file/below", "foreign", "broken"):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match=f"--output .*{name}"):
                check_output(tmp_path / name, overwrite)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"not json",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format": 2}',
        b'{"format": 1, "run": "r", "parts": [{"name": "../../etc/passwd", "size": 1, '
        b'"records": 1, "sha256": "' + b"0" * 64 + b'"}], "ledger": {}}',
        b'{"format": 1, "run": "r", "parts": {}, "ledger": {}}',
        b'{"format": 1, "run": "r", "parts": [], "ledger": {}, "counters": {"a": "b"}}',
    ],
)
def test_a_foreign_success_protects_its_directory(
    tmp_path: Path, content: bytes, store: MemoryStore
) -> None:
    (tmp_path / "_SUCCESS").write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="_SUCCESS is not of a GoMR output"):
            check_output(tmp_path, overwrite)
        with pytest.raises(UsageError, match="_SUCCESS is not of a GoMR output"):
            publish(store, finished(store, "first", 1), tmp_path, overwrite)
    assert files_in(tmp_path) == {"_SUCCESS": content}


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write everywhere: be nobody for a moment."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_an_unwritable_place() -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to nobody
        os.chmod(place, 0o555)
        with without_privileges():
            for output in (Path(place), Path(place, "new", "deeper")):
                with pytest.raises(UsageError, match=f"{place}.* is not writable"):
                    check_output(output, overwrite=False)
        os.chmod(place, 0o755)
        check_output(Path(place, "new"), overwrite=False)


def test_two_runs_do_not_publish_to_one_place_at_once(store: MemoryStore, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(RunConflict, match="another run publishes there"):
            publish(store, finished(store, "first", 1), tmp_path, overwrite=False)
    finally:
        os.close(folder)
    assert list(tmp_path.iterdir()) == []


def test_promote_twice_and_against_another_result(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    parts = []
    for n, data in enumerate(contents_of("r", 2)):
        key = f"runs/r/data/reduce-{n}/1-abc/part"
        store.put(key, data)
        sha256 = hashlib.sha256(data).hexdigest()
        parts.append(Part(f"output-{n:05d}.txt", key, len(data), 1, sha256))
    promoted = promote(store, "r", parts, Ledger(reduce_out=2), {"c": 1})
    assert [part.key for part in promoted] == [f"outputs/r/output-{n:05d}.txt" for n in range(2)]
    assert promote(store, "r", parts, Ledger(reduce_out=2), {"c": 1}) == promoted
    assert promote(store, "r", promoted, Ledger(reduce_out=2), {"c": 1}) == promoted
    assert read_success(tmp_path / "store/outputs/r").ledger.reduce_out == 2
    with pytest.raises(RunConflict, match="another result"):
        promote(store, "r", parts[:1])
    store.delete("runs/r/data/")
    assert [store.get(part.key) for part in promoted] == contents_of("r", 2)


def test_promote_refuses_missing_and_wrong_parts(store: MemoryStore) -> None:
    summary = finished(store, "r", 1)
    part = dataclasses.replace(summary.parts[0], key="runs/r/data/x")
    with pytest.raises(StorageError, match=r"output-00000\.txt of run q: runs/r/data/x is missing"):
        promote(store, "q", [part])
    store.put("runs/r/data/x", b"?")
    with pytest.raises(StorageError, match="has 1 bytes, its attempt reported"):
        promote(store, "q", [part])
    assert not list(store.list("outputs/q/_SUCCESS"))


class FailingAtTheEnd(MemoryStore):
    """Something happens to it when `_SUCCESS` has been made."""

    def __init__(self, happens: str) -> None:
        super().__init__()
        self.happens = happens

    def create(self, key: str, data: bytes) -> bool:
        created = super().create(key, data)
        if key.endswith("_SUCCESS") and self.happens == "loses a part":
            self.delete("outputs/r/output-00001.txt")
        return created

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if self.happens == "goes away" and "outputs/r/_SUCCESS" in self._objects:
            raise StorageError("no answer in time")
        return super().list(prefix)


def test_S7_no_success_stays_where_the_store_lost_a_part_meanwhile() -> None:
    store = FailingAtTheEnd("loses a part")
    with pytest.raises(PartLost, match=r"output-00001\.txt is missing"):
        promote(store, "r", finished(store, "r", 2).parts)
    assert [found.key for found in store.list("outputs/")] == ["outputs/r/output-00000.txt"]


def test_S1_success_stays_where_the_store_goes_away_right_after() -> None:
    """Every part was there; that the store cannot be asked again is not that it lost them."""
    store = FailingAtTheEnd("goes away")
    promote(store, "r", finished(store, "r", 2).parts)
    store.happens = ""
    assert len(list(store.list("outputs/r/"))) == 3
