"""Batches of jsonl and csv: what of a record goes into which type, wherever the input is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.columns.cells import Unfit
from gomr_runtime.columns.record_columns import RecordBatches
from gomr_runtime.errors import RecordFailed, UsageError
from gomr_runtime.testing import Result, run_local
from gomr_runtime.user_code.program import program_of

STRUCT = pa.struct([("a", pa.string()), pa.field("n", pa.int8(), nullable=False)])

JSON_RULE: list[tuple[pa.DataType, dict[str, Any], list[str]]] = [
    (pa.null(), {"null": None}, ["0", '""', "false", "[]"]),
    (pa.bool_(), {"true": True, "false": False}, ["0", "1", '"true"', "[]"]),
    (pa.int8(), {"127": 127, "-128": -128, "-0": 0}, ["128", "1.0", "1e2", "true", '"1"', "{}"]),
    (pa.int64(), {str(2**63 - 1): 2**63 - 1}, [str(2**63), "1.5", '"1"', "false"]),
    (pa.uint8(), {"255": 255}, ["256", "-1"]),
    (pa.uint64(), {str(2**64 - 1): 2**64 - 1}, [str(2**64), "-1", "0.0"]),
    (
        pa.float64(),
        {"1": 1.0, "0.1": 0.1, "-0.0": -0.0, str(2**53 + 1): float(2**53), "1e308": 1e308},
        ["1e309", "-1e999", "1" + "0" * 400, "true", '"1.0"', '"nan"'],
    ),
    (pa.float32(), {"0.1": 0.10000000149011612, "16777217": 16777216.0}, ["1e39", "false"]),
    (pa.float16(), {"0.1": 0.0999755859375, "65504": 65504.0}, ["65520", "1e5"]),
    (pa.string(), {'"a"': "a", '""': "", '"5"': "5"}, ["5", "1e15", "true", '["a"]', '"\\ud800"']),
    (pa.large_string(), {'"a"': "a"}, ["5", "{}"]),
    (pa.string_view(), {'"abcdefghijklmnop"': "abcdefghijklmnop"}, ["5"]),
    (
        pa.binary(),
        {'"é"': "é".encode(), '{"$bytes": "/w=="}': b"\xff", '{"$bytes": ""}': b""},
        ["5", "{}", '{"$bytes": "/"}', '{"$bytes": "/w==", "a": 1}', '{"$bytes": 5}', "[1]"],
    ),
    (pa.large_binary(), {'{"$bytes": "/w=="}': b"\xff"}, ["5"]),
    (pa.binary_view(), {'{"$bytes": "/w=="}': b"\xff"}, ["5"]),
    (pa.binary(2), {'"ab"': b"ab", '{"$bytes": "//8="}': b"\xff\xff"}, ['"a"', '"abc"', '""']),
    (
        pa.decimal128(5, 2),
        {"1": Decimal("1.00"), "1.25": Decimal("1.25"), '"-9.5"': Decimal("-9.50")},
        ["1.255", "1234", "1e300", '"x"', '""', '"NaN"', "true"],
    ),
    (pa.decimal256(40, 1), {'"' + "9" * 39 + '"': Decimal("9" * 39)}, ['"0.05"']),
    (pa.decimal32(5, 2), {"0.1": Decimal("0.10")}, ["1e9"]),
    (
        pa.timestamp("ms"),
        {
            '"2026-11-27"': datetime(2026, 11, 27),
            '"2026-11-27T10:30:00.25"': datetime(2026, 11, 27, 10, 30, 0, 250_000),
            "1500": datetime(1970, 1, 1, 0, 0, 1, 500_000),
        },
        ['"2026-11-27T10:30:00Z"', '"2026-02-30"', '"1.5.2026"', "1.5", "true", str(2**63), '""'],
    ),
    (
        pa.timestamp("us", "UTC"),
        {'"2026-11-27T10:30:00+01:00"': datetime(2026, 11, 27, 9, 30, tzinfo=ZoneInfo("UTC"))},
        ['"2026-11-27T10:30:00"'],
    ),
    (pa.timestamp("ns"), {}, ['"3000-01-01"', '"1677-01-01"']),
    (pa.timestamp("s"), {}, [str(2**60), str(-(2**60))]),
    (pa.date32(), {'"2026-11-27"': date(2026, 11, 27), "1": date(1970, 1, 2)}, ['"27.11.26"']),
    (pa.date64(), {"86400000": date(1970, 1, 2), '"1970-01-02"': date(1970, 1, 2)}, ["5", '"5"']),
    (
        pa.time32("ms"),
        {
            '"10:30"': time(10, 30),
            '"23:59:59.5"': time(23, 59, 59, 500_000),
            "1": time(0, 0, 0, 1000),
        },
        ['"24:00"', '"10:60"', '"10:00:61"', '"1:00"', '"10:00:00.0001"', "86400000", "-1", "0.5"],
    ),
    (pa.time64("us"), {'"00:00:00.000001"': time(0, 0, 0, 1)}, ['"x"', '"10:00:00.0000001"']),
    (pa.duration("s"), {"-5": timedelta(seconds=-5)}, ['"5"', "5.0"]),
    (pa.list_(pa.int8()), {"[]": [], "[1, null]": [1, None]}, ["[1.0]", "[300]", '["1"]', "{}"]),
    (pa.large_list(pa.string()), {'["a"]': ["a"]}, ["[5]", '"a"']),
    (pa.list_view(pa.string_view()), {'["a", null]': ["a", None], "[]": []}, ["[5]"]),
    (pa.large_list_view(pa.int8()), {"[1]": [1]}, ["[1.5]"]),
    (pa.list_(pa.int8(), 2), {"[1, null]": [1, None]}, ["[1]", "[]", "[1, 2, 3]", "[1, 2.5]"]),
    (pa.list_(pa.field("x", pa.int8(), nullable=False)), {"[1]": [1]}, ["[1, null]"]),
    (pa.struct([]), {"{}": {}, '{"a": 1}': {}}, ["[]", "5"]),
    (
        STRUCT,
        {
            '{"n": 1}': {"a": None, "n": 1},
            '{"a": "x", "n": 2, "other": [1]}': {"a": "x", "n": 2},
        },
        ["{}", '{"n": null}', '{"a": 5, "n": 1}', '{"n": 1.0}', '"x"', "[]"],
    ),
    (
        pa.list_(pa.struct([("a", pa.list_(pa.float64()))])),
        {'[{"a": [1, 0.5]}, {}, null]': [{"a": [1.0, 0.5]}, {"a": None}, None]},
        ['[{"a": [1, "x"]}]', '[{"a": 5}]', "[[]]"],
    ),
    (
        pa.map_(pa.string(), pa.int64()),
        {'{"a": 1, "b": null}': [("a", 1), ("b", None)], '[["a", 1]]': [("a", 1)], "{}": []},
        ['{"a": 1.5}', "[[null, 1]]", "[[1, 1]]", '[["a"]]', '["a"]', '"a"'],
    ),
    (pa.map_(pa.int8(), pa.string()), {'[[1, "x"]]': [(1, "x")]}, ['{"1": "x"}']),
    (pa.dictionary(pa.int32(), pa.string()), {'"a"': "a", '""': ""}, ["5", "[]"]),
    (pa.dictionary(pa.int8(), pa.int64()), {"5": 5}, ["5.0", '"5"']),
    (pa.dictionary(pa.uint16(), pa.decimal128(5, 2)), {"5": Decimal("5.00")}, ["0.001"]),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), {'["a", "a"]': ["a", "a"]}, ["[1]"]),
]


def json_batches(wanted: pa.DataType, nullable: bool = True) -> RecordBatches:
    schema = pa.schema([pa.field("x", wanted, nullable)])
    return RecordBatches("jsonl", schema, "arrow")


@pytest.mark.parametrize(("wanted", "good", "bad"), JSON_RULE, ids=lambda v: str(v)[:40])
def test_the_rule_for_json_values(
    wanted: pa.DataType, good: dict[str, Any], bad: list[str]
) -> None:
    made = json_batches(wanted)
    values = [json.loads(text) for text in good]
    records: list[Any] = [{}, *({"x": value} for value in values), {"x": None}]
    expected = [None, *good.values(), None]
    for some in ([records], [[record] for record in records], [records[::2], records[1::2]]):
        columns = [made.batch(few)["x"] for few in some]
        assert {column.type for column in columns} == {wanted}
        for column in columns:
            column.validate(full=True)
    whole = made.batch(records)["x"]
    assert whole.to_pylist() == expected
    if not pa.types.is_decimal(wanted):
        assert [*map(repr, whole.to_pylist())] == [*map(repr, expected)]
    for text in bad:
        for few in ([{"x": json.loads(text)}], [*records, {"x": json.loads(text)}, *records]):
            with pytest.raises(Unfit, match=r"^column 'x' \("):
                made.batch(few)
    if pa.types.is_null(wanted):
        return
    required = json_batches(wanted, nullable=False)
    with pytest.raises(Unfit, match="nullable=False"):
        required.batch([{}])
    if values:
        assert required.batch([{"x": values[0]}])["x"].to_pylist() == [expected[1]]


CSV_RULE: list[tuple[pa.DataType, dict[str, Any], list[str]]] = [
    (pa.null(), {}, ["x", "null"]),
    (pa.bool_(), {"true": True, "0": False, "1": True}, ["yes", "2", "1.0"]),
    (pa.int8(), {"-128": -128, "007": 7}, ["128", " 1", "1.0", "0x10", "0XFF", "1e2", "١"]),
    (pa.uint64(), {str(2**64 - 1): 2**64 - 1}, ["-1", str(2**64)]),
    (pa.float64(), {"1": 1.0, "1e3": 1000.0, "-inf": float("-inf")}, ["1e999", "x", "1,5"]),
    (pa.float32(), {"0.1": 0.10000000149011612}, ["1e39"]),
    (pa.string(), {"": "", "5": "5", " ": " "}, []),
    (pa.large_string(), {"": "", "5": "5"}, []),
    (pa.string_view(), {"": "", "5": "5"}, []),
    (pa.binary(), {"é": "é".encode()}, []),
    (pa.binary(2), {"ab": b"ab"}, ["a", "abc"]),
    (pa.decimal128(5, 2), {"1.5": Decimal("1.50")}, ["1.555", "1234", "x"]),
    (pa.timestamp("s"), {"2026-11-27 10:30:00": datetime(2026, 11, 27, 10, 30)}, ["5", "Monday"]),
    (pa.date32(), {"2026-11-27": date(2026, 11, 27)}, ["2026-11-31", "5"]),
    (pa.time32("s"), {"10:30:05": time(10, 30, 5)}, ["10:30:05.5", "25:00", "5"]),
    (pa.duration("s"), {"-5": timedelta(seconds=-5)}, ["5.0", "0x5"]),
    (pa.dictionary(pa.int32(), pa.string()), {"": "", "a": "a"}, []),
    (pa.dictionary(pa.int8(), pa.int64()), {"7": 7}, ["x", "7.0"]),
]


@pytest.mark.parametrize(("wanted", "good", "bad"), CSV_RULE, ids=lambda v: str(v)[:40])
def test_the_rule_for_csv_fields(wanted: pa.DataType, good: dict[str, Any], bad: list[str]) -> None:
    made = RecordBatches("csv", {"x": wanted}, "arrow")
    fields = [*good] if "" in good else ["", *good]
    expected = [*good.values()] if "" in good else [None, *good.values()]
    whole = made.batch([{"x": text} for text in fields])["x"]
    assert whole.type == wanted
    assert whole.to_pylist() == expected
    assert [made.batch([{"x": text}])["x"].to_pylist()[0] for text in fields] == expected
    for text in bad:
        for few in ([{"x": text}], [*({"x": text} for text in fields), {"x": text}]):
            with pytest.raises(Unfit, match=r"^column 'x' \("):
                made.batch(few)


def test_values_that_differ_each_time_in_one_column_are_each_by_the_rule() -> None:
    """Ints and strings may both be moments; what one of them is does not move the others."""
    made = json_batches(pa.timestamp("s"))
    cells = [0, "1970-01-02", None, 86_400]
    assert made.batch([{"x": cell} for cell in cells])["x"].to_pylist() == [
        datetime(1970, 1, 1),
        datetime(1970, 1, 2),
        None,
        datetime(1970, 1, 2),
    ]


def tell(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    rows = batch.to_pylist()
    ctx.emit_many((str(batch.schema), json.dumps(row, default=str)) for row in rows)


def run(given_input: Any, text: str, mappers: int, mapper: Any = tell, **options: Any) -> Result:
    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.identity, input=given_input)
    return run_local(config, text, mappers=mappers, reducers=1, **options)


NESTED = {"x": pa.struct([("a", pa.string())])}


@pytest.mark.parametrize("mappers", range(1, 8))
@pytest.mark.parametrize("other", ["2.5", '"u"', "true", "null", "[1]", '{"b": 1}'])
def test_an_int_is_no_string_whatever_lies_beside_it(mappers: int, other: str) -> None:
    text = f'{{"x":{{"a":1000000000000000}}}}\n{{"x":{{"a":{other}}}}}\n'
    with pytest.raises(RecordFailed, match=r"record at byte 0 .*1000000000000000 is an int"):
        run(gomr.batches(gomr.jsonl, schema=NESTED), text, mappers)


PLACED = {"type": pa.struct([("a", pa.float64()), ("b", pa.list_(pa.int64()))])}
GOOD = ['{"type": {"a": 1, "b": [1, 2]}}', '{"type": {"a": 0.5}}', '{"type": null}', "{}"]
BAD = ['{"type": {"a": "1"}}', '{"type": {"b": [1, 2.0]}}', '{"type": [1]}', "[1]", '{"type": 1}']


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(GOOD + BAD), max_size=30), st.booleans())
def test_results_and_bad_records_are_those_of_single_records(lines: list[str], crlf: bool) -> None:
    end = "\r\n" if crlf else "\n"
    text = "".join(line + end for line in lines)
    starts = [sum(len(line + end) for line in lines[:i]) for i in range(len(lines))]
    wrong = [(starts[i], i) for i, line in enumerate(lines) if line in BAD]
    floats = {GOOD[0]: {"a": 1.0, "b": [1, 2]}, GOOD[1]: {"a": 0.5, "b": None}}
    expected = [json.dumps({"type": floats.get(line)}) for line in lines if line in GOOD]
    given_input = gomr.batches(gomr.jsonl, schema=PLACED)
    for mappers in (1, 2, 7):
        found = run(given_input, text, mappers, skip_bad_records=len(wrong))
        assert [row for _, row in found.pairs] == expected
        assert [bad.offset for bad in found.bad_records] == [offset for offset, _ in wrong]
        assert len({schema for schema, _ in found.pairs}) <= 1
        if wrong:
            with pytest.raises(RecordFailed, match=f"record at byte {wrong[0][0]} "):
                run(given_input, text, mappers)


def test_csv_batches_are_the_same_wherever_the_file_is_cut() -> None:
    rows = ["1,x,2026-01-01", ",y,", "0x1,z,2026-01-01", "2,,2026-13-01", "3,w,2026-01-02"]
    text = "n,s,d\n" + "".join(f"{row}\n" for row in rows * 5)
    schema = {"n": pa.int64(), "s": pa.large_string(), "d": pa.date32()}
    given_input = gomr.batches(gomr.csv(quoted_newlines=False), schema=schema)
    found = [run(given_input, text, mappers, skip_bad_records=10) for mappers in (1, 2, 7)]
    expected = [
        json.dumps({"n": n, "s": s, "d": d})
        for n, s, d in [(1, "x", "2026-01-01"), (None, "y", None), (3, "w", "2026-01-02")] * 5
    ]
    for result in found:
        assert [row for _, row in result.pairs] == expected
        assert [bad.offset for bad in result.bad_records] == [
            bad.offset for bad in found[0].bad_records
        ]
        assert result.ledger.set_aside == 10


@pytest.mark.parametrize("frames", ["arrow", "polars"])
def test_a_dictionary_with_a_small_index_takes_any_number_of_categories(frames: str) -> None:
    seen: list[int] = []

    def arrow(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        assert batch.schema.field("x").type == pa.dictionary(pa.int8(), pa.string())
        seen.append(batch.num_rows)
        ctx.emit_batch(batch["x"], 1)

    def polars(ctx: gomr.Context, batch: pl.DataFrame) -> None:
        seen.append(len(batch))
        ctx.emit_batch(batch["x"], 1)

    text = "".join(f'{{"x": "{i:03}"}}\n' for i in range(1000))
    schema = {"x": pa.dictionary(pa.int8(), pa.string())}
    mapper = arrow if frames == "arrow" else polars
    found = run(gomr.batches(gomr.jsonl, schema=schema), text, 1, mapper)
    assert found.pairs == [(f"{i:03}", 1) for i in range(1000)]
    assert sum(seen) == 1000


def test_one_record_with_too_many_categories_is_a_bad_record() -> None:
    schema = {"x": pa.list_(pa.dictionary(pa.int8(), pa.int64()))}
    lines = [json.dumps({"x": [*range(size)]}) for size in (128, 129, 3)]
    text = "".join(f"{line}\n" for line in lines)
    found = run(gomr.batches(gomr.jsonl, schema=schema), text, 1, skip_bad_records=1)
    assert len(found.pairs) == 2
    (bad,) = found.bad_records
    assert bad.offset == len(lines[0]) + 1
    assert "129 different values are too many" in bad.cause


REFUSED: list[tuple[Any, Any, str]] = [
    (gomr.jsonl, {"a": pa.month_day_nano_interval()}, "which no JSON value stands for"),
    (gomr.jsonl, {"a": pa.list_(pa.uuid())}, r"column 'a\[\]' has the type extension"),
    (gomr.jsonl, {"a": pa.dense_union([pa.field("x", pa.int8())])}, "no JSON value"),
    (gomr.jsonl, {"a": pa.run_end_encoded(pa.int16(), pa.int8())}, "no JSON value"),
    (gomr.jsonl, {"a": pa.dictionary(pa.int8(), pa.list_(pa.int8()))}, "no dictionary of list"),
    (gomr.jsonl, pa.schema([("a", pa.int8()), ("a", pa.int8())]), "names 'a' twice"),
    (gomr.jsonl, {"a": pa.struct([("b", pa.int8()), ("b", pa.int8())])}, "names 'b' twice"),
    (gomr.jsonl, {"a": "itn64"}, "No type alias for itn64"),
    (gomr.jsonl, 5, "schema=...\\): "),
    (gomr.csv, {"a": pa.list_(pa.int8())}, "which no csv field stands for"),
    (gomr.csv, {"a": pa.struct([("b", pa.int8())])}, "name pyarrow.string"),
]


@pytest.mark.parametrize(("of", "schema", "said"), REFUSED, ids=lambda v: str(v)[:30])
def test_a_schema_on_which_nothing_can_be_tried_is_refused_at_once(
    of: Any, schema: Any, said: str
) -> None:
    config = gomr.MapReduceConfig(mapper=tell, input=gomr.batches(of, schema=schema))
    with pytest.raises(UsageError, match=said):
        program_of(config, b"", "worker.py")


def test_a_schema_that_polars_does_not_have_is_refused_at_once() -> None:
    def mapper(ctx: gomr.Context, batch: pl.DataFrame) -> None:
        del ctx, batch

    for wanted in (pa.list_view(pa.int8()), pa.list_(pa.decimal256(40, 1))):
        given_input = gomr.batches(gomr.jsonl, schema={"a": wanted})
        config = gomr.MapReduceConfig(mapper=mapper, input=given_input)
        with pytest.raises(UsageError, match="Polars has no type for column 'a', list"):
            program_of(config, b"", "worker.py")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 127, 128, 10**15, 2**53 + 1, 2**64, 10**400])
    | st.sampled_from([0.5, 1.0, -0.0, 1e300, float("inf")])
    | st.sampled_from(["", "a", "1", "2026-01-01", "10:00", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "n", "$bytes"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([rule[0] for rule in JSON_RULE]), st.lists(VALUES, min_size=1, max_size=6))
def test_a_column_is_its_cells_one_by_one_whatever_they_are(
    wanted: pa.DataType, values: list[Any]
) -> None:
    made = json_batches(wanted)

    def column(cells: Sequence[Any]) -> Any:
        try:
            return made.batch([{"x": cell} for cell in cells])["x"]
        except Unfit:
            return None

    one_by_one = [column([value]) for value in values]
    together = column(values)
    if any(single is None for single in one_by_one):
        assert together is None
    else:
        together.validate(full=True)
        assert [repr(single.to_pylist()[0]) for single in one_by_one] == [
            *map(repr, together.to_pylist())
        ]
