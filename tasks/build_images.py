"""The step that builds the images of master and workers, where the cluster lacks them."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext

from gomr_runtime.options.declared import RunOptions
from gomr_runtime.user_code.environment import CHECKOUT
from k8s.images.build import build, find_base
from k8s.images.chosen import Images
from k8s.images.load import Missing, loader_for, run_images
from k8s.images.plan import RunImages, plan_images, read_sources
from k8s.settings import ImageSettings
from tasks.reporting.console import tell
from tasks.session import Session
from tasks.step import without_tags


def build_images(session: Session) -> None:
    """Build what the nodes lack. Prefect shows the step as cached when they lack nothing: what it
    remembers is not believed, the nodes are asked."""
    session.check_cancelled()
    images = session.images = choose_images(session)
    if images.plan is None:
        return
    missing = images.loader.missing(images.plan)
    again = _build.with_options(refresh_cache=bool(missing))
    with without_tags():
        again(session, missing, key=" ".join([images.loader.name, *images.plan.references]))


def choose_images(session: Session) -> Images:
    """The images that the person named, or those that are made for this worker file."""
    options: RunOptions = session.prepared.options
    master, worker = options.master_image, options.worker_image
    assert session.target is not None
    loader = loader_for(session.target.cluster.name, options.load, given=bool(master and worker))
    if master and worker:
        return Images(RunImages(master, worker, "IfNotPresent"), loader, None)
    plan = plan_images(
        session.prepared.worker,
        find_base(tell, ImageSettings().base_image),
        read_sources(CHECKOUT),
    )
    return Images(run_images(plan, loader, master=master, worker=worker), loader, plan)


def _key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    return f"gomr images {parameters['key']}"


@task(
    name="build_images",
    task_run_name="build images",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_key),
    persist_result=True,
)
def _build(session: Session, missing: Missing, key: str) -> list[str]:
    """key: what is made and for whom. The references that were built."""
    images = session.images
    assert images is not None
    assert images.plan is not None
    return build(images.plan, images.loader.to_build(images.plan, missing), tell)
