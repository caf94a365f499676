"""A run's pods: made anew, or found where a run that is resumed goes on by itself."""

from __future__ import annotations

from dataclasses import replace

from gomr_runtime.runs.resume import continued, how_it_ended, reopen
from k8s.manifest_objects import RunPods
from k8s.run.cluster_run import ClusterRun
from tasks.reporting.console import tell
from tasks.session import Session


def start_pods(session: Session) -> ClusterRun:
    """The run in the cluster. One to be resumed that is complete is not started: its output is all
    that is wanted, and `session.summary` says how it ended."""
    options, store = session.prepared.options, session.store
    assert store is not None
    if options.resume:
        job = continued(store, session.prepared.job, session.prepared.worker.program, options)
        session.prepared = replace(session.prepared, job=job)
        run = session.processes = _run(session)
        if run.attach():
            tell(f"run {job.run} is in progress; following it")
            return run
        ended = how_it_ended(store, job.run)
        if ended is not None and ended.state == "succeeded" and not options.rerun:
            tell(f"run {job.run} is complete; collecting its output")
            session.summary = ended
            return run
        job = reopen(store, job, rerun=options.rerun)
        session.prepared = replace(session.prepared, job=job)
    run = session.processes = _run(session)
    run.start()
    return run


def _run(session: Session) -> ClusterRun:
    prepared, images, target = session.prepared, session.images, session.target
    assert images is not None
    assert target is not None
    access = target.store_of(prepared.job.run)
    pods = RunPods(
        run=prepared.job.run,
        master_image=images.run.master,
        worker_image=images.run.worker,
        workers=prepared.job.workers,
        memory=prepared.job.memory,
        store=access.url,
        s3=access.pods,
        store_authorities=access.authorities,
        timeout=prepared.job.timeout,
        keep=prepared.options.keep,
        pull=images.run.pull_policy,
    )
    program, administrator = prepared.worker.program, target.store()
    return ClusterRun(prepared.job, program, target.cluster, access, pods, administrator)
