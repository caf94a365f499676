"""Traffic: requests and bytes of each path and status, in columns."""

import pyarrow as pa
import pyarrow.compute as pc

import gomr_runtime as gomr

COLUMNS = {"path": pa.string(), "status": pa.int64(), "bytes": pa.int64()}


def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    rows = batch.filter(pc.not_equal(batch["path"], "/health"))
    keys = pa.StructArray.from_arrays([rows["path"], rows["status"]], ["path", "status"])
    ctx.emit_batch(keys, rows["bytes"])


def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    path, status = batch["key"].flatten()
    rows = pa.table({"path": path, "status": status, "bytes": batch["value"]})
    sums = rows.group_by(["path", "status"]).aggregate([("bytes", "count"), ("bytes", "sum")])
    for row in sums.sort_by([("path", "ascending"), ("status", "ascending")]).to_pylist():
        ctx.emit((row["path"], row["status"]), [row["bytes_count"], row["bytes_sum"]])


if __name__ == "__main__":
    source = gomr.batches(gomr.jsonl, schema=COLUMNS)
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=source))
