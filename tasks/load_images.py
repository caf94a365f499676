"""The step that brings the images to the nodes."""

from __future__ import annotations

from tasks.reporting.console import tell
from tasks.state import ClusterState
from tasks.step import step


@step
def load_images(state: ClusterState) -> None:
    """Send what the nodes lack; nothing when they have it all. Images that were named by hand
    are sent to a local cluster where Docker has them."""
    images, options = state.runtime.images, state.prepared.options
    if images.plan is not None:
        images.loader.load(images.plan, tell)
    if given := [name for name in (options.master_image, options.worker_image) if name]:
        images.loader.load_given(given, tell)
