"""Every task of a run in one process has a program that no other task has touched."""

from __future__ import annotations

import linecache
import multiprocessing
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from gomr_runtime.errors import RecordFailed, UsageError
from gomr_runtime.testing import Result, config_of, run_local
from gomr_runtime.user_code.loading import COPY, Loader, write_folder
from gomr_runtime.user_code.worker_file import inspect_worker

TEXT = "".join(f"{word} x\n" for word in "abcabcaab")
WORDS = Counter(TEXT.split())
# Each way to keep a count from one record to the next, and how `finish` gets at it.
WAYS = {
    "a global": ("SEEN = Counter()", "SEEN[word] += 1", "SEEN"),
    "a global that is bound anew": (
        "SEEN = ()",
        "global SEEN; SEEN = (*SEEN, word)",
        "Counter(SEEN)",
    ),
    "a global that appears": (
        "",
        "globals().setdefault('SEEN', Counter())[word] += 1",
        "globals().get('SEEN', {})",
    ),
    "a class attribute": (
        "class Words:\n    seen = Counter()",
        "Words.seen[word] += 1",
        "Words.seen",
    ),
    "a default argument": (
        "def seen(word=None, kept=Counter()):\n    kept[word] += word is not None\n    return kept",
        "seen(word)",
        "+seen()",
    ),
    "a closure": (
        "def make():\n    kept = Counter()\n    def seen(*words):\n"
        "        kept.update(words)\n        return kept\n    return seen\nseen = make()",
        "seen(word)",
        "seen()",
    ),
    "an attribute of a function": (
        "def seen(): ...\nseen.words = Counter()",
        "seen.words[word] += 1",
        "seen.words",
    ),
    "a cache": (
        "@functools.lru_cache(None)\ndef seen(): return Counter()",
        "seen()[word] += 1",
        "seen()",
    ),
    "a cached property": (
        "class Words:\n    @functools.cached_property\n    def seen(self): return Counter()\n"
        "WORDS = Words()",
        "WORDS.seen[word] += 1",
        "WORDS.seen",
    ),
    "a module beside it": ("import helper", "helper.SEEN[word] += 1", "helper.SEEN"),
    "a module of a package": (
        "from pack.inner import SEEN",
        "SEEN[word] += 1",
        "sys.modules['pack.inner'].SEEN",
    ),
    "a module found at run time": (
        "helper = importlib.import_module('hel' + 'per')",
        "helper.SEEN[word] += 1",
        "helper.SEEN",
    ),
    "the environment": (
        "",
        "os.environ['GOMR_TEST_SEEN'] = os.environ.get('GOMR_TEST_SEEN', '') + word",
        "Counter(os.environ.get('GOMR_TEST_SEEN', ''))",
    ),
    "a stream": (
        "import io",
        "print(word, file=sys.stderr) if isinstance(sys.stderr, io.StringIO) else "
        "setattr(sys, 'stderr', io.StringIO(word + '\\n')) or sys.stderr.seek(0, 2)",
        "Counter(sys.stderr.getvalue().split()) if isinstance(sys.stderr, io.StringIO) else {}",
    ),
    "the arguments": ("", "sys.argv.append(word)", "Counter(sys.argv[1:])"),
    "the search path": (
        "",
        "sys.path.append('/' + word)",
        "Counter(p[1:] for p in sys.path if len(p) == 2)",
    ),
}  # fmt: skip
KEPT = "from collections import Counter\nSEEN = Counter()\n"
WORKER = """
import functools, importlib, os, sys
from collections import Counter
import gomr_runtime as gomr

{before}

def mapper(ctx, line):
    for word in line.split():
        {keep}

def finish(ctx):
    if "/map-" in ctx.attempt_id:
        for word, count in ({kept}).items():
            ctx.emit(word, count)

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(
        mapper=mapper, reducer=gomr.sum, finish=finish, input=gomr.lines))
"""


def worker(folder: Path, text: str, **others: str) -> Path:
    (folder / "pack").mkdir(exist_ok=True)
    files = {"worker": text, "helper": KEPT, "pack/__init__": "", "pack/inner": KEPT, **others}
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    return folder / "worker.py"


