"""A run runs what its program was when it started, and user code finds its classes everywhere."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support.local_runs import HEAD

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
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
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
        if not (folder / "input.txt").exists():  # one that is written again has changed
            (folder / "input.txt").write_text(text)
        options = ["--input", "input.txt", "--output", "out", "--overwrite", "-q"]
        self.process = subprocess.Popen(
            [sys.executable, *arguments, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """The exit code, and what was told."""
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, stderr

    def counts(self) -> dict[str, int]:
        code, stderr = self.ended()
        assert code == 0, stderr
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


PACKAGED = """
import gomr_runtime as gomr
from . import near
from ..far import ONE

def mapper(ctx, line: str) -> None:
    import top.jobs.late
    for word in near.words(line):
        ctx.emit(word, ONE * top.jobs.late.ONE)

def reducer(ctx, key, values: list[int]) -> None:
    ctx.emit(key, sum(values))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
PACKAGE = {
    "top/__init__.py": "",
    "top/far.py": "ONE = 1",
    "top/jobs/__init__.py": "",
    "top/jobs/near.py": "def words(line): return line.split()",
    "top/jobs/late.py": "ONE = 1",
    "top/jobs/worker.py": PACKAGED,
}


@RUNTIMES
def test_a_module_of_a_package_runs_as_python_started_it(
    tmp_path: Path, runtime: tuple[str, ...]
) -> None:
    write(tmp_path, PACKAGE)
    run = Started(tmp_path, "-m", "top.jobs.worker", "--mappers", "2", *runtime)
    assert run.counts() == Counter(TEXT.split())


@RUNTIMES
def test_a_symbolic_link_finds_what_lies_beside_the_file_it_leads_to(
    tmp_path: Path, runtime: tuple[str, ...]
) -> None:
    source = HEAD + HELD.format(folder=str(tmp_path))
    write(tmp_path, {f"real/{name}": text for name, text in (HELPERS | {"job.py": source}).items()})
    (tmp_path / "link.py").symlink_to("real/job.py")
    (tmp_path / "go").touch()
    run = Started(tmp_path, "link.py", "--mappers", "2", *runtime)
    assert run.counts() == Counter(TEXT.split())


FAILING = """
import helper

def mapper(ctx, line: str):
    ctx.emit(line, helper.number(line))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))
"""


def test_a_module_that_was_mended_is_named_by_resume(tmp_path: Path) -> None:
    write(tmp_path, {"worker.py": HEAD + FAILING, "helper.py": "def number(line): return int('x')"})
    command = ("worker.py", "--workers", "1", "--mappers", "2")
    first = Started(tmp_path, *command, "--run-id", "r")
    assert first.ended()[0] == 1
    (tmp_path / "helper.py").write_text("def number(line): return 1")
    code, stderr = Started(tmp_path, *command, "--resume", "r").ended()
    assert code == 2
    assert stderr == (
        "gomr: --resume r: helper.py has changed since the run was started; undo that, "
        "or add --rerun to run all of its tasks again\n"
    )
    again = Started(tmp_path, *command, "--resume", "r", "--rerun")
    assert again.counts() == dict.fromkeys(TEXT.splitlines()[:4], 20)


WATCHED = {
    "worker.py": "import helper\nimport gomr_runtime as gomr\n\n\ndef mapper(ctx, line):\n"
    "    ctx.emit(helper.same(line), 1)\n\n\n"
    "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))\n",
    "helper.py": "def same(line):\n    return line\n",
}
PDB = ["b helper.py:2", "b worker.py:6", "c", "p 'stopped at', line", "c", "w", "q"]


def test_a_debugger_stops_in_every_file(tmp_path: Path) -> None:
    write(tmp_path, WATCHED)
    orders = [word for order in PDB for word in ("-c", order)]
    run = Started(tmp_path, "-m", "pdb", *orders, "worker.py", text="first\nsecond\n")
    told = "".join(run.process.communicate(timeout=120))
    assert "('stopped at', 'first')" in told
    assert f"> {tmp_path}/helper.py(2)same()" in told


def test_a_profiler_counts_what_all_tasks_do(tmp_path: Path) -> None:
    write(tmp_path, WATCHED)
    run = Started(tmp_path, "-m", "cProfile", "worker.py", "--mappers", "2", text="a\nb\nc\n")
    told, stderr = run.process.communicate(timeout=120)
    assert run.process.returncode == 0, stderr
    [calls] = [
        line.split()[0] for line in (told + stderr).splitlines() if "helper.py:1(same)" in line
    ]
    assert calls == "3"
