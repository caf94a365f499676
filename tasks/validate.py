"""The step that refuses: worker file, inputs, output, counts; nothing has started yet."""

from __future__ import annotations

from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.prepare import prepare
from k8s.run.target import choose_target, with_worker_here
from tasks.reporting.console import tell
from tasks.session import Session
from tasks.step import shown_as_task


@shown_as_task
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
