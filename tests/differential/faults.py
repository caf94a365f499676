"""What is wrong with a program on purpose: each ends the run with one kind of refusal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """where: `pair` and `mapper` come with the word "boom" in the input, `input` is bad input
    itself, the others are the function that is wrong. needs: what the program must have."""

    where: str
    code: str = ""
    needs: str = ""


RAISE = "raise LookupError('this is on purpose')"
FAULTS: dict[str, Fault] = {
    "mapper raises": Fault("pair", RAISE),
    "mapper raises at once": Fault("mapper", RAISE),
    "key is a set": Fault("pair", "return {a}, 1"),
    "key is a list": Fault("pair", "return [a], 1"),
    "key is NaN": Fault("pair", "return float('nan'), 1"),
    "key is a tuple with NaN": Fault("pair", "return (a, float('nan')), 1"),
    "key is a tuple with a list": Fault("pair", "return (a, [1]), 1"),
    "key is half a character": Fault("pair", "return a + '\\ud800', 1"),
    "key is an enum": Fault("pair", "return enum.IntEnum('E', 'x').x, 1"),
    "value is a set": Fault("pair", "return a, {a}", "untyped"),
    "value is an object": Fault("pair", "return a, object()", "untyped"),
    "value is half a character": Fault("pair", "return a, '\\udfff'", "untyped"),
    "value holds half a character": Fault("pair", "return a, ['\\udfff']", "untyped"),
    "value is a dict of ints": Fault("pair", "return a, {1: 2}", "untyped"),
    "value is None": Fault("pair", "return a, None", "typed"),
    "value is text": Fault("pair", "return a, 'no number'", "int"),
    "counter": Fault("mapper", "ctx.counter('c').add('1')"),
    "reducer raises": Fault("reducer", RAISE),
    "reducer gives a bad key": Fault("reducer", "ctx.emit({1}, 1)"),
    "reducer gives a bad value": Fault("reducer", "ctx.emit(1, {1})"),
    "partitioner raises": Fault("partitioner", RAISE),
    "partitioner gives -1": Fault("partitioner", "return -1"),
    "partitioner gives n": Fault("partitioner", "return n"),
    "partitioner gives None": Fault("partitioner", "return None"),
    "partitioner gives a float": Fault("partitioner", "return 0.0"),
    "setup raises": Fault("setup", RAISE),
    "finish raises": Fault("finish", RAISE),
    "bad UTF-8": Fault("input", needs="text"),
    "bad JSON": Fault("input", needs="jsonl"),
    "short row": Fault("input", needs="csv"),
    "yields a number": Fault("mapper", "return iter([5])"),
    "yields three": Fault("mapper", "return iter([(1, 2, 3)])"),
    "yields a str of two": Fault("mapper", "return iter(['ab'])"),
    "returns a number": Fault("mapper", "return 5"),
    "returns a str": Fault("mapper", "return 'ab'"),
    "async mapper": Fault("async", needs="no yield"),
    "combiner gives another key": Fault(
        "combiner", "for value in values:\n    give((key, 1), value)"
    ),
    "combiner raises": Fault("combiner", RAISE),
    "combiner gives nothing": Fault("combiner", "pass"),
    "annotated as a set": Fault("annotation", "set[int]"),
    "annotated as a number": Fault("annotation", "int"),
}
