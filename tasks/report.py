"""The step that writes the run's books and parts where the Prefect UI shows them."""

from __future__ import annotations

import json

from gomr_runtime.errors import one_line
from gomr_runtime.model.quantities import format_size
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.progress import books, costs
from tasks.reporting.artifacts import show_artifact
from tasks.reporting.markdown import as_markdown
from tasks.state import FlowState
from tasks.step import step

PARTS_SHOWN = 200


@step
def report(state: FlowState) -> Summary:
    """Make the artifacts `gomr-summary` and `gomr-parts`; return the summary."""
    summary, output = state.run.handle.result(), output_of(state)
    show_artifact("markdown", "gomr-summary", markdown(summary, output), output)
    rows = [
        {
            "part": part.name,
            "records": part.records,
            "size": format_size(part.size),
            "sha256": part.sha256,
        }
        for part in summary.parts[:PARTS_SHOWN]
    ]
    where = f"{len(summary.parts)} parts in {output}"
    show_artifact("table", "gomr-parts", json.dumps(rows), where)
    return summary


def output_of(state: FlowState) -> str:
    """Where the parts are, for people on this machine."""
    if state.run.published is not None:
        return one_line(str(state.run.published.parent))
    return one_line(f"{state.prepared.store}, outputs/{state.prepared.job.run}")


def markdown(summary: Summary, output: str) -> str:
    """The balanced books and what the run cost, as a table."""
    size = sum(part.size for part in summary.parts)
    rows = [
        *books(summary.ledger),
        *[(f"counter {name}", f"{count:,}") for name, count in sorted(summary.counters.items())],
        ("took", costs(summary)),
        ("output", f"{len(summary.parts)} parts, {format_size(size)}, in {output}"),
    ]
    lines = [f"| {as_markdown(name)} | {as_markdown(text)} |" for name, text in rows]
    return "\n".join([f"# Run {summary.run}", "", "| | |", "|---|---|", *lines])
