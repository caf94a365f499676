"""For each word the files that it occurs in."""

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, text: str) -> None:
    for word in set(text.split()):
        ctx.emit(word, ctx.source)


def reducer(ctx: gomr.Context, word: str, sources: list[str]) -> None:
    ctx.emit(word, ",".join(sources))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.whole_file))
