"""How much of `--memory` a task may fill with pairs."""

from __future__ import annotations

import sys


def budget_of(memory: int) -> int:
    """Bytes of pairs a task may gather: a fifth of what --memory leaves beside the interpreter,
    since sorting and taking hold up to four copies for a moment."""
    return max(8 << 20, min(512 << 20, (memory - base_of(memory)) // 5))


def base_of(memory: int) -> int:
    """Bytes of `memory` that the interpreter takes, with what it has loaded."""
    return 170 << 20 if "pyarrow" in sys.modules or memory > 512 << 20 else 130 << 20
