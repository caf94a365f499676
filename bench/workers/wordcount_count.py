"""Word count with one `ctx.count` a chunk."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    ctx.count(chunk.split())


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, combiner=gomr.sum))
