"""`python -m flows.gomr clean`: what it is told is told as for a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.clean import clean_command
from gomr_runtime.errors import UsageError
from gomr_runtime.options.declared import FIELDS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose stores `.gomr` and `other` hold a run that is long over."""
    monkeypatch.chdir(tmp_path)
    for name in FIELDS:
        monkeypatch.delenv(f"GOMR_{name.upper()}", raising=False)
    for store in (".gomr", "other"):
        data = tmp_path / store / "runs" / "old" / "job.json"
        data.parent.mkdir(parents=True)
        data.touch()
        for path in (data, data.parent):
            os.utime(path, (1, 1))
    return tmp_path


def left(here: Path) -> list[str]:
    """The stores that still hold their run."""
    return [store for store in (".gomr", "other") if (here / store / "runs" / "old").exists()]


def test_the_default_store_is_cleaned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean_command([]) == 0
    assert left(here) == ["other"]
    assert capsys.readouterr() == ("old\n", "removed 1 thing from .gomr\n")


def test_the_store_comes_from_argv_the_environment_or_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMR_STORE", "elsewhere")
    clean_command(["--store", "other"])
    assert left(here) == [".gomr"]
    clean_command([])
    assert left(here) == [".gomr"]
    monkeypatch.delenv("GOMR_STORE")
    (here / "gomr.toml").write_text('store = "elsewhere"\nreducers = 3\n')
    clean_command([])
    assert left(here) == [".gomr"]
    monkeypatch.setenv("GOMR_STORE", ".gomr")
    clean_command([])
    assert left(here) == []


def test_a_store_that_argv_names_is_cleaned_whatever_cluster_others_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMR_CONTEXT", "no-such-cluster")
    clean_command(["--store", "other"])
    assert left(here) == [".gomr"]


ADDRESSES = ["s3://bucket/prefix", "gs://b/x", "file:///x", "s3:/b/x", "-"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_directory_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(UsageError, match=r"^clean: .*--store"):
        clean_command(["--store", address])
    monkeypatch.setenv("GOMR_STORE", address)
    with pytest.raises(UsageError, match=r"GOMR_STORE|clean: --store"):
        clean_command([])
    assert left(here) == [".gomr", "other"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--stor", "x"], "clean: there is no option --stor: did you mean --store?"),
        (["--al"], "clean: there is no option --al"),
        (["old"], "clean: unexpected argument old"),
        (["--everything"], "clean: --everything is for a cluster"),
        (["--load", "docker"], "--load"),
        (["--store"], "clean: argument --store: expected one argument"),
    ],
)
def test_wrong_arguments_are_one_line(here: Path, argv: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        clean_command(argv)
    assert words in str(caught.value)
    assert left(here) == [".gomr", "other"]
