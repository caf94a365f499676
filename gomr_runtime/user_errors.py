"""The user's part of a traceback: their own frames, none of ours."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

_ENGINE = f"{Path(__file__).parent}/"


def describe(error: BaseException) -> str:
    """`ValueError: message` on one line; of the engine's own refusals only the message."""
    if type(error).__module__.startswith("gomr_runtime."):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip().replace("\n", " | ")


def user_frames(error: BaseException) -> str:
    """The traceback from the first frame that is not ours; "" when every frame is ours."""
    tb = error.__traceback__
    while tb is not None and _ours(tb):
        tb = tb.tb_next
    if tb is None:
        return ""
    shown = traceback.TracebackException(type(error), error, tb, compact=True)
    _strip(shown)
    return "".join(shown.format())


def _strip(shown: traceback.TracebackException) -> None:
    """Take our frames out of it, and out of the errors it was raised from or during."""
    frames = [frame for frame in shown.stack if not frame.filename.startswith(_ENGINE)]
    shown.stack = traceback.StackSummary.from_list(frames)
    for earlier in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if earlier is not None:
            _strip(earlier)


def _ours(tb: TracebackType) -> bool:
    return tb.tb_frame.f_code.co_filename.startswith(_ENGINE)
