"""The same hot key, its values in order."""

from collections.abc import Iterator

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit_many(("k", n * 7919 % 1_000_003) for n in range(int(line)))


def reducer(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
    count, last = 0, -1
    for value in values:
        if value < last:
            raise ValueError(f"{value} after {last}")
        count, last = count + 1, value
    ctx.emit(key, count)


if __name__ == "__main__":
    gomr.run(
        gomr.MapReduceConfig(mapper=mapper, reducer=reducer, sort_values=True, input=gomr.lines)
    )
