"""Commands under limits of a shell: they work, or say which limit it is, and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.support.worker_commands import Command, mapper

WORKERS = ("--workers", "1")


@pytest.mark.parametrize(
    ("limit", "arguments", "words"),
    [
        ("-n 32", (), ""),
        ("-v 400000", (), ""),
        ("-n 12", WORKERS, "too many open files: raise `ulimit -n`"),
        ("-f 0", WORKERS, "larger than this process may write: raise `ulimit -f`"),
        ("-f 1", WORKERS, "larger than this process may write: raise `ulimit -f`"),
        ("-v 300000", WORKERS, "limited to 307.2 MB (ulimit -v)"),
    ],
)
def test_limits(tmp_path: Path, limit: str, arguments: tuple[str, ...], words: str) -> None:
    command = Command(tmp_path, mapper("pass"))
    done = command.run(*arguments, through=f'ulimit {limit}; exec "$@"')
    assert "Traceback" not in done.told
    if words:
        assert done.code in (2, 3)
        assert words in done.told
        assert not command.out.exists()
    else:
        assert done.code == 0, done.told
        assert command.rows() == ["a b\t1", "b c\t1"]
