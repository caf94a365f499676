"""The error that a run ended with."""

from __future__ import annotations

from gomr_runtime.errors import BY_EXIT_CODE, GomrError, JobFailed
from gomr_runtime.model.job import Summary


def error_of(summary: Summary) -> GomrError | None:
    """The error a run ended with; None for success."""
    if summary.exit_code == 0:
        return None
    kind = BY_EXIT_CODE.get(summary.exit_code, JobFailed)
    error = kind(summary.message, detail=summary.detail)
    error.failure, error.summary = summary.failure or error.failure, summary
    return error
