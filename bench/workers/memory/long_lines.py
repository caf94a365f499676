"""Lines of 50 MB between short ones."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit(len(line), 1)


def reducer(ctx: gomr.Context, key: int, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
