"""GoMR: MapReduce in Python. In a worker file: `import gomr_runtime as gomr`."""

from gomr_runtime.name_clashes import guard_start

guard_start()  # before anything that the files beside a worker file could stand in for

# ruff: noqa: E402
from gomr_runtime.aggregates import count, distinct, identity, max, min, sum, top
from gomr_runtime.api import MapReduceConfig, run, total_order
from gomr_runtime.context import Context, Counter
from gomr_runtime.formats import batches, chunk, csv, jsonl, lines, raw_bytes, whole_file

__version__ = "0.1.0"

__all__ = [
    "Context",
    "Counter",
    "MapReduceConfig",
    "batches",
    "chunk",
    "count",
    "csv",
    "distinct",
    "identity",
    "jsonl",
    "lines",
    "max",
    "min",
    "raw_bytes",
    "run",
    "sum",
    "top",
    "total_order",
    "whole_file",
]
