"""The parts people open: what is in them for every kind of key and value."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import Any

import pyarrow.parquet as pq
import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import RecordFailed
from gomr_runtime.testing import Pair, Result, run_local

pytestmark = pytest.mark.usefixtures("engine")

MANY: list[Pair] = [
    ("tab\tnl\ncr\rback\\slash", "v\t"),
    ("é\u2028\x85", 1),
    (1, [1, "a\t", None]),
    (("t", 2.5, b"x"), {"b": b"\xff", "a": True}),
    (b"\x00", 1.5),
    (None, None),
]


def emit_all(pairs: list[Pair], **options: Any) -> Result:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit_many(pairs)

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    return run_local(config, "x\n", mappers=1, **options)


def test_text_is_a_line_a_pair_with_strings_escaped() -> None:
    (part,) = emit_all(MANY).parts
    assert part.decode() == (
        "tab\\tnl\\ncr\\rback\\\\slash\tv\\t\n"
        "é\u2028\x85\t1\n"
        '1\t[1,"a\\t",null]\n'
        '["t",2.5,{"$bytes":"eA=="}]\t{"b":{"$bytes":"/w=="},"a":true}\n'
        '{"$bytes":"AA=="}\t1.5\n'
        "null\tnull\n"
    )


ZEROS: list[Pair] = [(-0.0, -0.0), ((-0.0, ("t", -0.0)), 0.0)]


@pytest.mark.parametrize("from_reducer", [False, True])
def test_minus_zero_is_zero_as_a_key_in_any_depth_and_itself_as_a_value(from_reducer: bool) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit_many([(1, 1)] if from_reducer else ZEROS)

    def reducer(ctx: gomr.Context, key: int, values: list[int]) -> None:
        ctx.emit_many(ZEROS)

    config = gomr.MapReduceConfig(
        mapper=mapper, reducer=reducer if from_reducer else None, input=gomr.lines
    )
    result = run_local(config, "x\n", mappers=1, reducers=1)
    assert result.parts == [b'0.0\t-0.0\n[0.0,["t",0.0]]\t0.0\n']
    assert repr(result.pairs) == repr([(0.0, -0.0), ((0.0, ("t", 0.0)), 0.0)])
    (part,) = run_local(config, "x\n", mappers=1, reducers=1, output_format="jsonl").parts
    assert part == (b'{"key": 0.0, "value": -0.0}\n{"key": [0.0, ["t", 0.0]], "value": 0.0}\n')


def test_csv_keeps_the_sign_of_a_zero_value() -> None:
    (part,) = emit_all([(-0.0, -0.0)], output_format="csv").parts
    assert part == b"key,value\r\n0.0,-0.0\r\n"


def test_jsonl_is_json_with_tagged_bytes() -> None:
    (part,) = emit_all(MANY, output_format="jsonl").parts
    found = [json.loads(line) for line in part.decode().split("\n")[:-1]]

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return value

    assert found == [{"key": plain(key), "value": plain(value)} for key, value in MANY]
    assert "é" in part.decode()


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_jsonl_refuses_nan_and_infinities(value: Any) -> None:
    with pytest.raises(RecordFailed, match="jsonl output cannot hold NaN or an infinity"):
        emit_all([("k", value)], output_format="jsonl")
    (part,) = emit_all([("k", value)]).parts
    assert part


def test_csv_and_parquet_hold_one_type_a_column() -> None:
    pairs: list[Pair] = [("a,b\n", 1), ('q"', None), ("é", -(2**63))]
    (part,) = emit_all(pairs, output_format="csv").parts
    rows = list(csv.reader(io.StringIO(part.decode(), newline="")))
    assert rows == [["key", "value"], ["a,b\n", "1"], ['q"', ""], ["é", str(-(2**63))]]
    (part,) = emit_all(pairs, output_format="parquet").parts
    table = pq.read_table(io.BytesIO(part))
    assert table.to_pydict() == {
        "key": [key for key, _ in pairs],
        "value": [value for _, value in pairs],
    }


@pytest.mark.parametrize("output_format", ["text", "jsonl", "csv", "parquet"])
def test_an_empty_input_gives_empty_parts(output_format: Any) -> None:
    config = gomr.MapReduceConfig(mapper=print, reducer=gomr.identity)
    result = run_local(config, "", output_format=output_format, reducers=3)
    assert result.pairs == []
    assert len(result.parts) == 3
    if output_format == "parquet":
        assert pq.read_table(io.BytesIO(result.parts[0])).num_rows == 0
        assert len(set(result.parts)) == 1
    else:
        assert set(result.parts) == {b"" if output_format != "csv" else b"key,value\r\n"}
