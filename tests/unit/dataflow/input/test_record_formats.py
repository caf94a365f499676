"""A record format is said in one place: all that names formats names all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import gomr_runtime as gomr
from gomr_runtime.dataflow.input.reader import READERS, reader_of
from gomr_runtime.errors import UsageError
from gomr_runtime.laws.compatibility import check_content, check_skipping
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import Format, JobDescription
from gomr_runtime.model.record_formats import RECORD_FORMATS, record_format

NAMES = ["chunk", "lines", "jsonl", "csv", "whole_file", "raw_bytes"]


def described(of: Format) -> JobDescription:
    return JobDescription(of, True, "", "", "hash", "", False, "0" * 64)


def test_every_format_has_a_public_name_and_a_reader() -> None:
    assert list(RECORD_FORMATS) == NAMES
    assert all(getattr(gomr, name).name == name for name in NAMES)
    assert all(reader_of(Format(name)) for name in NAMES)
    assert {known.name for known in READERS} == set(NAMES)
    assert reader_of(gomr.csv) is not reader_of(gomr.csv(quoted_newlines=False))


def test_which_files_several_tasks_may_read() -> None:
    plain, packed = InputFile("f", "/f", 9), InputFile("f", "/f", 9, "gzip")
    formats = {name: Format(name) for name in NAMES}
    formats["csv of lines"] = gomr.csv(quoted_newlines=False)
    found = {name for name, of in formats.items() if record_format(of).can_split(plain)}
    assert found == {"chunk", "lines", "jsonl", "csv of lines"}
    assert not any(record_format(of).can_split(packed) for of in formats.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_worker_file_and_its_job_agree_on(name: str) -> None:
    archive = InputFile("f.zip", "/f.zip", 9, content="a zip archive")
    refused = set()
    try:
        check_skipping(described(Format(name)), 1)
    except UsageError:
        refused.add("skipping")
    try:
        check_content(described(Format(name)), [archive])
    except UsageError:
        refused.add("content")
    expected = {"chunk": {"skipping", "content"}, "raw_bytes": set()}
    assert refused == expected.get(name, {"content"})


@pytest.mark.parametrize("ask", [record_format, reader_of])
def test_a_format_that_is_none_is_refused_in_words(ask: Callable[[Format], object]) -> None:
    with pytest.raises(UsageError, match=r"^'xml' is no record format; they are chunk, lines"):
        ask(Format("xml"))
