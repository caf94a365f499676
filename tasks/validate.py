"""The step that refuses: worker file, inputs, output, counts; nothing has started yet."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from gomr_runtime.options import RunOptions
from gomr_runtime.prepare import prepare
from tasks.console import tell
from tasks.session import Session
from tasks.target import choose_target, with_worker_here


@task(name="validate", task_run_name="validate", cache_policy=NO_CACHE)
def validate(options: RunOptions) -> Session:
    """The run that `options` ask for; raises UsageError naming what is wrong."""
    place, target = choose_target(options, tell)
    try:
        session = Session(prepare(with_worker_here(options, target), place), target)
    except BaseException:
        if target is not None:
            target.close()
        raise
    session.summary = session.prepared.complete
    for note in session.prepared.notes:
        tell(note)
    return session
