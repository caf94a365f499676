"""What is read ahead is what would have been read, whatever is read in which order."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from gomr_runtime.errors import DataError, StorageError
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.layout import uploaded
from gomr_runtime.model.task import TaskKind, TaskSpec
from gomr_runtime.storage import read_ahead
from gomr_runtime.storage.blobs import StoreBlobs, TaskBlobs
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.read_ahead import AHEAD, CHUNK, AheadBlob
from gomr_runtime.storage.stored_blob import StoredBlob

DATA = random.Random(1).randbytes(3 * CHUNK + 4321)


class Asked(StoredBlob):
    """Notes where requests begin; those from `broken` on fail."""

    def __init__(self, data: bytes, broken: int = 1 << 60) -> None:
        super().__init__("it", len(data), self._found)
        self._data = data
        self.starts: list[int] = []
        self.broken = broken
        self._lock = threading.Lock()

    def _found(self, offset: int, length: int) -> memoryview:
        with self._lock:
            self.starts.append(offset)
        if offset >= self.broken:
            raise DataError("it changed while it was read")
        return memoryview(self._data)[offset : offset + length]


@pytest.mark.parametrize("step", [1000, 256 << 10, CHUNK, CHUNK + 1, 10 * CHUNK])
def test_from_front_to_back(step: int) -> None:
    asked = Asked(DATA)
    blob = AheadBlob(asked)
    read = b"".join(blob.read_at(at, step) for at in range(0, len(DATA), step))
    assert read == DATA
    assert blob.read_at(len(DATA), 10) == b""
    assert sorted(asked.starts) == list(range(0, len(DATA), CHUNK))


def test_anywhere() -> None:
    blob, rng = AheadBlob(Asked(DATA)), random.Random(2)
    at = 0
    for _ in range(300):
        if rng.random() < 0.3:
            at = rng.randrange(len(DATA) + 10)
        length = rng.choice([1, 5000, CHUNK // 3, CHUNK * 2])
        assert blob.read_at(at, length) == DATA[at : at + length]
        at += len(DATA[at : at + length])


def test_no_more_than_some_is_asked_for() -> None:
    asked = Asked(bytes(20 * CHUNK))
    blob = AheadBlob(asked)
    blob.read_at(0, 1)
    blob.close()
    assert len(asked.starts) <= AHEAD + 1


@pytest.mark.parametrize("until", [1, 1000, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_only_what_is_used_is_read_behind_the_end_of_a_piece(until: int) -> None:
    asked = Asked(DATA)
    blob = AheadBlob(asked, until)
    read = b"".join(blob.read_at(at, min(5000, until - at)) for at in range(0, until, 5000))
    assert read == DATA[:until]
    assert sorted(asked.starts) == list(range(0, until, CHUNK))
    assert blob.read_at(until, 100) == DATA[until : until + 100]
    assert asked.starts[-1] == until
    rest = b"".join(blob.read_at(at, 90_000) for at in range(until + 100, len(DATA), 90_000))
    assert rest == DATA[until + 100 :]


def test_a_task_reads_ahead_up_to_where_its_pieces_end() -> None:
    store = MemoryStore()
    for name in ("plain", "packed", "other"):
        store.put(uploaded(name), DATA)
    asked: list[tuple[str, int, int]] = []
    found = store.get

    def get(key: str, start: int = 0, length: int | None = None) -> bytes:
        asked.append((key, start, length or 0))
        return found(key, start, length)

    store.get = get  # type: ignore[method-assign]
    plain = InputFile("plain", f"store:{uploaded('plain')}", len(DATA))
    packed = InputFile("packed", f"store:{uploaded('packed')}", len(DATA), "gzip")
    pieces = (Piece(plain, 0, 5000), Piece(packed, 0, 5000))
    blobs = TaskBlobs(StoreBlobs(store), TaskSpec("r", "map", 0, 1, "n"), pieces)
    for name, most in (("plain", 5000), ("packed", len(DATA))):
        blob = blobs.open(f"store:{uploaded(name)}")
        assert blob.read_at(0, 4000) == DATA[:4000]
        blob.close()
        ends = [start + length for key, start, length in asked if key == uploaded(name)]
        assert min(CHUNK, most) <= max(ends) <= most


@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_a_task_opens_what_its_plan_names(kind: TaskKind, tmp_path: Path) -> None:
    """The child that runs user code asks, and the supervisor has the keys."""
    store = MemoryStore()
    named = ["runs/r/maps", "runs/r/cuts"]
    maps = ["runs/r/data/map-3/1-n/map", "runs/r/data/map-10/2-m/map"]
    others = [
        *("runs/r/job.json", "runs/r/summary.json", "runs/r/commit/map-3", "runs/r/program.json"),
        *("runs/other/data/map-0/1-n/map", "runs/r/data/reduce-0/1-n/part", "inputs/other"),
        *("outputs/r/_SUCCESS", "runs/r/data/typed/000001/x", "runs/r2/data/map-0/1-n/map"),
    ]
    for key in (*named, *maps, *others, uploaded("mine"), "runs/r/files/0", "runs/r/files/1"):
        store.put(key, b"data")
    (tmp_path / "secret").write_text("secret")
    pieces = (Piece(InputFile("mine", f"store:{uploaded('mine')}", 4), 0, 4),)
    task = TaskSpec("r", kind, 0, 1, "n", (), named[0], named[1])
    table = "runs/r/files/0"
    blobs = TaskBlobs(StoreBlobs(store), task, pieces if kind == "map" else (), table=table)
    mine = [*named, table, *(maps if kind == "reduce" else [uploaded("mine")])]
    for key in mine:
        assert blobs.open(f"store:{key}").read_at(0, 9) == b"data"
    refused = [
        f"store:{key}" for key in {"runs/r/files/1", *others, *maps, uploaded("mine")} - set(mine)
    ]
    places = [str(tmp_path / "secret"), "/proc/self/environ", "s3://bucket/key", "", "store:", "\0"]
    odd = ["store:runs/r/data/map-../../job.json", "store:runs/r/data/map-3/../../job.json"]
    for location in (*refused, *places, *odd):
        with pytest.raises((DataError, StorageError), match=r"not among what|is refused"):
            blobs.open(location)


def test_an_error_comes_where_it_belongs() -> None:
    asked = Asked(DATA, broken=CHUNK)
    blob = AheadBlob(asked)
    assert blob.read_at(0, CHUNK) == DATA[:CHUNK]
    for _ in range(2):
        with pytest.raises(DataError, match="changed"):
            blob.read_at(CHUNK, 1)
    asked.broken = len(DATA)
    assert blob.read_at(CHUNK, 2 * CHUNK) == DATA[CHUNK : 3 * CHUNK]


def test_threads_are_shared() -> None:
    assert read_ahead._readers() is read_ahead._readers()
