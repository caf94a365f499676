"""Word count in columns: Arrow splits, the compiled part counts."""

import pyarrow as pa
import pyarrow.compute as pc

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    text = pc.ascii_trim_whitespace(batch["text"])
    ctx.emit_batch(pc.ascii_split_whitespace(text).flatten(), 1)


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.batches))
