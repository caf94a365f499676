"""Sum per key with a plain mapper and a plain reducer."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        key, value = line.split("\t")
        ctx.emit(key, int(value))


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer))
