"""The images of a run, as the person named them or as they are made."""

from __future__ import annotations

from dataclasses import dataclass

from k8s.images.load import Loader
from k8s.images.plan import ImagePlan, RunImages


@dataclass(frozen=True, slots=True)
class Images:
    """What pods run and how it gets to their nodes. plan: None where both images were named."""

    run: RunImages
    loader: Loader
    plan: ImagePlan | None
