"""Which files below a folder are input: the same on this machine and in a bucket."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.storage.inputs.files import own_directories, resolve
from gomr_runtime.storage.inputs.s3_files import inputs_in
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.success import PublishedPart, Success, success_bytes


class Place:
    """Files somewhere, and what is found there; `made` holds each content by its path."""

    def __init__(self) -> None:
        self.made: dict[str, bytes] = {}

    def make(self, *names: str) -> None:
        for name in names:
            self.put(name, f"{name}\n".encode())

    def output(self, folder: str, *parts: str, run: str = "r1") -> None:
        """An output of GoMR, as its `_SUCCESS` says it."""
        listed = []
        for name in parts:
            self.make(f"{folder}/{name}")
            data = self.made[f"{folder}/{name}"]
            listed.append(PublishedPart(name, len(data), 1, hashlib.sha256(data).hexdigest()))
        self.put(f"{folder}/_SUCCESS", success_bytes(Success(run, tuple(listed))))

    def put(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def remove(self, name: str) -> None:
        raise NotImplementedError

    def files(self, name: str, output: str = "", store: str = "") -> Sequence[InputFile]:
        raise NotImplementedError

    def sources(self, name: str, output: str = "", store: str = "") -> list[str]:
        return [file.source for file in self.files(name, output, store)]


class Here(Place):
    """The working directory."""

    def put(self, name: str, data: bytes) -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)
        self.made[name] = data

    def remove(self, name: str) -> None:
        Path(name).unlink()

    def files(self, name: str, output: str = "", store: str = "") -> Sequence[InputFile]:
        return resolve([name], own=own_directories(output or "no-output", store or "no-store"))


class Bucket(Place):
    """A bucket; `MemoryStore` meets the same tests as a store in S3."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = MemoryStore()

    def put(self, name: str, data: bytes) -> None:
        if "/." not in name:  # which this store does not take
            self.objects.put(name, data)
        self.made[name] = data

    def remove(self, name: str) -> None:
        self.objects.delete(name)

    def files(self, name: str, output: str = "", store: str = "") -> Sequence[InputFile]:
        url = "s3://bucket/" + ("" if name == "." else name)
        return inputs_in(self.objects, url, f"s3://bucket/{store}" if store else "")


@pytest.fixture(params=[Here, Bucket])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    made: Callable[[], Place] = request.param
    return made()


def test_names_that_begin_with_a_dot_or_underscore_are_skipped_at_every_level(
    place: Place,
) -> None:
    place.make("d/a", "d/_a", "d/.a", "d/_b/x", "d/.b/x", "d/c/_x", "d/c/.x", "d/c/x", "d/c/_d/y")
    place.make("d/c_/x_", "d/__init__.py")
    assert place.sources("d") == place.sources("d/") == ["a", "c/x", "c_/x_"]
    assert place.sources("d/**") == ["a", "c/x", "c_/x_"]
    assert place.sources("d/*") == ["a", "c/x", "c_/x_"]
    assert place.sources("d/*/*") == ["c/x", "c_/x_"]
    assert place.sources("d/**/x") == ["c/x"]
    assert place.sources("d/?*") == ["a", "c/x", "c_/x_"]


@pytest.mark.parametrize("pattern", ["d/[_]a", "d/[.]a", "d/?a", "d/[!x]a", "d/*a"])
def test_a_pattern_takes_such_a_name_only_where_it_begins_with_the_same_character(
    place: Place, pattern: str
) -> None:
    place.make("d/_a", "d/x")
    with pytest.raises(UsageError, match=r"no file matches .names that begin with . or _ are ski"):
        place.sources(pattern)
    assert place.sources("d/_*") == place.sources("d/_a*") == place.sources("d/_[a]") == ["_a"]


