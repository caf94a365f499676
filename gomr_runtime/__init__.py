"""GoMR: MapReduce in Python. In a worker file: `import gomr_runtime as gomr`."""

from gomr_runtime.user_code.name_clashes import guard_start

guard_start()  # before anything that the files beside a worker file could stand in for

# ruff: noqa: E402

from typing import TYPE_CHECKING

from gomr_runtime.api.aggregates import count, distinct, identity, max, min, sum, top
from gomr_runtime.api.config import MapReduceConfig, total_order
from gomr_runtime.api.context import Context, Counter
from gomr_runtime.api.formats import batches, chunk, csv, jsonl, lines, raw_bytes, whole_file
from gomr_runtime.api.user_frames import did_you_mean
from gomr_runtime.cli.run import run
from gomr_runtime.version import __version__ as __version__

if not TYPE_CHECKING:  # which would take it for every name

    def __getattr__(name: str) -> object:
        """Say which name is near one that there is not."""
        if name.startswith("__"):  # asked for by the import system and by tools
            raise AttributeError(name)
        if name == "testing":
            raise AttributeError("gomr_runtime.testing is to be imported by that name")
        raise AttributeError(f"gomr_runtime has no {name!r}{did_you_mean(name, __all__)}")


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
