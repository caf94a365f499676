"""Values of 3 MB that do not compress; 50 keys."""

import random
from collections.abc import Iterator

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit(int(line) % 50, random.Random(line).randbytes(3_000_000))


def reducer(ctx: gomr.Context, key: int, values: Iterator[bytes]) -> None:
    ctx.emit(key, sum(map(len, values)))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