def test_a_pattern_that_names_the_underscore_counts_for_its_own_level(place: Place) -> None:
    place.make("d/_p/x", "d/_p/_y", "d/_p/q/z", "d/x", "e/_x", "_top")
    assert place.sources("d/_*") == ["_p/q/z", "_p/x"]
    assert place.sources("d/_*/*") == ["_p/q/z", "_p/x"]
    assert place.sources("d/_*/_*") == ["_p/_y"]
    assert place.sources("d/_p/*") == ["q/z", "x"]
    assert place.sources("*/_x") == ["e/_x"]
    assert place.sources("_*") == ["_top"]


def test_what_is_named_is_taken_whatever_its_name(place: Place) -> None:
    place.make("d/_a", "d/_f/_x", "d/_f/y")
    assert [Path(source).name for source in place.sources("d/_a")] == ["_a"]
    assert place.sources("d/_f") == place.sources("d/_f/*") == ["y"]
    assert [Path(source).name for source in place.sources("d/_f/_x")] == ["_x"]


def test_an_output_is_read_as_the_parts_that_it_lists(place: Place) -> None:
    place.output("out", "output-00000.txt", "output-00001.txt")
    place.make("out/output-00002.txt", "out/notes.txt", "out/_logs/x", "out/sub/y")
    for name in ("out", "out/", "out/*", "out/**", "out/output-*", "ou*"):
        found = place.files(name)
        assert [Path(file.source).name for file in found] == [
            "output-00000.txt",
            "output-00001.txt",
        ]
        assert [file.size for file in found] == [21, 21]
    assert place.sources("out/*1.txt") == ["output-00001.txt"]
    with pytest.raises(UsageError, match="no file matches"):
        place.sources("out/*.csv")
    with pytest.raises(UsageError, match="no file matches"):
        place.sources("ou*/*/*")


def test_a_file_of_an_output_that_is_named_is_taken(place: Place) -> None:
    place.output("out", "output-00000.txt")
    place.make("out/notes.txt", "out/sub/y")
    assert place.files("out/notes.txt")[0].size == len(b"out/notes.txt\n")
    assert place.files("out/_SUCCESS")[0].size == len(place.made["out/_SUCCESS"])
    assert place.sources("out/sub") == ["y"]


def test_several_outputs_below_a_folder_are_read_one_after_another(place: Place) -> None:
    place.output("outputs/b", "output-00000.txt", run="b")
    place.output("outputs/a/deep", "output-00000.txt", "output-00001.txt", run="a")
    expected = ["a/deep/output-00000.txt", "a/deep/output-00001.txt", "b/output-00000.txt"]
    assert place.sources("outputs") == place.sources("outputs/**") == expected
    assert place.sources("outputs/*/*") == expected
    assert place.sources("outputs/?") == expected


@pytest.mark.parametrize("pattern", ["d", "d/", "d/*", "d/**", "d/**/*.txt", "*"])
def test_outputs_and_other_files_are_not_mixed(place: Place, pattern: str) -> None:
    place.make("d/a.txt")
    place.output("d/runs/one", "output-00000.txt", run="one")
    place.output("d/runs/two", "output-00000.txt", run="two")
    with pytest.raises(UsageError, match=r"of run one and .*a.txt is not part of one") as caught:
        place.sources(pattern)
    assert f"--input {'' if isinstance(place, Here) else 's3://bucket/'}{pattern}:" in str(
        caught.value
    )
    assert place.sources("d/*.txt") == ["a.txt"]
    assert place.sources("d/runs") == ["one/output-00000.txt", "two/output-00000.txt"]


@pytest.mark.parametrize("pattern", ["d", "d/out", "d/*", "d/out/*", "d/**/output-*", "d/out/o*"])
def test_parts_without_success_are_refused(place: Place, pattern: str) -> None:
    place.make("d/out/output-00003.jsonl", "d/a", "d/out/sub/x")
    place.make("d/out/.output-00000.txt.gomr")
    with pytest.raises(UsageError, match=r"d/out holds output-00003.jsonl and no _SUCCESS: a run"):
        place.sources(pattern)
    assert place.files("d/out/output-00003.jsonl")[0].size == 25
    assert place.sources("d/out/sub") == ["x"]
    assert place.sources("d/*/sub/*") == ["out/sub/x"]
    assert place.sources("d/a*") == ["a"]


