"""An output format is said in one place: whatever names formats names all of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from gomr_runtime.dataflow.output.part import PartWriter
from gomr_runtime.dataflow.scratch import HashedFile
from gomr_runtime.model.output_formats import (
    FILE_NAME,
    OUTPUT_FORMATS,
    PART_NAME,
    OutputFormatName,
    bad_name,
    part_name,
)
from gomr_runtime.options.declared import RunOptions

NAMES = ["text", "jsonl", "csv", "parquet"]


def test_the_type_and_the_option_name_every_format() -> None:
    assert list(OUTPUT_FORMATS) == list(get_args(OutputFormatName)) == NAMES
    options = {option.name: option for option in dataclasses.fields(RunOptions)}
    assert list(options["output_format"].metadata["choices"]) == NAMES
    assert options["runtime"].metadata["choices"] == ("auto", "local", "kubernetes")


@pytest.mark.parametrize("name", get_args(OutputFormatName))
def test_every_format_can_be_written_and_its_parts_are_known_by_name(
    name: OutputFormatName, tmp_path: Path
) -> None:
    file = part_name(2, name)
    assert file == f"output-00002.{OUTPUT_FORMATS[name].suffix}"
    assert PART_NAME.fullmatch(file)
    assert FILE_NAME.fullmatch(file)
    with HashedFile(tmp_path / file) as sink:
        part = PartWriter(name, file, sink)
        part.add(["k"], [1])
        part.finish()
        assert (part.columns != ()) == OUTPUT_FORMATS[name].typed_columns


def test_other_names_are_none_of_ours() -> None:
    assert not PART_NAME.fullmatch(bad_name(3))
    assert FILE_NAME.fullmatch(bad_name(3))
    for name in ("output-1.txt", "output-00001.exe", "../output-00001.txt", "output-00001.txt\n"):
        assert not FILE_NAME.fullmatch(name)
