"""Decoded JSON becomes a value of its type, or is refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import Mismatch, from_json, parse, take, taker
from gomr_runtime.model import job, summary, task
from gomr_runtime.model.inputs import files
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.task import Ledger, TaskResult, TaskSpec

FILE: dict[str, Any] = {"source": "a", "location": "/a", "size": 5}
RECEIVED = [
    kind
    for module in (files, job, task, summary)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    if kind.__module__ == module.__name__
]


def test_every_value_that_travels_has_a_range_for_each_number_and_text() -> None:
    assert len(RECEIVED) > 15
    for kind in RECEIVED:
        assert callable(taker(kind))


@pytest.mark.parametrize("kind", [int, str, float, dict, tuple[int, ...], dict[str, str], object])
def test_a_type_without_a_range_is_none_for_what_is_received(kind: Any) -> None:
    with pytest.raises(TypeError):
        taker(kind)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": "5"}, "size: '5' is no whole number from 0 to 9,223,372,036,854,775,807"),
        ({"size": True}, "size: True is no whole number"),
        ({"size": 5.0}, "size: 5.0 is no whole number"),
        ({"size": -1}, "size: -1 is no whole number"),
        ({"size": 2**63}, "size: 9223372036854775808 is no whole number"),
        ({"size": None}, "size: null is no whole number"),
        ({"source": 5}, "source: 5 is no text"),
        ({"source": "x" * 40_000}, "source: a text of 40,000 characters, at most 32,768"),
        ({"compression": "rar"}, "compression: 'rar' is none of '', 'gzip', 'bz2', 'xz', 'zstd'"),
        ({"compression": []}, "compression: a list of 0 is none of"),
        ({"colour": 1}, "InputFile has no field 'colour'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Mismatch) as caught:
        take(InputFile, FILE | change)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named_and_where_it_is() -> None:
    ranges = [{"first": 0, "start": 0, "last": 0, "end": 5}, {"first": 1, "start": 0, "end": 5}]
    spec = {"run": "r", "kind": "map", "index": 0, "attempt": 1, "nonce": "", "ranges": ranges}
    with pytest.raises(Mismatch, match=r"ranges\[1\]: FileRange lacks last"):
        take(TaskSpec, spec)


def test_what_fields_must_agree_on_is_checked() -> None:
    for start, end in ((3, 2), (0, 6)):
        with pytest.raises(Mismatch, match=f"bytes {start} to {end} of 5 are no piece"):
            take(Piece, {"file": FILE, "start": start, "end": end})
    assert take(Piece, {"file": FILE | {"compression": "gzip"}, "start": 0, "end": 6}).end == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("9" * 5_000, "an int of 5,000 digits"),
        ("", "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused_in_a_line(text: str | bytes, words: str) -> None:
    with pytest.raises(Mismatch, match=words) as caught:
        parse(text)
    assert len(str(caught.value)) < 200


def test_counters_have_as_many_digits_as_a_task_may_count() -> None:
    result = TaskResult((), Ledger(), {"n": 10**4000 - 1, "m": 1 - 10**4000})
    assert from_json(TaskResult, to_json(result)) == result
    with pytest.raises(Mismatch, match=r"counters\['n'\]: a number of 13,288 bits"):
        from_json(TaskResult, to_json(TaskResult((), Ledger(), {"n": 10**4000})))


def test_an_int_is_a_float_and_comes_as_one() -> None:
    found = from_json(TaskResult, json.dumps({"files": [], "ledger": {}, "cpu_seconds": 3}))
    assert (found.cpu_seconds, type(found.cpu_seconds)) == (3.0, float)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(RECEIVED), st.data())
def test_whatever_comes_is_a_value_or_a_mismatch(kind: type, data: st.DataObject) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    value = data.draw(anything | st.dictionaries(st.sampled_from(names), anything))
    found: Any
    try:
        found = take(kind, value)
    except Mismatch as error:
        found = error
    assert type(found) is kind or len(str(found)) < 1_000
