"""Sort lines `key<TAB>rest` by their key, in total order over all parts."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        ctx.emit(line[:10], line[11:])


if __name__ == "__main__":
    gomr.run(
        gomr.MapReduceConfig(mapper=mapper, reducer=gomr.identity, partitioner=gomr.total_order)
    )
