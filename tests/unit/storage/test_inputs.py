"""From --input arguments to files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.storage.inputs.files import resolve


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty directory of its own."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def sources(*inputs: str) -> list[str]:
    return [file.source for file in resolve(inputs)]


def test_a_file_keeps_the_name_it_was_given(here: Path) -> None:
    make("a/b.txt", ".hidden", "-dash")
    assert sources("a/b.txt", "./a/../a/b.txt", ".hidden", "-dash") == [
        "a/b.txt",
        "./a/../a/b.txt",
        ".hidden",
        "-dash",
    ]
    (file,) = resolve(["a/b.txt"])
    status = os.stat("a/b.txt")
    assert file == InputFile("a/b.txt", str(here / "a/b.txt"), 7, "", f"7-{status.st_mtime_ns}")


def test_a_directory_is_read_to_its_depth_by_bytes_of_the_name() -> None:
    make("d/b", "d/a/z", "d/a.txt", "d/a-", "d/B", "d/é", "d/_x", "d/a/.h", "d/.g/x", "d/.f")
    assert sources("d") == ["B", "a-", "a.txt", "a/z", "b", "é"]
    assert sources("d/") == sources("./d") == sources("d")


def test_arguments_keep_their_order_and_repeats() -> None:
    make("d/x", "b", "a")
    assert sources("b", "d", "a", "b") == ["b", "x", "a", "b"]


def test_globs() -> None:
    make("d/a.txt", "d/b.csv", "d/e/c.txt", "d/e/f/d.txt", "d/.h/x.txt", "d/.h.txt", "top.txt")
    assert sources("d/*.txt") == ["a.txt"]
    assert sources("d/**/*.txt") == ["a.txt", "e/c.txt", "e/f/d.txt"]
    assert sources("d/**") == ["a.txt", "b.csv", "e/c.txt", "e/f/d.txt"]
    assert sources("**/f/*.txt") == ["d/e/f/d.txt"]
    assert sources("*.txt") == ["top.txt"]
    assert sources("d/[ab].*") == ["a.txt", "b.csv"]
    assert sources("d/?/c.txt") == ["e/c.txt"]
    assert sources("d/e*") == ["e/c.txt", "e/f/d.txt"]
    assert sources(f"{os.getcwd()}/d/*.csv") == ["b.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file() -> None:
    make("a[1].txt", "a1.txt")
    assert sources("a[1].txt") == ["a[1].txt"]


def test_names_of_any_bytes_survive_the_job_description() -> None:
    names = [b"d/new\nline", b"d/-rf", b"d/not-utf8-\xff\xfe", b"d/ space", b"d/" + b"n" * 250]
    names += [b"d/\xff", "d/🙂".encode()]  # in this order as text, in the other as bytes
    Path("d").mkdir()
    for name in names:
        with open(name, "xb") as out:
            out.write(b"12345")
    files = resolve(["d"])
    assert [os.fsencode(file.source) for file in files] == sorted(name[2:] for name in names)
    spec = JobSpec("r", tuple(files), 1, 1, 1, "0" * 64, "worker.py")
    again = from_json(JobSpec, to_json(spec))
    assert again == spec
    assert all(os.stat(file.location).st_size == 5 for file in again.files)


def test_empty_files_are_inputs() -> None:
    Path("d").mkdir()
    Path("d/empty").touch()
    assert [file.size for file in resolve(["d", "d/*", "d/empty"])] == [0, 0, 0]


def test_symlinks_are_followed_and_loops_end() -> None:
    make("d/real", "e/far")
    os.symlink("real", "d/link")
    os.symlink(".", "d/self")
    os.symlink("..", "d/up")
    os.symlink("../e", "d/other")
    os.symlink("../d", "e/back")
    os.symlink("d", "alias")
    found = ["link", "other/far", "real", "up/e/far"]
    started = time.monotonic()
    assert sources("d") == found
    assert sources("alias") == found
    assert sources("d/**/*") == found
    assert time.monotonic() - started < 1


def test_compression_is_told_by_content_alone() -> None:
    data = b"some text\n"
    contents = {
        "a.txt": gzip.compress(data),
        "b.gz": data,
        "c.zst": bz2.compress(data),
        "d": lzma.compress(data),
        "e": zstandard.compress(data),
        "f": b"BZh9 is how bzip2 data begins\n",
        "g": bz2.compress(b""),
        "h": b"\x1f\x8b\n",
        "i": b"",
        "j": b"\x50\x2a\x4d\x18\0\0\0\0" + zstandard.compress(data),
    }
    for name, content in contents.items():
        Path(name).write_bytes(content)
    found = {file.source: file.compression for file in resolve(["."])}
    assert found == {
        "a.txt": "gzip",
        "b.gz": "",
        "c.zst": "bz2",
        "d": "xz",
        "e": "zstd",
        "f": "",
        "g": "bz2",
        "h": "",
        "i": "",
        "j": "zstd",
    }


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("missing", "--input missing: no such file"),
        ("d/a/missing", "no such file"),
        ("missing/*.txt", "no such directory: missing"),
        ("d/*.nothing", r"--input d/\*\.nothing: no file matches"),
        ("hidden", "--input hidden: there is no file in it .names that begin with . or _ are"),
        ("hidden/*", "no file matches .names that begin with . or _ are skipped"),
        ("empty", "--input empty: there is no file in it"),
        ("fifo", "--input fifo is not a regular file.*--input -"),
        ("with-fifo", "--input with-fifo/fifo is not a regular file"),
        ("with-fifo/*", "--input with-fifo/fifo is not a regular file"),
        ("socket", "--input socket is not a regular file"),
        ("/dev/null", "--input /dev/null is not a regular file"),
        ("/proc/self/status", "does not say how large it is"),
        ("dangling", "no such file"),
        ("with-dangling", "--input with-dangling/link cannot be read"),
        ("loop", "--input loop cannot be read: Too many levels"),
        ("with-loop", "--input with-loop/loop cannot be read"),
        ("d/file/below", "no such file"),
        ("n" * 5000, "File name too long"),
        ("", "'' is not a file name"),
        ("a\0b", r"is not a file name"),
        ("new\nline", r"--input new\\nline: no such file"),
        ("s3://bucket/x", "s3://bucket/x: reading s3:// needs"),
    ],
)
def test_what_cannot_be_read_is_named_at_once(name: str, cause: str) -> None:
    make("d/file", "hidden/.x", "hidden/.y/z", "with-fifo/a")
    Path("empty/inner").mkdir(parents=True)
    os.mkfifo("fifo")
    os.mkfifo("with-fifo/fifo")
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    for folder, target in (("with-dangling", "nowhere"), ("with-loop", "loop")):
        Path(folder).mkdir()
        os.symlink(target, f"{folder}/{'link' if target == 'nowhere' else 'loop'}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        started = time.monotonic()
        with pytest.raises(UsageError, match=cause) as error:
            resolve([name])
    assert time.monotonic() - started < 1
    assert "\n" not in str(error.value)


def test_unreadable_files_are_named(here: Path) -> None:
    make("d/secret", "e/x")
    os.chmod("d/secret", 0)
    os.chmod("e", 0)
    here.chmod(0o755)
    program = (
        "import os\n"
        "from gomr_runtime.storage.inputs.files import resolve\n"
        "from gomr_runtime.errors import UsageError\n"
        "if os.geteuid() == 0:\n"  # root may read everything
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for name in ('d', 'e', 'd/*', 'e/x'):\n"
        "    try: resolve([name])\n"
        "    except UsageError as error: print(error)\n"
    )
    done = run_python(program)
    os.chmod("e", 0o700)
    assert done.splitlines() == [
        "--input d/secret cannot be read: Permission denied",
        "--input e cannot be read: Permission denied",
        "--input d/secret cannot be read: Permission denied",
        "--input e/x cannot be read: Permission denied",
    ]


def run_python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    ).stdout


def test_standard_input_is_copied_and_may_be_named_twice(tmp_path: Path) -> None:
    make("a")
    stdin = io.BytesIO(gzip.compress(os.urandom(3 << 20)))
    size = len(stdin.getvalue())
    files = resolve(["-", "a", "-"], stdin_copy=tmp_path / "copy", stdin=stdin)
    assert [file.source for file in files] == ["-", "a", "-"]
    assert files[0] == files[2]
    assert files[0].location == str(tmp_path / "copy")
    assert (files[0].size, files[0].compression) == (size, "gzip")
    assert (tmp_path / "copy").read_bytes() == stdin.getvalue()


def test_standard_input_is_not_touched_when_another_input_is_wrong(tmp_path: Path) -> None:
    stdin = io.BytesIO(b"data")
    with pytest.raises(UsageError, match="missing"):
        resolve(["-", "missing"], stdin_copy=tmp_path / "copy", stdin=stdin)
    assert stdin.read() == b"data"
    with pytest.raises(UsageError, match="--input -"):
        resolve(["-"], stdin=stdin)
    with pytest.raises(EnvironmentFailed, match="copying standard input"):
        resolve(["-"], stdin_copy=tmp_path / "no" / "copy", stdin=stdin)


def test_an_s3_input_is_what_the_lister_says() -> None:
    make("a")
    found = [InputFile("k2", "s3://b/k2", 2), InputFile("k1", "s3://b/k1", 1)]
    files = resolve(["a", "s3://b/"], lister=lambda url: found if url == "s3://b/" else [])
    assert [file.source for file in files] == ["a", "k2", "k1"]


def test_thousands_of_files_are_quick() -> None:
    for n in range(2000):
        folder = f"d/{n % 30}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{n}", "xb") as out:
            out.write(b"x")
    started = time.process_time()
    assert len(resolve(["d"])) == len(resolve(["d/*/*"])) == 2000
    assert time.process_time() - started < 1.5


def test_the_import_is_light() -> None:
    heavy = ["asyncio", "bz2", "grpc", "lzma", "numpy", "obstore", "pyarrow", "zstandard"]
    program = "import sys, gomr_runtime.storage.inputs.files\n"
    program += f"print(sorted({{*sys.modules}} & {{*{heavy}}}))"
    assert run_python(program) == "[]\n"
