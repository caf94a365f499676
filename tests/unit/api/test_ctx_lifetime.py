"""A ctx, and all that it gives, is good for the calls of its own task; later it raises."""

from __future__ import annotations

import copy
import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

import gomr_runtime as gomr
from gomr_runtime import testing
from gomr_runtime.api.context import Context, ContextMisused
from gomr_runtime.errors import JobFailed, RecordFailed
from gomr_runtime.testing import run_local, run_mapper
from tests.unit.support.dataflow_job import Limits

pytestmark = pytest.mark.usefixtures("engine")

TEXT = "".join(f"word{i % 3}\n" for i in range(12))
SMALL = Limits(small_rows=4, frame_rows=3, drain_pairs=3, budget=200, widest=2, giant_rows=2)


class Kept(list[Any]):
    """A list that outlives tasks: each finds what a test holds as it was, but for what cannot be
    copied."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not to be copied")


def total(ctx: Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def job(mapper: Any, reducer: Any = total, **fields: Any) -> gomr.MapReduceConfig:
    return gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines, **fields)


USES: dict[str, Callable[[Context], Callable[[str], Any]]] = {
    "ctx": lambda ctx: lambda line: ctx.emit(line, 1),
    "emit": lambda ctx: partial(lambda emit, line: emit(line, 1), ctx.emit),
    "emit_many": lambda ctx: partial(lambda many, line: many([(line, 1)]), ctx.emit_many),
    "generator": lambda ctx: partial(lambda many, line: many(iter([(line, 1)])), ctx.emit_many),
    "count": lambda ctx: partial(lambda count, line: count([line]), ctx.count),
    "count lazily": lambda ctx: partial(lambda count, line: count(iter([line])), ctx.count),
    "batch": lambda ctx: partial(lambda batch, line: batch(pa.array([line]), 1), ctx.emit_batch),
    "counter": lambda ctx: partial(lambda counter, line: counter.add(), ctx.counter("lines")),
    "new counter": lambda ctx: lambda line: ctx.counter("new").add(),
    "bound counter": lambda ctx: partial(lambda counter, line: counter("x").add(), ctx.counter),
    "progress": lambda ctx: lambda line: ctx.progress(),
    "source": lambda ctx: lambda line: ctx.source,
    "attempt": lambda ctx: lambda line: ctx.attempt_id,
}
"""What user code keeps of the first ctx that it sees, as a function of a record."""


def keeping(use: Callable[[Context], Callable[[str], Any]]) -> Callable[[Context, str], None]:
    """A mapper that does all by what it kept at the first record of all."""
    kept: list[Callable[[str], Any]] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        if not kept:
            kept.append(use(ctx))
        kept[0](line)

    return mapper


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("reducer", [total, gomr.sum, gomr.top(1), None])
def test_what_is_kept_raises_in_the_next_task(name: str, reducer: Any) -> None:
    mapper = keeping(USES[name])
    with pytest.raises(RecordFailed) as failed:
        run_local(job(mapper, reducer), TEXT, mappers=4)
    message = str(failed.value)
    assert "(record 0 of map-1): this ctx was that of map-0, which is over: use the one" in message
    assert "\n" not in message
    assert "kept[0](line)" in failed.value.detail


@pytest.mark.parametrize("name", ["emit", "emit_many", "count", "batch"])
def test_within_its_task_it_may_be_kept(name: str) -> None:
    for reducer in (total, gomr.sum):
        found = run_local(job(keeping(USES[name]), reducer), TEXT, mappers=1, reducers=1).pairs
        assert dict(found) == Counter(TEXT.split())


def test_params_stay_readable() -> None:
    kept: list[Context] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        kept.append(ctx)
        ctx.emit(kept[0].params["key"], 1)

    assert run_local(job(mapper), TEXT, params={"key": "k"}).pairs == [("k", 12)]


def test_a_mappers_ctx_raises_in_reducers_and_in_the_next_job() -> None:
    kept: list[Context] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        kept.append(ctx)
        ctx.emit(line, 1)

    def reducer(ctx: Context, key: str, values: list[int]) -> None:
        kept[-1].emit(key, sum(values))

    with pytest.raises(RecordFailed, match=r"reduce-0, key 'word.': this ctx was that of map-2"):
        run_local(job(mapper, reducer), TEXT)
    with pytest.raises(RecordFailed, match="this ctx was that of map-0, which is over"):
        run_local(job(lambda ctx, line: kept[0].emit(line, 1), None), TEXT)


@pytest.mark.parametrize("call", [run_mapper, testing.run_reducer])
def test_single_calls_end_their_ctx(call: Any) -> None:
    kept: list[Context] = Kept()
    if call is run_mapper:
        run_mapper(lambda ctx, line: kept.append(ctx), "x")
    else:
        testing.run_reducer(lambda ctx, key, values: kept.append(ctx), "k", [1])
    with pytest.raises(ContextMisused, match="which is over"):
        kept[0].emit("a", 1)


@pytest.mark.parametrize("name", ["ctx", "emit", "emit_many", "count", "batch", "counter"])
@pytest.mark.parametrize("reducer", [total, gomr.sum, None])
def test_a_use_that_is_swallowed_fails_the_run(name: str, reducer: Any) -> None:
    kept = keeping(USES[name])

    def mapper(ctx: Context, line: str) -> None:
        try:
            kept(ctx, line)
        except RuntimeError:
            ctx.emit("swallowed", 1)

    with pytest.raises(JobFailed, match="map-0: its ctx was used when it was over, so what that"):
        run_local(job(mapper, reducer), TEXT, mappers=4)


def test_a_thread_that_outlives_its_task_fails_the_run() -> None:
    over: list[threading.Event] = Kept([threading.Event()])
    threads: list[threading.Thread] = Kept()
    errors: list[BaseException] = Kept()

    def late(emit: Callable[[str, int], None]) -> None:
        over[0].wait(30)
        try:
            emit("late", 1)
        except ContextMisused as error:
            errors.append(error)

    def mapper(ctx: Context, line: str) -> None:
        if not threads:
            threads.append(threading.Thread(target=late, args=(ctx.emit,)))
            threads[0].start()
        ctx.emit(line, 1)

    def reducer(ctx: Context, key: str, values: list[int]) -> None:
        over[0].set()
        threads[0].join()
        ctx.emit(key, sum(values))

    with pytest.raises(JobFailed, match="map-0: its ctx was used when it was over"):
        run_local(job(mapper, reducer), TEXT)
    assert "which is over" in str(errors[0])


def _emit_in_child(line: str) -> None:
    assert _shared
    _shared[0](line)


_shared: list[Callable[[str], Any]] = Kept()


@pytest.mark.parametrize("name", ["ctx", "emit", "emit_many", "count", "counter", "new counter"])
@pytest.mark.parametrize("reducer", [total, gomr.sum, None])
def test_in_a_process_that_user_code_forks_it_raises(name: str, reducer: Any) -> None:
    def mapper(ctx: Context, line: str) -> None:
        _shared[:] = [USES[name](ctx)]
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.map(_emit_in_child, [line])

    with pytest.raises(RecordFailed, match="this ctx cannot be used in a process that user code"):
        run_local(job(mapper, reducer), "a\n")


def test_in_the_process_of_the_task_it_goes_on_after_a_fork() -> None:
    def mapper(ctx: Context, line: str) -> None:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            (length,) = pool.map(len, [line])
        ctx.counter("forks").add()
        ctx.emit(line, length)

    result = run_local(job(mapper), "abc\n")
    assert result.pairs == [("abc", 3)]
    assert result.counters == {"forks": 1}


# Between the functions of one task


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
def test_a_combiner_does_not_emit_by_the_mappers_ctx(limits: Limits, swallows: bool) -> None:
    kept: list[Context] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        kept[:] = [ctx]
        ctx.emit(line, 1)

    def combiner(ctx: Context, key: str, values: list[int]) -> None:
        try:
            kept[0].emit("side", len(values))
        except RuntimeError:
            if not swallows:
                raise
        ctx.emit(key, sum(values))

    with limits.applied(), pytest.raises(RecordFailed, match=r"map-0.*this ctx cannot emit while"):
        run_local(job(mapper, combiner=combiner), TEXT, mappers=1, memory=limits.budget)


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("reducer", [total, gomr.sum, gomr.max])
@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
def test_a_partitioner_does_not_emit(limits: Limits, reducer: Any, swallows: bool) -> None:
    kept: list[Context] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        kept[:] = [ctx]
        ctx.emit(line, 1)

    def partitioner(key: str, n: int) -> int:
        try:
            kept[0].emit("side", 1)
        except RuntimeError:
            if not swallows:
                raise
        return 0

    with limits.applied(), pytest.raises(RecordFailed, match=r"map-0.*this ctx cannot emit while"):
        run_local(
            job(mapper, reducer, partitioner=partitioner), TEXT, mappers=1, memory=limits.budget
        )


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("when", ["next record", "finish"])
def test_a_combiners_ctx_does_not_emit_outside_of_it(when: str, swallows: bool) -> None:
    kept: list[Context] = Kept()

    def use() -> None:
        try:
            kept[0].emit("word0", 100)
        except RuntimeError:
            if not swallows:
                raise

    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(line, 1)
        if kept and when == "next record":
            use()

    def combiner(ctx: Context, key: str, values: list[int]) -> None:
        kept[:] = [ctx]
        ctx.emit(key, sum(values))

    def finish(ctx: Context) -> None:
        if kept and when == "finish":
            use()

    with SMALL.applied(), pytest.raises(RecordFailed, match="this ctx was given to the combiner"):
        run_local(job(mapper, combiner=combiner, finish=finish), TEXT * 9, mappers=1, memory=2_000)


def test_counters_are_those_of_the_task_whoever_adds() -> None:
    kept: list[gomr.Counter] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        kept[:] = [ctx.counter("seen")]
        ctx.emit(line, 1)

    def combiner(ctx: Context, key: str, values: list[int]) -> None:
        ctx.counter("seen").add(100)
        kept[0].add(1000)
        ctx.emit(key, sum(values))

    result = run_local(job(mapper, combiner=combiner), TEXT, mappers=1)
    assert result.counters == {"seen": 3300}


def test_the_value_of_a_counter_is_read_only() -> None:
    def mapper(ctx: Context, line: str) -> None:
        counter = ctx.counter("lines")
        counter.add(2)
        ctx.emit(line, counter.value)
        counter.value = 7  # type: ignore[misc]

    with pytest.raises(RecordFailed, match=r"AttributeError: .*value"):
        run_local(job(mapper), "a\n")


# Streams of values


@pytest.mark.parametrize("giant", [False, True])
@pytest.mark.parametrize("sorts", [False, True])
@pytest.mark.parametrize("generator", [False, True])
def test_values_that_are_kept_raise_after_their_call(
    giant: bool, sorts: bool, generator: bool
) -> None:
    kept: list[Iterator[int]] = Kept()

    def mapper(ctx: Context, line: str) -> None:
        for key in "ab":
            ctx.emit(key, 1)

    def reducer(ctx: Context, key: str, values: Iterator[int]) -> None:
        if kept:
            ctx.emit(key, sum(kept[0]))
        kept.append(values)
        ctx.emit(key, next(values))

    def yielding(ctx: Context, key: str, values: Iterator[int]) -> Iterator[Any]:
        if kept:
            yield key, next(kept[0])
        kept.append(values)
        yield key, next(values)

    limits = SMALL if giant else Limits()
    says = r"key 'b': these values could be read until the call that got them returned"
    function = yielding if generator else reducer
    with limits.applied(), pytest.raises(RecordFailed, match=says):
        run_local(job(mapper, function, sort_values=sorts), TEXT, reducers=1)


def test_a_generator_reads_its_values_until_it_ends() -> None:
    def reducer(ctx: Context, key: str, values: Iterator[int]) -> Iterator[Any]:
        for value in values:
            yield key, value

    found = run_local(job(lambda ctx, line: ctx.emit(line, 1), reducer), TEXT)
    assert Counter(found.pairs) == Counter((word, 1) for word in TEXT.split())


def test_streams_are_called_by_the_name_that_users_know() -> None:
    calls: list[tuple[Callable[[Any], Any], str]] = [
        (len, "object of type 'Iterator' has no len()"),
        (lambda values: values[0], "values are an Iterator, which has no items; annotate list"),
        (lambda values: values + values, "'Iterator' and 'Iterator'"),
        (lambda values: values.append(1), "'Iterator' object has no attribute 'append'"),
    ]
    for call, says in calls:

        def reducer(ctx: Context, key: str, values: Iterator[int], call: Any = call) -> None:
            call(values)

        with pytest.raises(RecordFailed) as failed:
            run_local(job(lambda ctx, line: ctx.emit(line, 1), reducer), TEXT)
        assert says in str(failed.value)


def test_emitting_a_stream_says_list() -> None:
    def reducer(ctx: Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, values)

    says = r"a value may not be Iterator: emit list\(value\)"
    with pytest.raises(RecordFailed, match=says):
        run_local(job(lambda ctx, line: ctx.emit(line, 1), reducer), TEXT)


# Names


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda ctx: ctx.emitt("a", 1), "ctx has no 'emitt': did you mean 'emit'?"),
        (lambda ctx: ctx.param["x"], "ctx has no 'param': did you mean 'params'?"),
        (lambda ctx: ctx.counters_of, "ctx has no 'counters_of': did you mean 'counter'?"),
        (lambda ctx: ctx.log("x"), "ctx has no 'log': there are attempt_id, count, counter"),
        (lambda ctx: ctx.emit("a"), "ctx.emit() missing 1 required positional argument: 'value'"),
        (lambda ctx: ctx.emit("a", 1, 2), "ctx.emit() takes 2 positional arguments but 3 were"),
        (lambda ctx: ctx.emit(("a", 1)), "ctx.emit() missing 1 required positional argument"),
        (lambda ctx: ctx.emit(k="a", v=1), "ctx.emit() got an unexpected keyword argument"),
        (lambda ctx: ctx.emit_many(), "ctx.emit_many() missing 1 required positional argument"),
        (lambda ctx: ctx.emit_many("a", 1), "ctx.emit_many() takes 1 positional argument but 2"),
        (lambda ctx: ctx.count("a", "b"), "ctx.count() takes 1 positional argument but 2 were"),
        (lambda ctx: ctx.emit_batch(), "ctx.emit_batch() missing 1 required positional argument"),
    ],
)
@pytest.mark.parametrize("reducer", [total, gomr.sum, None])
def test_errors_call_things_by_the_users_names(use: Any, says: str, reducer: Any) -> None:
    with pytest.raises(RecordFailed) as failed:
        run_local(job(lambda ctx, line: use(ctx), reducer), "a\n")
    assert says in str(failed.value)


def test_copies_and_tools_meet_a_plain_object() -> None:
    def mapper(ctx: Context, line: str) -> None:
        assert not hasattr(ctx, "__deepcopy__")
        copy.copy(ctx).emit(line, 1)
        assert "emit" in dir(ctx)

    assert run_local(job(mapper), "a\n").pairs == [("a", 1)]