@pytest.mark.parametrize("name", ["out", "out/*", "out/output-00000.*", "*/*"])
def test_an_output_that_is_not_whole_is_refused(place: Place, name: str) -> None:
    place.output("out", "output-00000.txt", "output-00001.txt")
    place.remove("out/output-00001.txt")
    with pytest.raises(UsageError, match=r"out/output-00001.txt is missing, and _SUCCESS beside"):
        place.sources(name)
    place.put("out/output-00001.txt", b"short")
    with pytest.raises(UsageError, match=r"01.txt has 5 bytes, and _SUCCESS beside it says 21"):
        place.sources(name)


def test_an_output_without_parts_is_an_input_without_files(place: Place) -> None:
    place.output("out")
    place.make("out/foreign")
    assert place.sources("out") == place.sources("out/*") == place.sources("o*") == []


def test_the_success_of_another_program_makes_no_output(place: Place) -> None:
    place.make("spark/part-00000", "spark/_temporary/x", "empty/part-0")
    place.put("spark/_SUCCESS", b'{"format": 1, "name": "org.apache.spark"}')
    place.put("empty/_SUCCESS", b"")
    place.put("broken/_SUCCESS", b"\xff{")
    place.make("broken/output-00000.txt")
    assert place.sources("spark") == ["part-00000"]
    assert place.sources("empty") == ["part-0"]
    with pytest.raises(UsageError, match="broken/_SUCCESS is not that of a GoMR output"):
        place.sources("broken")


def test_the_own_store_is_skipped(place: Place) -> None:
    place.make("d/a", "d/store/runs/r/data/x", "d/store/outputs/r/output-00000.txt")
    for pattern in ("d", "d/**", "d/*", "*", "d/**/*"):
        assert [Path(s).name for s in place.sources(pattern, store="d/store")] == ["a"]
    assert place.sources("d/store/runs/r", store="d/store") == ["data/x"]
    for pattern in ("d/store", "d/store/", "d/store/*", "d/store/**"):
        with pytest.raises(UsageError, match="it is the run's own --store"):
            place.sources(pattern, store="d/store")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here()


OUTPUTS = ["d/out", "./d/out", "d/../d/out/", "link/out", "direct", "d/sub/../out"]


@pytest.mark.parametrize("output", [*OUTPUTS, "absolute"])
@pytest.mark.parametrize("pattern", ["d", "d/*", "d/**", "*/", "link", "./d/", "."])
def test_the_own_output_is_skipped(here: Here, output: str, pattern: str) -> None:
    here.make("d/a", "d/sub/b")
    here.output("d/out", "output-00000.txt")
    os.symlink("d", "link")
    os.symlink("d/out", "direct")
    found = here.sources(pattern, os.path.abspath("d/out") if output == "absolute" else output)
    assert {Path(source).name for source in found} == {"a", "b"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_own_output_is_no_input(here: Here, output: str) -> None:
    here.output("d/out", "output-00000.txt")
    os.symlink("d", "link")
    os.symlink("d/out", "direct")
    for pattern in ("d/out", "d/out/*", "direct", "link/out/**"):
        with pytest.raises(UsageError, match="it is the run's own --output"):
            here.sources(pattern, output)
    assert here.sources("d/out/output-00000.txt", output) == ["d/out/output-00000.txt"]


def test_an_output_below_a_link_is_the_output_that_it_leads_to(here: Here) -> None:
    here.output("far/out", "output-00000.txt")
    os.symlink("far", "near")
    os.symlink("nowhere", "far/dangling")
    os.symlink("loop", "far/.loop")
    assert here.sources("near/out") == ["output-00000.txt"]
    (Path("far") / "dangling").unlink()
    assert here.sources("near") == ["out/output-00000.txt"]
