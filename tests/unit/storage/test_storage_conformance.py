"""What every store must do. The process tier runs the same suite against two real S3 servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.open_store import probe_create_only

WRITERS = 32
TEN = b"0123456789"


class StoreConformance:
    """Subclasses give the fixture `store`, empty for each test.

    tenfold: how many times ten objects make more than a page of a listing. races: how often all
    writers race for one key. both: whether `a` and `a/b` can be objects at a time.
    """

    tenfold = 30
    races = 100
    both = True

    def test_an_object_comes_back_as_it_was_put(self, store: Store) -> None:
        every_byte = bytes(range(256)) * 33
        store.put("runs/r/job.json", every_byte)
        assert store.get("runs/r/job.json") == every_byte
        store.put("runs/r/job.json", b"other")
        assert store.get("runs/r/job.json") == b"other"
        store.put("runs/r/empty", b"")
        assert store.get("runs/r/empty") == b""

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, TEN),
            (0, 10, TEN),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (8, 100, b"89"),
            (9, 1, b"9"),
            (10, 1, b""),
            (10, None, b""),
            (11, None, b""),
            (500, 3, b""),
            (4, 0, b""),
        ],
    )
    def test_ranges(self, store: Store, start: int, length: int | None, expected: bytes) -> None:
        store.put("a/ten", TEN)
        assert store.get("a/ten", start, length) == expected

    def test_any_range_of_an_empty_object_is_empty(self, store: Store) -> None:
        store.put("a/empty", b"")
        assert [
            store.get("a/empty", 0, 5),
            store.get("a/empty", 3),
            store.get("a/empty", 0, 0),
        ] == [
            b"",
            b"",
            b"",
        ]

    def test_a_negative_range_is_refused(self, store: Store) -> None:
        store.put("a/ten", TEN)
        with pytest.raises(StorageError, match="cannot be negative"):
            store.get("a/ten", -1)
        with pytest.raises(StorageError, match="cannot be negative"):
            store.get("a/ten", 0, -1)

    def test_a_missing_key_is_a_key_error(self, store: Store) -> None:
        store.put("a/b", b"x")
        for key in ("a/c", "a/b/c", "a", "z"):
            with pytest.raises(KeyError):
                store.get(key)
            with pytest.raises(KeyError):
                store.get(key, 1, 0)
            with pytest.raises(KeyError):
                store.info(key)
            with pytest.raises(KeyError):
                store.copy(key, "target")
        assert [found.key for found in store.list("")] == ["a/b"]

    def test_info_is_what_list_says_and_follows_the_content(self, store: Store) -> None:
        store.put("a/b", TEN)
        before = store.info("a/b")
        assert (before.key, before.size) == ("a/b", 10)
        assert [before] == list(store.list("a/b"))
        store.put("a/b", b"9876543210")
        assert store.info("a/b").version != before.version

    def test_create_takes_a_free_key_once(self, store: Store) -> None:
        assert store.create("commit/map-1", b"mine, nonce 1")
        assert not store.create("commit/map-1", b"another, nonce 2")
        assert store.get("commit/map-1") == b"mine, nonce 1"
        assert store.create("commit/map-1", b"mine, nonce 1")  # as after a lost acknowledgement
        probe_create_only(store)
        assert [found.key for found in store.list("")] == ["commit/map-1"]

    def test_pieces_become_one_object_or_none(self, store: Store) -> None:
        tries: list[int] = []

        def pieces() -> Iterator[bytes]:
            tries.append(1)
            yield from (b"", TEN, b"x" * (6 << 20), TEN)

        store.put("a/pieces", b"before")
        store.put_pieces("a/pieces", pieces, 7 << 20)
        assert store.get("a/pieces") == TEN + b"x" * (6 << 20) + TEN
        assert tries == [1]
        store.put_pieces("a/none", lambda: iter(()), 0)
        assert store.get("a/none") == b""

        store.put_pieces("a/none", lambda: (store.get("a/pieces", i, 1) for i in range(3)), 3)
        assert store.get("a/none") == TEN[:3], "what makes the pieces may read the store"

        def broken() -> Iterator[bytes]:
            yield b"x" * (6 << 20)
            raise KeyError("elsewhere")

        with pytest.raises(KeyError, match="elsewhere"):
            store.put_pieces("a/broken", broken, 7 << 20)
        assert [found.key for found in store.list("")] == ["a/none", "a/pieces"]

    def test_racing_writers_have_exactly_one_winner(self, store: Store) -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            for race in range(self.races):
                gate = threading.Barrier(WRITERS, timeout=60)

                def write(
                    writer: int, gate: threading.Barrier = gate, race: int = race
                ) -> bytes | None:
                    data = f"race {race} writer {writer}".encode()
                    gate.wait()
                    return data if store.create(f"race/{race}", data) else None

                winners = [data for data in pool.map(write, range(WRITERS)) if data]
                assert [store.get(f"race/{race}")] == winners

    def test_list_is_in_key_order_by_plain_prefix(self, store: Store) -> None:
        keys = [
            "a/b/c",
            "a/b-c",
            "a/b",
            "ab",
            "a-b",
            "b/a",
            "ü/é",
            "a/bc/d",
            "a/ x",
            "a/%41",
            "a/+",
        ]
        if not self.both:
            keys.remove("a/b")  # a file cannot be a folder as well
        for key in keys:
            store.put(key, key.encode())
        for prefix in ("", "a", "a/", "a/b", "a/b/", "a/b-", "a/bc", "ü/", "nothing", "a/b/c/d"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            found = list(store.list(prefix))
            assert [info.key for info in found] == expected, prefix
            assert [info.size for info in found] == [len(key.encode()) for key in expected]

    @pytest.mark.parametrize(
        "key",
        [
            "a b/ c /d",
            "a+b%2Fc%41/%",
            "?q=1&r=2#part",
            "<a>&amp;\"quoted\" 'it'",
            "back\\slash:*|$(x);`y`",
            "\u65e5\u672c/\U0001f600/e\u0301 \u202e rtl",
            "-rf/--/~",
            "/".join(["x" * 255, "y" * 255, "\u00fc" * 127, "z" * 200]),
        ],
    )
    def test_odd_keys_are_kept_as_they_are(self, store: Store, key: str) -> None:
        store.put(f"odd/{key}", b"content")
        assert store.get(f"odd/{key}", 2, 3) == b"nte"
        assert store.info(f"odd/{key}").size == 7
        assert not store.create(f"odd/{key}", b"other")
        assert store.create(f"new/{key}", b"")
        store.copy(f"odd/{key}", f"copy/{key}")
        assert store.get(f"copy/{key}") == b"content"
        assert [found.key for found in store.list(f"odd/{key}")] == [f"odd/{key}"]
        expected = [f"copy/{key}", f"new/{key}", f"odd/{key}"]
        assert [found.key for found in store.list("")] == expected
        assert store.delete(f"odd/{key}") == 1
        assert [found.key for found in store.list("")] == expected[:2]

    def test_empty_objects_are_objects(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "nothing").touch()
        store.put("empty/put", b"")
        assert store.create("empty/created", b"")
        store.put_file("empty/moved", tmp_path / "nothing")
        store.copy("empty/put", "empty/copied")
        found = list(store.list("empty/"))
        assert [info.key for info in found] == [
            "empty/copied", "empty/created", "empty/moved", "empty/put",
        ]  # fmt: skip
        assert {info.size for info in found} == {0}
        assert {store.get(info.key) for info in found} == {b""}
        assert not store.create("empty/put", b"more")
        assert store.delete("empty/") == 4

    def test_more_than_a_page_of_keys(self, store: Store) -> None:
        keys = [f"many/{n:05d}/{'x' * (n % 3)}y" for n in range(10 * self.tenfold)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b"1"), keys))
        store.put("many0", b"stays")
        assert [info.key for info in store.list("many/")] == sorted(keys)
        last = f"many/{self.tenfold - 1:04d}"
        assert [info.key for info in store.list(last)] == sorted(keys)[-10:]
        assert store.delete("many/0000") == 10
        assert store.delete("many/") == len(keys) - 10
        assert [info.key for info in store.list("")] == ["many0"]

    def test_delete_by_prefix(self, store: Store) -> None:
        for key in ("runs/a/1", "runs/a/2/3", "runs/ab/1", "runs/b"):
            store.put(key, b"x")
        assert store.delete("runs/c") == 0
        assert store.delete("runs/a/") == 2
        assert [info.key for info in store.list("")] == ["runs/ab/1", "runs/b"]
        assert store.delete("runs/ab/1") == 1
        assert store.delete("runs/ab/1/deeper") == 0
        with pytest.raises(StorageError, match="whole store"):
            store.delete("")
        assert [info.key for info in store.list("")] == ["runs/b"]

    def test_put_file_moves_the_file(self, store: Store, tmp_path: Path) -> None:
        data = bytes(range(251)) * 100_000  # 25 MB: several parts of a multipart upload
        path = tmp_path / "result"
        path.write_bytes(data)
        store.put_file("data/map-1/1-nonce/map", path)
        assert not path.exists()
        assert store.info("data/map-1/1-nonce/map").size == len(data)
        assert store.get("data/map-1/1-nonce/map") == data
        assert store.get("data/map-1/1-nonce/map", 20_000_000, 7) == data[20_000_000:20_000_007]

    def test_put_file_of_nothing_names_the_file(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="a/b"):
            store.put_file("a/b", tmp_path / "absent")
        assert list(store.list("")) == []

    def test_put_file_takes_no_link_and_no_pipe(self, store: Store, tmp_path: Path) -> None:
        """What lies where user code writes may lead to what it must not read."""
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "link").symlink_to("secret")
        os.mkfifo(tmp_path / "pipe")
        for name in ("link", "pipe"):
            with pytest.raises(StorageError, match="a/b"):
                store.put_file("a/b", tmp_path / name)
        assert list(store.list("")) == []
        assert (tmp_path / "secret").exists()

    def test_copy_replaces_and_can_be_repeated(self, store: Store) -> None:
        store.put("data/part", b"content")
        store.put("outputs/r/part", b"older")
        for _ in range(2):
            store.copy("data/part", "outputs/r/part")
            assert store.get("outputs/r/part") == b"content"
        store.put("data/part", b"changed")
        assert store.get("outputs/r/part") == b"content"
        store.delete("data/")
        assert [info.key for info in store.list("")] == ["outputs/r/part"]

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/etc/passwd",
            "a/",
            "a//b",
            "../b",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a/.hidden",
            "a\0b",
            "a\nb",
            "a\x7fb",
            "\ud800",
            "x" * 256,
            "x/" * 600 + "y",
        ],
    )
    def test_wrong_keys_are_refused(self, store: Store, key: str, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"stays")
        with pytest.raises(StorageError, match="is refused"):
            store.get(key)
        with pytest.raises(StorageError, match="is refused"):
            store.info(key)
        with pytest.raises(StorageError, match="is refused"):
            store.put(key, b"")
        with pytest.raises(StorageError, match="is refused"):
            store.put_file(key, path)
        with pytest.raises(StorageError, match="is refused"):
            store.create(key, b"")
        with pytest.raises(StorageError, match="is refused"):
            store.copy(key, "a")
        with pytest.raises(StorageError, match="is refused"):
            store.copy("a", key)
        with pytest.raises(StorageError, match="is refused"):
            store.local_path(key)
        if key not in {"", "a/"}:
            with pytest.raises(StorageError, match="is refused"):
                store.list(key)
            with pytest.raises(StorageError, match="is refused"):
                store.delete(key)
        assert path.read_bytes() == b"stays"


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestDirectory(StoreConformance):
    races = 20  # each write waits for the disk
    both = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return DirectoryStore(tmp_path / "store")
