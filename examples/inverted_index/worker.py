"""Inverted index: for each word, the files that it occurs in."""

import re

import gomr_runtime as gomr

WORD = re.compile(r"\w+")


def mapper(ctx: gomr.Context, line: str) -> None:
    for word in set(WORD.findall(line.lower())):
        ctx.emit(word, ctx.source)


def reducer(ctx: gomr.Context, word: str, sources: list[str]) -> None:
    ctx.emit(word, sorted(set(sources)))


if __name__ == "__main__":
    gomr.run(
        gomr.MapReduceConfig(
            mapper=mapper, reducer=reducer, combiner=gomr.distinct, input=gomr.lines
        )
    )
