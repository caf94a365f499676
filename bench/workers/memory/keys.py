"""As many keys as half of the lines; each reducer call gets a list of two."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit(line, 1)


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