def run(path: Path, text: str = TEXT, **options: int) -> Result:
    return run_local(path, text, mappers=4, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_what_a_task_keeps_is_gone_with_it(tmp_path: Path, way: str) -> None:
    before, keep, kept = WAYS[way]
    path = worker(tmp_path, WORKER.format(before=before, keep=keep, kept=kept))
    assert dict(run(path).pairs) == WORDS
    assert dict(run(path).pairs) == WORDS, "nor does a run see what another one kept"


MAPPER = """
import gomr_runtime as gomr

def mapper(ctx, line):
    {act}

gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))
"""


def test_memory_does_not_add_up(tmp_path: Path) -> None:
    size = 48 << 20
    before = f"HELD = bytearray(b'x') * {size}"
    act = (
        "from gomr_runtime.user_code.interpreter_state import resident_bytes; "
        "ctx.emit(resident_bytes(), 1)"
    )
    path = worker(tmp_path, before + MAPPER.format(act=act))
    taken = [key for key, _ in run_local(path, "a\n" * 8, mappers=8).pairs]
    assert len(taken) == 8
    assert max(taken) - min(taken) < 2 * size


def test_the_process_is_afterwards_what_it_was(tmp_path: Path) -> None:
    sys.modules.pop("helper", None)
    before = (
        dict(sys.modules), sys.path[:], sys.meta_path[:], sys.argv, dict(os.environ), os.getcwd(),
        multiprocessing.get_start_method(allow_none=True),
    )  # fmt: skip
    act = (
        "import helper, os, sys, multiprocessing; os.chdir('/'); os.environ.clear(); "
        "sys.path[:] = ['/nowhere']; sys.argv[:] = []; ctx.emit(line, __file__)"
    )
    choice = "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n"
    path = worker(tmp_path, choice + MAPPER.format(act=act))
    assert set(run(path).pairs) == {(line, str(path)) for line in TEXT.splitlines()}
    after = (
        dict(sys.modules), sys.path[:], sys.meta_path[:], sys.argv, dict(os.environ), os.getcwd(),
        multiprocessing.get_start_method(allow_none=True),
    )  # fmt: skip
    assert after[1:] == before[1:]
    assert after[0]["__main__"] is before[0]["__main__"]
    assert "helper" not in sys.modules
    assert str(path) not in linecache.cache


LIBRARY = """
import sys
from importlib.machinery import ModuleSpec

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("{name}_of_"):
            return ModuleSpec(name, Finder)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        pass

sys.meta_path.{add}
"""


@pytest.mark.parametrize("add", ["insert(0, Finder)", "append(Finder())"])
def test_a_library_keeps_its_finder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: str
) -> None:
    """As `six` has one: each task imports another module that the finder alone finds."""
    name = f"gomr_test_library_{add.partition('(')[0]}"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / f"{name}.py").write_text(LIBRARY.format(name=name, add=add))
    (tmp_path / "program").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    before = sys.meta_path[:]
    act = f"import {name}; importlib.import_module('{name}_of_' + line); ctx.emit(line, 1)"
    path = worker(tmp_path / "program", "import importlib\n" + MAPPER.format(act=act))
    assert run(path, "a\nb\nc\nd\n").pairs == [(line, 1) for line in "abcd"]
    added = [finder for finder in sys.meta_path if finder not in before]
    assert len(added) == 1
    assert sys.meta_path == (added + before if "insert" in add else before + added)


def test_a_program_does_not_keep_its_finder(tmp_path: Path) -> None:
    before = sys.meta_path[:]
    add = LIBRARY.format(name="nothing", add="insert(0, Finder)")
    text = "import helper\n" + add + MAPPER.format(act="ctx.emit(len(helper.sys.meta_path), 1)")
    path = worker(tmp_path, text, helper=add)
    counts = [key for key, _ in run(path, "a\nb\nc\nd\n").pairs]
    assert len(counts) == 4
    assert len(set(counts)) == 1
    assert sys.meta_path == before


