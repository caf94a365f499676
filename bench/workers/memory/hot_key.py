"""Every pair has the same key; each line says how many."""

from collections.abc import Iterator

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit_many(("k", n * 7919 % 1_000_003) for n in range(int(line)))


def reducer(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
    count = sum(1 for _ in values)
    ctx.emit(key, count)


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
