"""Where the steps of a run speak: the person's terminal and the log of the Prefect run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import runtime
from prefect.logging import get_run_logger

from gomr_runtime.errors import one_line
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.progress import Reporter, Silent, reporter

LEVELS = {"warning": logging.WARNING, "error": logging.ERROR}
_reporter: Reporter = Silent()


@contextmanager
def progress_on_stderr(options: RunOptions) -> Iterator[None]:
    """Show progress on stderr within the block, unless this is a deployment's run: Prefect's own
    log is on its console already."""
    global _reporter
    _reporter = reporter(quiet=options.quiet or runtime.deployment.id is not None)
    try:
        yield
    finally:
        _reporter.close()
        _reporter = Silent()


def console() -> Reporter:
    return _reporter


def tell(text: str, level: str = "info") -> None:
    """One line for the person and for the run's log."""
    _reporter.log(level, text)
    get_run_logger().log(LEVELS.get(level, logging.INFO), one_line(text))