def test_two_workers_with_helpers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = "import helper\n" + MAPPER.format(act="ctx.emit(line, helper.NAME)")
        path = worker(tmp_path / name, text, helper=f"NAME = {name!r}")
        assert run(path, "a\n").pairs == [("a", name)]


def test_what_runs_is_the_copy_also_in_tracebacks(tmp_path: Path) -> None:
    act = "open(__file__, 'a').close(); import helper; helper.fail(line)"
    path = worker(
        tmp_path, MAPPER.format(act=act), helper="def fail(line):\n    assert line == 'right'\n"
    )
    loader = Loader(inspect_worker(path).program)
    (tmp_path / "helper.py").write_text("def fail(line): another\n")
    path.write_text("def another(")
    with loader.fresh("worker.py") as program:
        with pytest.raises(AssertionError) as caught:
            program.config.mapper(None, "wrong")
        lines = [linecache.getline(e.filename, e.lineno) for e in frames(caught.value)]
    assert lines == [f"    {act}\n", "    assert line == 'right'\n"]
    assert [Path(e.filename).name for e in frames(caught.value)] == ["worker.py", "helper.py"]


def frames(error: BaseException) -> list:  # type: ignore[type-arg]
    import traceback

    return traceback.extract_tb(error.__traceback__)[1:]


def test_an_error_shows_the_users_lines(tmp_path: Path) -> None:
    path = worker(tmp_path, MAPPER.format(act="int(line)"))
    with pytest.raises(RecordFailed, match="invalid literal") as caught:
        run(path)
    assert f'File "{path}", line 5, in mapper\n    int(line)' in caught.value.detail


def test_a_module_that_fails_to_load_is_the_users_error(tmp_path: Path) -> None:
    path = worker(tmp_path, "import helper\n" + MAPPER.format(act="pass"), helper="1 / 0\n")
    with pytest.raises(UsageError, match=r"worker\.py cannot be loaded: ZeroDivision") as caught:
        run(path)
    assert 'helper.py", line 1, in <module>\n    1 / 0' in caught.value.detail
    assert "gomr_runtime" not in caught.value.detail
    assert "importlib" not in caught.value.detail


def test_a_config_that_differs_each_time_is_refused(tmp_path: Path) -> None:
    text = (
        "import gomr_runtime as gomr, os, pathlib\n"
        "n = len([*pathlib.Path(__file__).parent.glob('loads*')])\n"
        "pathlib.Path(__file__).with_name(f'loads-{n}').touch()\n"
        "gomr.run(gomr.MapReduceConfig(mapper=print, reducer=gomr.top(n + 1)))\n"
    )
    with pytest.raises(
        UsageError, match=r"each time it is loaded \(reducer is 'top\(2\)', was 'top"
    ):
        run(worker(tmp_path, text))


def test_gomr_run_inside_a_task_is_refused(tmp_path: Path) -> None:
    act = "gomr.run(gomr.MapReduceConfig(mapper=print))"
    with pytest.raises(RecordFailed, match=r"RuntimeError: gomr\.run is called inside a task"):
        run(worker(tmp_path, MAPPER.format(act=act)))


def test_the_config_of_a_file_is_usable_afterwards(tmp_path: Path) -> None:
    before, keep, kept = WAYS["a module beside it"]
    path = worker(tmp_path, WORKER.format(before=before, keep=keep, kept=kept))
    assert config_of(path).mapper.__module__ == "__main__"


def test_a_copy_that_was_written_to_is_noticed(tmp_path: Path) -> None:
    program = inspect_worker(worker(tmp_path, MAPPER.format(act="pass"))).program
    write_folder(tmp_path / "copy", program)
    copy = tmp_path / "copy" / COPY
    copy.write_bytes(copy.read_bytes().replace(b"pass", b"fail"))
    with pytest.raises(Exception, match=r"the copy of the program: the checksum does not match"):
        Loader.of_folder(tmp_path / "copy", program.sha256)
