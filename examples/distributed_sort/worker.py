"""Distributed sort: every line of the input, in order, across all parts."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    ctx.emit(line, None)


if __name__ == "__main__":
    gomr.run(
        gomr.MapReduceConfig(
            mapper=mapper,
            reducer=gomr.identity,
            partitioner=gomr.total_order,
            input=gomr.lines,
        )
    )
