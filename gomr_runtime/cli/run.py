"""`gomr.run`, with which a worker file ends."""

from __future__ import annotations

import sys

from gomr_runtime.api.config import ConfigCaptured, MapReduceConfig, mode


def run(config: MapReduceConfig) -> None:
    """Run the job as the surroundings ask, then end the process with the job's exit code.

    `python worker.py --input f` runs it in this process, with `--workers N` on local processes.
    Where the engine loads the file, this only hands over the config.
    """
    if mode() == "load":
        raise ConfigCaptured(config)
    if mode() == "task":
        raise RuntimeError("gomr.run is called inside a task: it belongs at the end of the file")
    from gomr_runtime.system.streams import open_streams

    open_streams()
    from gomr_runtime.cli.worker import main

    sys.exit(main(config, sys.argv[1:]))
