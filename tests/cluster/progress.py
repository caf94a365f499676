"""Progress on stderr, with the seconds since the start, and waits that end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.build_cache import BuildFailed

_began = time.monotonic()
_POLL_SECONDS = 0.3


def say(text: str) -> None:
    print(f"{time.monotonic() - _began:4.0f} s  {text}", file=sys.stderr, flush=True)


def wait_for(
    what: str, ready: Callable[[], bool], seconds: float, diagnosis: Callable[[], str]
) -> None:
    """Returns once `ready()`; BuildFailed with the diagnosis when that takes longer."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise BuildFailed(f"no {what} within {seconds:.0f} s; {diagnosis()}")
        time.sleep(_POLL_SECONDS)
