"""The step that builds the images of master and workers, where the cluster lacks them."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext

from k8s.images.build import build
from k8s.images.load import Missing
from tasks.reporting.console import tell
from tasks.state import ClusterState
from tasks.step import without_tags


def build_images(state: ClusterState) -> None:
    """Build what the nodes lack. Prefect shows the step as cached when they lack nothing: what it
    remembers is not believed, the nodes are asked."""
    state.check_cancelled()
    images = state.runtime.images
    if images.plan is None:
        return
    missing = images.loader.missing(images.plan)
    again = _build.with_options(refresh_cache=bool(missing))
    with without_tags():
        again(state, missing, key=" ".join([images.loader.name, *images.plan.references]))


def _key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    return f"gomr images {parameters['key']}"


@task(
    name="build_images",
    task_run_name="build images",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_key),
    persist_result=True,
)
def _build(state: ClusterState, missing: Missing, key: str) -> list[str]:
    """key: what is made and for whom. The references that were built."""
    images, plan = state.runtime.images, state.runtime.images.plan
    return build(plan, images.loader.to_build(plan, missing), tell) if plan else []
