"""Word count: how often each word occurs in the input."""

import re

import gomr_runtime as gomr

WORD = re.compile(r"\w+")


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for word in WORD.findall(chunk.lower()):
        ctx.emit(word, 1)


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, combiner=gomr.sum))
