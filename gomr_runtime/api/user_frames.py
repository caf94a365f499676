"""The user's part of a traceback: their own frames, none of ours."""

from __future__ import annotations

import difflib
import functools
import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, TracebackType

from gomr_runtime.model.task import Frame

_ENGINE = f"{Path(__file__).parents[1]}/"
# Of what surrounds every child beside the engine.
_AROUND = re.compile(r'"(<string>|<frozen runpy>|.*/multiprocessing/\w+\.py)", line')
MOST_MESSAGE = 2_000  # characters of an error's own words
MOST_FRAMES = 16_000  # characters of a traceback; a job reports many
MOST_CALLS = 50  # of a traceback as data
MOST_CODE = 200  # characters of a line of code in it


def describe(error: BaseException) -> str:
    """`ValueError: message` on one line; of the engine's own refusals only the message."""
    if type(error).__module__.startswith("gomr_runtime."):
        return shortened(str(error), MOST_MESSAGE)
    text = "".join(traceback.format_exception_only(error)).strip()
    return shortened(text, MOST_MESSAGE).replace("\n", " | ")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that there is not: the nearest of those that there are."""
    known = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), known, 1)
    if near:
        return f": did you mean {known[near[0]]!r}?"
    return f": there are {', '.join(sorted(known.values()))}"


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and end where it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters left out ... {text[-half:]}"


def without_engine(dump: str) -> str:
    """What faulthandler printed, without the frames that are ours."""
    lines = dump.split("\n")
    return "\n".join(line for line in lines if not _frame_of_ours(line))


def _frame_of_ours(line: str) -> bool:
    if not line.startswith('  File "'):
        return False
    return line.startswith(f'  File "{_ENGINE}') or _AROUND.search(line) is not None


def user_frames(error: BaseException) -> str:
    """The traceback from the first frame that is not ours; where every frame is, the place that the
    error names by itself, or ""."""
    tb = error.__traceback__
    while tb is not None and _ours(tb):
        tb = tb.tb_next
    if tb is None:
        return getattr(error, "place", "")
    shown = traceback.TracebackException(type(error), error, tb, compact=True)
    _strip(shown)
    ours = type(error).__module__.startswith("gomr_runtime.")  # its words are in the message
    return shortened("".join(shown.stack.format() if ours else shown.format()), MOST_FRAMES)


def _strip(shown: traceback.TracebackException) -> None:
    """Take our frames out of it, and out of the errors it was raised from or during."""
    frames = [frame for frame in shown.stack if not frame.filename.startswith(_ENGINE)]
    shown.stack = traceback.StackSummary.from_list(frames)
    for earlier in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if earlier is not None:
            _strip(earlier)


def place_of(function: object) -> str:
    """Where a user's function is defined, as a frame of a traceback; "" where that is not known."""
    code = code_of(function)
    if code is None or code.co_filename.startswith(_ENGINE):
        return ""
    return frame_of(code, code.co_firstlineno)


def frame_of(code: CodeType, line: int) -> str:
    """A line of user code as a traceback shows it."""
    shown = traceback.FrameSummary(code.co_filename, line, code.co_name)
    return "".join(traceback.StackSummary.from_list([shown]).format())


def code_of(function: object) -> CodeType | None:
    """The code behind a function, a method, a partial or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None and not isinstance(function, type):
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004
    return code if isinstance(code, CodeType) else None


def _ours(tb: TracebackType) -> bool:
    return tb.tb_frame.f_code.co_filename.startswith(_ENGINE)


def calls(error: BaseException) -> tuple[Frame, ...]:
    """The user's own calls that led to `error`, the innermost last; where there are none, those of
    what it was raised from, or raised while handling."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        frames = [f for f in traceback.extract_tb(found.__traceback__) if _is_users(f)]
        if frames:
            return tuple(
                Frame(f.filename, f.lineno or 0, f.name, (f.line or "")[:MOST_CODE])
                for f in frames[-MOST_CALLS:]
            )
        found = found.__cause__ or found.__context__
    return ()


def _is_users(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith((_ENGINE, "<frozen "))
