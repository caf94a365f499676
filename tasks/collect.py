"""The step that brings the parts to the person's directory."""

from __future__ import annotations

from gomr_runtime.publishing.publish import publish
from tasks.session import Session
from tasks.step import step


@step
def collect(session: Session) -> None:
    """Publish the verified parts, `_SUCCESS` last, unless the output is to stay in the store."""
    options = session.prepared.options
    assert session.store is not None
    assert session.summary is not None
    if options.collect:
        session.success = publish(
            session.store,
            session.summary,
            session.prepared.output,
            options.overwrite,
            claim=session.output,
        )
