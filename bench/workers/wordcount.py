"""Word count with one emit a word: what the hand-written loop is compared with."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, 1)


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, combiner=gomr.sum))
