"""gomr_runtime.testing: what a worker's own unit tests rely on."""

from __future__ import annotations

import gzip
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gomr_runtime as gomr
from gomr_runtime import testing
from gomr_runtime.errors import JobFailed, RecordFailed, UsageError
from gomr_runtime.storage.success import PublishedPart, Success, success_bytes
from gomr_runtime.testing import run_local, run_mapper, run_reducer

WORDCOUNT = Path(__file__).parents[3] / "examples" / "wordcount" / "worker.py"


def tokens(ctx: gomr.Context, line: str) -> None:
    for word in line.split():
        ctx.emit(word, 1)


def total(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


LINES = gomr.MapReduceConfig(mapper=tokens, reducer=total, input=gomr.lines)


def test_a_job_gives_pairs_parts_counters_and_books() -> None:
    text = "to be or\nnot to be\n"
    result = run_local(LINES, text)
    assert dict(result.pairs) == Counter(text.split())
    assert len(result.parts) == 2
    written = b"".join(result.parts).decode()
    assert written == "".join(f"{key}\t{value}\n" for key, value in result.pairs)
    assert result.ledger.records_read == result.ledger.mapped == 2
    assert result.ledger.reduce_in == result.ledger.map_out == 6
    assert result.counters == {}
    assert result.bad_records == ()


def test_values_come_back_as_python_values() -> None:
    given: list[Any] = [
        None,
        True,
        1,
        2**70,
        1.5,
        "a\tb",
        b"\xff",
        (1, (2,)),
        [1, [2]],
        {"a": (1,)},
    ]

    def mapper(ctx: gomr.Context, line: str) -> None:
        for i, value in enumerate(given):
            ctx.emit(i, value)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.identity, input=gomr.lines)
    pairs = run_local(config, "one line\n", reducers=1).pairs
    assert pairs == list(enumerate(given))
    assert [type(value) for _, value in pairs] == [type(value) for value in given]


def test_the_input_is_cut_for_several_tasks() -> None:
    def mapper(ctx: gomr.Context, chunk: str) -> None:
        ctx.counter(ctx.attempt_id).add()

    result = run_local(gomr.MapReduceConfig(mapper=mapper, reducer=total), "line\n" * 30)
    assert len(result.counters) == 3
    assert result.pairs == []
    assert result.parts == [b"", b""]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("a\nb\n", [("input", "a"), ("input", "b")]),
        (b"a\nb", [("input", "a"), ("input", "b")]),
        (["a\n", b"b\n"], [("input-0", "a"), ("input-1", "b")]),
        ({"z": "a\n", "a/b.txt": b"b\n"}, [("z", "a"), ("a/b.txt", "b")]),
        ({"c.gz": gzip.compress(b"a\nb\n")}, [("c.gz", "a"), ("c.gz", "b")]),
        ("", []),
    ],
)
def test_inputs(inputs: Any, expected: list[tuple[str, str]]) -> None:
    def mapper(ctx: gomr.Context, line: str) -> Iterator[tuple[str, str]]:
        yield ctx.source, line

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    assert run_local(config, inputs).pairs == expected


def test_a_directory_as_input(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("two\n")
    (tmp_path / "a").write_text("one\n")

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(ctx.source, line)

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    assert run_local(config, tmp_path).pairs == [("a", "one"), ("b", "two")]


def test_params_counters_and_bad_records() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.counter("lines").add()
        ctx.emit(ctx.params["key"], int(line))

    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines)
    result = run_local(config, "1\nx\n3\n", params={"key": "k"}, skip_bad_records=1)
    assert result.pairs == [("k", 4)]
    assert result.counters == {"lines": 3}
    (bad,) = result.bad_records
    assert (bad.source, bad.offset) == ("input", 2)
    assert "ValueError" in bad.cause
    assert result.ledger.set_aside == 1


def test_a_worker_file_runs_as_it_is_and_leaves_the_process_alone() -> None:
    main, search = sys.modules["__main__"], list(sys.path)
    result = run_local(WORDCOUNT, "a b\nb a a\n")
    assert sorted(result.pairs) == [("a", 3), ("b", 2)]
    assert sys.modules["__main__"] is main
    assert sys.path == search


def test_a_module_with_one_config() -> None:
    module = types.ModuleType("worker")
    with pytest.raises(UsageError, match="module worker has 0 globals"):
        testing.config_of(module)
    vars(module)["job"] = LINES
    assert testing.config_of(module) is LINES
    assert dict(run_local(module, "a\n").pairs) == {"a": 1}
    vars(module)["other"] = LINES
    with pytest.raises(UsageError, match="has 2 globals"):
        testing.config_of(module)


