"""The runtime of a cluster: a run's pods, made anew, or found where they are already."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from gomr_runtime.model.job import JobSpec
from gomr_runtime.runs.handle import started
from gomr_runtime.runs.lifecycle import Hold, claim_objects
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.resume import continued, how_it_ended, reopen
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import probe_create_only
from gomr_runtime.storage.s3.settings import split_s3_url
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.user_code.environment import CHECKOUT
from k8s.images.build import find_base
from k8s.images.chosen import Images
from k8s.images.load import loader_for, run_images
from k8s.images.plan import RunImages, plan_images, read_sources
from k8s.manifest_objects import RunPods
from k8s.run.cluster_run import ClusterRun
from k8s.run.target import Target, Tell
from k8s.settings import ImageSettings


class ClusterRuntime:
    """Starts one run as pods of a cluster."""

    def __init__(self, target: Target, prepared: Prepared, tell: Tell) -> None:
        """tell: hears what takes long, and where a run goes on that is there already."""
        self._target = target
        self._options = prepared.options
        self._worker = prepared.worker
        self._run = prepared.job.run
        self._tell = tell

    @cached_property
    def store(self) -> S3Store:
        """The run's store, which is started in the cluster if need be."""
        access = self._target.store_of(self._run)
        bucket, prefix = split_s3_url(access.url)
        return S3Store(bucket, prefix, access.here)

    @cached_property
    def images(self) -> Images:
        """The images that the person named, or those that are made for this worker file."""
        master, worker = self._options.master_image, self._options.worker_image
        name = self._target.cluster.name
        loader = loader_for(name, self._options.load, given=bool(master and worker))
        if master and worker:
            return Images(RunImages(master, worker, "IfNotPresent"), loader, None)
        plan = plan_images(
            self._worker, find_base(self._tell, ImageSettings().base_image), read_sources(CHECKOUT)
        )
        return Images(run_images(plan, loader, master=master, worker=worker), loader, plan)

    def open_store(self) -> S3Store:
        probe_create_only(self.store)
        return self.store

    def claim(self, prepared: Prepared, store: Callable[[], Store]) -> Hold:
        return claim_objects(store(), prepared, output_stays=True)

    def claims_output(self, prepared: Prepared) -> bool:
        return not prepared.options.resume

    def start(self, store: Store, prepared: Prepared) -> ClusterRun:
        """The run in the cluster. One to be resumed that is complete is not started: its output is
        all that is wanted, and the handle says how it ended."""
        if not prepared.options.resume:
            return started(self._handle(prepared.job, prepared))
        job = continued(store, prepared.job, prepared.worker.program, prepared.options)
        run = self._handle(job, prepared)
        try:
            if run.attach():
                self._tell(f"run {job.run} is in progress; following it")
                return run
            ended = how_it_ended(store, job.run)
            if ended and ended.state == "succeeded" and not prepared.options.rerun:
                self._tell(f"run {job.run} is complete; collecting its output")
                run.summary = ended
                return run
            job = reopen(store, job, rerun=prepared.options.rerun)
        except BaseException:
            run.close()
            raise
        return started(self._handle(job, prepared))

    def close(self) -> None:
        """Hang up; safe to repeat."""
        self._target.close()

    def _handle(self, job: JobSpec, prepared: Prepared) -> ClusterRun:
        images, access = self.images.run, self._target.store_of(job.run)
        pods = RunPods(
            run=job.run,
            master_image=images.master,
            worker_image=images.worker,
            workers=job.workers,
            memory=job.memory,
            store=access.url,
            s3=access.pods,
            store_authorities=access.authorities,
            timeout=job.timeout,
            keep=prepared.options.keep,
            pull=images.pull_policy,
        )
        program, administrator = prepared.worker.program, self._target.store()
        return ClusterRun(job, program, self._target.cluster, access, pods, administrator)
