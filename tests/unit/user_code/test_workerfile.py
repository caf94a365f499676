"""What is refused before a worker file runs, and what its header says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.environment import environment_key, python_for, satisfies
from gomr_runtime.user_code.worker_file import inspect_worker

GOOD = """\
import gomr_runtime as gomr

def mapper(ctx, chunk):
    ctx.emit("a", 1)

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper))
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "worker.py"
    path.write_text(text)
    return path


def test_a_good_file_is_described_without_running_it(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "\nraise SystemExit('never run')\n")
    found = inspect_worker(path)
    assert found.path == path
    assert found.program.main.source == path.read_bytes()
    assert found.dependencies == ()


@pytest.mark.parametrize(
    "call",
    [
        "import gomr_runtime\ngomr_runtime.run(gomr_runtime.MapReduceConfig(mapper=print))",
        "from gomr_runtime import run, MapReduceConfig as C\nrun(C(print))",
        "from gomr_runtime import *\nrun(MapReduceConfig(mapper=print))",
        "import gomr_runtime as g\nconfig = g.MapReduceConfig(**{'mapper': print})\ng.run(config)",
        "def main():\n    import gomr_runtime as g\n    g.run(build())",
    ],
)
def test_ways_to_call_run(tmp_path: Path, call: str) -> None:
    inspect_worker(write(tmp_path, call))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import gomr_runtime as gomr\ndef mapper(:\n", "worker.py:2: syntax error"),
        ("", "no call of gomr.run"),
        ("def mapper(ctx, chunk): ...", "no call of gomr.run"),
        ("import other as gomr\ngomr.run(gomr.MapReduceConfig(mapper=print))", "no call"),
        ("import gomr_runtime as gomr\n# gomr.run()\n", "no call of gomr.run"),
        ("import gomr_runtime as gomr\ngomr.run(gomr.MapReduceConfig())", "worker.py:2: the con"),
        ("import gomr_runtime as g\nc = g.MapReduceConfig(reducer=f)\ng.run(c)", "no mapper"),
        ("import gomr_runtime as g\ng.run(g.MapReduceConfig(mapper=None))", "no mapper"),
        ("import gomr_runtime as g\ng.run()", "needs a gomr.MapReduceConfig"),
        ("\0", "worker.py"),
        ("(" * 100_000, "worker.py"),
    ],
)
def test_wrong_files_are_refused_on_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        inspect_worker(write(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such worker file"):
        inspect_worker(tmp_path / "nowhere.py")
    with pytest.raises(UsageError, match="cannot be read"):
        inspect_worker(tmp_path)


HEADER = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "snowballstemmer>=2",  # a comment
#   "sortedcontainers",
# ]
# ///
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_header_is_read(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "worker.py"
    path.write_bytes((HEADER + GOOD).replace("\n", newline).encode())
    found = inspect_worker(path)
    assert found.dependencies == ("snowballstemmer>=2", "sortedcontainers")
    assert found.requires_python == ">=3.11"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("# /// script\n# dependencies = [\n# ///\n", "no TOML"),
        ("# /// script\n# dependencies = 'x'\n# ///\n", "list of strings"),
        ("# /// script\n# requires-python = 3\n# ///\n", "a string"),
        (HEADER + "\n" + HEADER, "two"),
    ],
)
def test_wrong_headers(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        inspect_worker(write(tmp_path, header + GOOD))


def test_no_dependencies_need_no_environment(tmp_path: Path) -> None:
    assert python_for(inspect_worker(write(tmp_path, GOOD))) == sys.executable


def test_another_python_is_refused(tmp_path: Path) -> None:
    header = '# /// script\n# requires-python = ">=3.99"\n# ///\n'
    with pytest.raises(UsageError, match=r"needs Python >=3\.99 and this is 3\."):
        python_for(inspect_worker(write(tmp_path, header + GOOD)))


@pytest.mark.parametrize(
    ("specifiers", "expected"),
    [
        ("", True),
        (">=3.11", True),
        (">=3.11, <3.14", True),
        (">3.12.4", False),
        ("<3.12", False),
        ("==3.12.*", True),
        ("==3.12", False),
        ("!=3.12.4", False),
        ("~=3.11", True),
        ("~=3.12.5", False),
        ("<=3.12.4", True),
        ("===3.12.4", True),
        ("===3.12", False),
        (">=3.12.0rc1", True),
        (">3.12.4rc1,<3.13a0", True),
        ("==3.12.4.0", True),
        ("~=3.12.0, !=3.12.4.post1", True),
        (">=3.11,", True),
    ],
)
def test_python_specifiers(specifiers: str, expected: bool) -> None:
    assert satisfies("3.12.4", specifiers) is expected


def test_a_specifier_that_is_none() -> None:
    with pytest.raises(UsageError, match="not understood"):
        satisfies("3.12.4", "three")


def test_the_environment_is_named_by_what_goes_in(tmp_path: Path) -> None:
    first = inspect_worker(write(tmp_path, HEADER + GOOD))
    same = inspect_worker(write(tmp_path, HEADER + GOOD + "\n# another line\n"))
    other = inspect_worker(write(tmp_path, HEADER.replace(">=2", ">=3") + GOOD))
    assert environment_key(first) == environment_key(same) != environment_key(other)
