"""The step that brings the parts to the person's directory."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from gomr_runtime.publish import publish
from tasks.session import Session


@task(name="collect", task_run_name="collect", cache_policy=NO_CACHE)
def collect(session: Session) -> None:
    """Publish the verified parts, `_SUCCESS` last, unless the output is to stay in the store."""
    options = session.prepared.options
    assert session.store is not None
    assert session.summary is not None
    if options.collect:
        session.success = publish(
            session.store, session.summary, session.prepared.output, options.overwrite
        )
