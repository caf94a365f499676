"""How a run ended, as its master tells it, and the error that this is."""

from __future__ import annotations

from gomr_runtime.codec.typed_json import Mismatch, from_json
from gomr_runtime.errors import BY_EXIT_CODE, EnvironmentFailed, GomrError, JobFailed
from gomr_runtime.model.summary import Summary


def summary_of(text: str) -> Summary:
    """Read the summary that a master tells of.

    Args:
        text: the summary as JSON.

    Raises:
        EnvironmentFailed: it is no summary.
    """
    try:
        return from_json(Summary, text)
    except Mismatch as error:
        raise EnvironmentFailed(
            f"the master told no summary: {error}; use one version of GoMR for client and master"
        ) from None


def error_of(summary: Summary) -> GomrError | None:
    """The error a run ended with; None for success."""
    if summary.exit_code == 0:
        return None
    kind = BY_EXIT_CODE.get(summary.exit_code, JobFailed)
    error = kind(summary.message, detail=summary.detail)
    error.failure, error.summary = summary.failure or error.failure, summary
    return error
