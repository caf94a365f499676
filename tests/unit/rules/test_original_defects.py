"""Defects of the system that GoMR comes from, in its data plane and its images.

B1 to B5, B7 and B10 are in tests/simulation, B7, B9 and B10 with real processes in tests/process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import JobFailed
from gomr_runtime.testing import run_local

ROOT = Path(__file__).parents[3]
LONG = 64 * 1024  # bytes of a line that the original could still read


def lengths(ctx: gomr.Context, line: str) -> None:
    ctx.emit(len(line), 1)


def total(ctx: gomr.Context, key: object, values: Iterator[int]) -> None:
    ctx.emit(key, sum(values))


@pytest.mark.parametrize("size", [LONG - 1, LONG, LONG + 1, 20 * LONG])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_B6_a_line_above_64_kib_ends_nothing(size: int, place: int) -> None:
    """The scanner stopped at the first one, and the rest of the input was dropped in silence."""
    lines = ["a" * 10] * 3
    lines.insert(place, "b" * size)
    config = gomr.MapReduceConfig(mapper=lengths, reducer=total, input=gomr.lines)
    result = run_local(config, "\n".join(lines))
    assert sorted(result.pairs) == sorted([(10, 3), (size, 1)])
    assert result.ledger.records_read == 4


def test_B8_keys_with_spaces_and_values_of_any_kind_are_kept() -> None:
    """Pairs went through text, and what did not parse as `word number` was skipped."""
    keys = ["two words", "tab\there", "", " ", "line\nbreak", "ключ", "a: b"]
    values = [1, 2.5, "not a number", None, True, b"\x00", [1, "x"]]

    def mapper(ctx: gomr.Context, line: str) -> None:
        for key, value in zip(keys, values, strict=True):
            ctx.emit(key, value)

    def reducer(ctx: gomr.Context, key: str, values: list[object]) -> None:
        for value in values:
            ctx.emit(key, value)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    result = run_local(config, "one line\n", output_format="jsonl")
    assert sorted(result.pairs, key=repr) == sorted(zip(keys, values, strict=True), key=repr)


def test_B8_a_value_that_does_not_fit_fails_by_name() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("key", line)

    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, sum(values))

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    assert run_local(config, "1\n2\n").pairs == [("key", 3)]
    with pytest.raises(JobFailed, match="three"):
        run_local(config, "1\nthree\n")


@pytest.mark.parametrize("path", ["Dockerfile.master", "Dockerfile.worker"])
def test_B11_containers_do_not_run_as_root(path: str) -> None:
    users = re.findall(r"^USER\s+(\S+)", (ROOT / path).read_text(), re.MULTILINE)
    assert users
    assert users[-1].partition(":")[0] not in {"root", "0"}


def test_B11_the_default_login_is_for_a_cluster_of_this_machine_alone() -> None:
    """It was compiled in. Now it is in the overlay for local clusters and refused elsewhere."""
    holders = {
        str(file.relative_to(ROOT))
        for folder in ("gomr_runtime", "flows", "tasks", "k8s")
        for file in (ROOT / folder).rglob("*")
        if (file.suffix in {".py", ".yaml"} and '"minioadmin"' in file.read_text())
        or (file.suffix == ".yaml" and re.search(r": minioadmin$", file.read_text(), re.MULTILINE))
    }
    assert holders == {"k8s/store/minio_admin.py", "k8s/manifests/overlays/local/secret.yaml"}


def test_B11_the_image_of_the_store_is_pinned() -> None:
    images = re.findall(r"image: (\S+)", (ROOT / "k8s/manifests/base/minio.yaml").read_text())
    assert images
    assert [image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image)] == []
