"""`python worker.py --workers N`: the job on a master and N workers of this machine, no Prefect."""

from __future__ import annotations

from pathlib import Path

from gomr_runtime.errors import UsageError
from gomr_runtime.model import layout
from gomr_runtime.model.job import JobSpec, Summary
from gomr_runtime.publishing.publish import publish
from gomr_runtime.runs.claims import RunInProgress, claim, logs
from gomr_runtime.runs.handle import RunHandle, tell
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.progress import Reporter
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.system.host_lock import claim_output


def run_local(prepared: Prepared, progress: Reporter) -> Summary:
    """Run the job to its end and publish its output. Raises the GomrError that ended it; the
    run's data is then kept in the store."""
    if "://" in prepared.store:
        raise UsageError("python worker.py keeps a run's data in a directory: use flows.gomr")
    if prepared.complete is not None:
        progress.close()
        return prepared.complete
    store, job, run = Path(prepared.store), prepared.job, prepared.job.run
    resume = bool(prepared.options.resume)
    try:
        held = claim(store, run, resume=resume)
    except RunInProgress as live:
        if not resume or prepared.options.rerun or live.folder is None:
            raise
        return _follow(prepared, live.folder, progress)
    done = False
    try:
        with claim_output(prepared.output) as output:
            if resume:
                job = reopen(open_store(prepared.store), job, rerun=prepared.options.rerun)
            summary = _watch(prepared, job, progress)
            publish(
                open_store(prepared.store),
                summary,
                prepared.output,
                prepared.options.overwrite,
                claim=output,
            )
        done = True
        return summary
    finally:
        if not done and (store / layout.job(run)).exists():
            progress.log("info", f"go on with the same command and --resume {run}")
        progress.close()
        held.release(remove=done and not prepared.options.keep)


def _watch(prepared: Prepared, job: JobSpec, progress: Reporter) -> Summary:
    """Run the processes of the job to their end."""
    folder = logs(Path(prepared.store), job.run)
    with LocalRun(job, prepared.worker.program, prepared.store, log_folder=folder) as processes:
        return _told(processes, progress)


def _follow(prepared: Prepared, folder: Path, progress: Reporter) -> Summary:
    """Watch a run that another process looks after; that one brings its output."""
    from gomr_runtime.runs.attached import AttachedRun  # gRPC

    attached = AttachedRun(prepared.job.run, folder, prepared.store, prepared.output)
    try:
        progress.log("info", f"run {prepared.job.run} is in progress: following it")
        return _told(attached, progress)
    finally:
        progress.close()
        attached.close()


def _told(run: RunHandle, progress: Reporter) -> Summary:
    for event in run.events():
        tell(event, progress)
    return run.result()
