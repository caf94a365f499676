"""Log analysis: requests, failures, bytes and the slowest request of each path."""

from typing import Any

import gomr_runtime as gomr

Row = list[int]  # requests, failures, bytes, slowest in ms


def mapper(ctx: gomr.Context, entry: dict[str, Any]) -> None:
    if entry["path"].startswith("/health"):
        ctx.counter("health checks").add()
        return
    failed = entry["status"] >= int(ctx.params.get("fails_from", "500"))
    ctx.emit(entry["path"], [1, int(failed), entry["bytes"], entry["ms"]])


def combiner(ctx: gomr.Context, path: str, values: list[Row]) -> None:
    requests, failures, sizes, times = zip(*values, strict=True)
    ctx.emit(path, [sum(requests), sum(failures), sum(sizes), max(times)])


def reducer(ctx: gomr.Context, path: str, values: list[Row]) -> None:
    requests, failures, sizes, times = zip(*values, strict=True)
    total = sum(requests)
    ctx.counter("requests").add(total)
    row = {"requests": total, "failed": sum(failures) / total, "bytes": sum(sizes)}
    ctx.emit(path, row | {"slowest_ms": max(times)})


if __name__ == "__main__":
    gomr.run(
        gomr.MapReduceConfig(mapper=mapper, reducer=reducer, combiner=combiner, input=gomr.jsonl)
    )