def test_a_missing_worker_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such worker file"):
        run_local(tmp_path / "none.py", "")


def test_a_mapper_that_raises_names_file_record_task_and_cause() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        raise LookupError(f"cannot take {line}")

    with pytest.raises(RecordFailed) as caught:
        run_local(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines), {"f.txt": "one\n"})
    message = str(caught.value)
    assert message.startswith("f.txt, record at byte 0 (record 0 of map-")
    assert message.endswith("LookupError: cannot take one")
    assert "raise LookupError" in caught.value.detail
    assert "gomr_runtime" not in caught.value.detail


def test_run_mapper_keeps_emit_order_and_types() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("b", [1])
        ctx.emit(1, ctx.source)
        ctx.count(["a", ("t",)])
        ctx.emit_many((key, ctx.params["p"]) for key in (True, 1.0))

    found = run_mapper(mapper, "line", params={"p": "x"}, source="f.txt")
    expected = [("b", [1]), (1, "f.txt"), ("a", 1), (("t",), 1), (True, "x"), (1.0, "x")]
    assert found == expected
    assert [type(key) for key, _ in found] == [type(key) for key, _ in expected]


def test_run_mapper_refuses_what_a_job_would() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(float("nan"), 1)

    with pytest.raises(RecordFailed, match="may not be NaN"):
        run_mapper(mapper, "line")

    def broken(ctx: gomr.Context, line: str) -> None:
        int(line)

    with pytest.raises(RecordFailed, match="ValueError: invalid literal"):
        run_mapper(broken, "line")


def test_run_mapper_with_a_config_runs_its_edges() -> None:
    config = gomr.MapReduceConfig(
        mapper=tokens,
        setup=lambda ctx: ctx.emit("setup", 0),
        finish=lambda ctx: ctx.emit("finish", 2),
    )
    assert run_mapper(config, "a") == [("setup", 0), ("a", 1), ("finish", 2)]


def test_run_reducer() -> None:
    assert run_reducer(total, "k", [1, 2, 2**70]) == [("k", 3 + 2**70)]
    assert run_reducer(gomr.top(2), ("t", 1), [3, 1, 2]) == [(("t", 1), 3), (("t", 1), 2)]

    def streamed(ctx: gomr.Context, key: str, values: Iterator[float]) -> Iterator[tuple[str, Any]]:
        assert not isinstance(values, list)
        yield key, list(values)

    assert run_reducer(streamed, "k", ["1.5", 2]) == [("k", [1.5, 2.0])]
    with pytest.raises(ValueError, match="at least one"):
        run_reducer(total, "k", [])


def test_run_reducer_names_the_key_of_a_failure() -> None:
    def broken(ctx: gomr.Context, key: str, values: list[int]) -> None:
        raise KeyError(key)

    with pytest.raises(RecordFailed, match=r"reduce-0, key 'k': KeyError"):
        run_reducer(broken, "k", [1])


def test_skipping_with_chunks_is_refused_as_on_the_command_line() -> None:
    config = gomr.MapReduceConfig(mapper=tokens, reducer=total)
    with pytest.raises(UsageError, match=r"gomr\.lines"):
        run_local(config, "a\n", skip_bad_records=1)


def test_a_partitioner_that_is_wrong_ends_the_job() -> None:
    config = gomr.MapReduceConfig(
        mapper=tokens, reducer=total, input=gomr.lines, partitioner=lambda key, n: n
    )
    with pytest.raises(JobFailed, match=r"partitioner\('a', 2\) returned 2"):
        run_local(config, "a\n")


@pytest.mark.parametrize("address", ["s3://bucket/x", "s3://bucket", "gs://bucket/x", "file:///x"])
def test_an_address_is_no_file_of_this_machine(address: str) -> None:
    with pytest.raises(UsageError, match=r"run_local reads files|give a file|write the path alone"):
        run_local(LINES, Path(address))


def test_an_earlier_output_is_read_as_its_parts(tmp_path: Path) -> None:
    (tmp_path / "output-00000.txt").write_text("a\t1\n")
    with pytest.raises(UsageError, match=r"holds output-00000\.txt and no _SUCCESS"):
        run_local(LINES, tmp_path)
    part = PublishedPart("output-00000.txt", 4, 1, "0" * 64)
    (tmp_path / "_SUCCESS").write_bytes(success_bytes(Success("r", (part,))))
    (tmp_path / "notes.txt").write_text("no data")
    assert sorted(run_local(LINES, tmp_path).pairs) == [("1", 1), ("a", 1)]
