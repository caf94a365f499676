"""What the artifacts of a run show: put into the outbox, which makes and updates them."""

from __future__ import annotations

from uuid import UUID

from prefect import runtime
from prefect.client.schemas.actions import ArtifactCreate

from tasks.engine.bounds import outbox
from tasks.reporting.markdown import as_markdown


def show_artifact(kind: str, key: str, data: object, description: str) -> None:
    """Show `data` as the artifact `key` of this flow run and step, in place of what it showed.

    Args:
        kind: `progress` with a percentage, `markdown` with text, `table` with JSON.
        key: one of `[a-z0-9-]`, the same for the same artifact of every run.
        data: what the artifact shows.
        description: one line about it.
    """
    outbox().show(
        ArtifactCreate(
            type=kind,
            key=key,
            data=data,
            description=as_markdown(description),  # Prefect's pages render it
            flow_run_id=UUID(runtime.flow_run.id),
            task_run_id=UUID(runtime.task_run.id),
        )
    )
