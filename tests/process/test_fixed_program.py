"""A run runs what its program was when it started, and user code finds its classes everywhere."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.local_runs import HEAD

TEXT = "a b\nb c\nc d\nd e\n" * 20
HELD = """
import helper
from pack import inner

HERE = Path({folder!r})

def mapper(ctx, line: str):
    (HERE / "holding").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
        ctx.progress()
    import late
    for word in line.split():
        ctx.emit(word, helper.ONE * inner.ONE * late.ONE)

def reducer(ctx, key, values: list[int]):
    ctx.emit(key, sum(values))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
HELPERS = {
    "helper.py": "ONE = 1",
    "late.py": "ONE = 1",
    "pack/__init__.py": "",
    "pack/inner.py": "ONE = 1",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def save(path: Path, text: str) -> None:
    """As an editor does it: another file takes the place of this one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def spoil(folder: Path) -> None:
    save(folder / "worker.py", "def mapper(:")
    save(folder / "helper.py", "ONE = 7")
    (folder / "late.py").unlink()
    (folder / "pack" / "inner.py").write_text("raise ValueError('saved meanwhile')")


def delete(folder: Path) -> None:
    for name in ("worker.py", *HELPERS):
        (folder / name).unlink()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Started:
    """A command over `folder/input.txt` whose output is `folder/out`."""

    def __init__(self, folder: Path, *arguments: str, text: str = TEXT) -> None:
        self.folder = folder
        (folder / "input.txt").write_text(text)
        options = ["--input", "input.txt", "--output", "out", "--overwrite", "-q"]
        self.process = subprocess.Popen(
            [sys.executable, *arguments, *options], cwd=folder, stderr=subprocess.PIPE, text=True
        )

    def counts(self) -> dict[str, int]:
        _, stderr = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, stderr
        found: dict[str, int] = {}
        for part in sorted((self.folder / "out").glob("output-*")):
            for line in part.read_text().splitlines():
                key, value = line.split("\t")
                assert key not in found
                found[key] = int(value)
        return found


RUNTIMES = pytest.mark.parametrize(
    "runtime", [(), ("--workers", "2")], ids=["one process", "workers"]
)


@RUNTIMES
@pytest.mark.parametrize("change", [spoil, delete])
def test_what_is_saved_during_a_run_changes_nothing(
    tmp_path: Path, change: Callable[[Path], None], runtime: tuple[str, ...]
) -> None:
    write(tmp_path, HELPERS | {"worker.py": HEAD + HELD.format(folder=str(tmp_path))})
    run = Started(tmp_path, "worker.py", "--mappers", "6", *runtime)
    wait_for(tmp_path / "holding")
    change(tmp_path)
    (tmp_path / "go").touch()
    assert run.counts() == Counter(TEXT.split())


POOLS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import helper

class Word:
    def __init__(self, text): self.text = text

class Fault(Exception): ...

def make(text): return Word(text)

def fail(text): raise Fault(text)

def mapper(ctx, line: str):
    for how in ("fork", "forkserver", "spawn"):
        context = multiprocessing.get_context(how)
        with context.Pool(2) as pool:
            words = pool.map(make, line.split()) + pool.map(helper.make, line.split())
            try:
                pool.apply(fail, ("x",))
            except Fault as error:
                words.append(Word(str(error)))
        with ProcessPoolExecutor(1, context) as pool:
            words += pool.map(make, line.split())
        assert {type(word) for word in words} == {Word, helper.Word}
        for word in words:
            ctx.emit(word.text, 1)

config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines)
"""
WORD = """
class Word:
    def __init__(self, text): self.text = text

def make(text): return Word(text)
"""
GUARDED = POOLS + "if __name__ == '__main__': gomr.run(config)\n"
OPEN = POOLS + "gomr.run(config)\n"  # each process that is spawned comes to this line


@pytest.mark.parametrize(
    ("source", "runtime"),
    [(OPEN, ()), (GUARDED, ("--workers", "1")), (OPEN, ("--workers", "1"))],
    ids=["open-one process", "guarded-workers", "open-workers"],
)
def test_pools_of_processes_pass_on_instances_of_the_files_classes(
    tmp_path: Path, source: str, runtime: tuple[str, ...]
) -> None:
    write(tmp_path, {"worker.py": HEAD + source, "helper.py": WORD})
    run = Started(tmp_path, "worker.py", "--mappers", "1", *runtime, text="a b\n")
    assert run.counts() == {"a": 9, "b": 9, "x": 3}
