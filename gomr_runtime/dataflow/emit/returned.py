"""What a user's function returns: an iterable of pairs is emitted, anything else is refused.

Pairs that are returned come after those that the same call emitted; a generator's come as it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import GeneratorType
from typing import Any

from gomr_runtime.api.context import Context
from gomr_runtime.api.user_frames import frame_of, place_of
from gomr_runtime.dataflow.emit.emit_calls import NoPair, refusal_of_source
from gomr_runtime.dataflow.pairs.keys import PairRefused


def emit_returned(ctx: Context, returned: object, field: str, function: Callable[..., Any]) -> None:
    """Emit the pairs that a call returned.

    Args:
        ctx: what the call was given.
        returned: what it gave back; None for nothing.
        field: what the function is in its config, for errors.
        function: the function.

    Raises:
        PairRefused: it is no iterable of pairs, or holds one that cannot be emitted.
    """
    if returned is None:
        return
    if not isinstance(returned, GeneratorType):
        error = _refusal(returned, field)
        if error is not None:
            error.place = place_of(function)
            raise error
    try:
        ctx.emit_many(returned)  # type: ignore[arg-type]
    except PairRefused as refused:
        if isinstance(refused, NoPair):
            refused = _of_one_pair(returned, field) or refused
        refused.place = _place_in(returned) or place_of(function)
        raise refused from None


def _refusal(returned: object, field: str) -> NoPair | None:
    what = f"what the {field} returns"
    if inspect.iscoroutine(returned):
        returned.close()  # or Python warns that nobody awaited it
    if inspect.isawaitable(returned) or inspect.isasyncgen(returned):
        name = type(returned).__name__
        return NoPair(f"{what} is a {name}, which nothing awaits: use asyncio.run in it")
    error = refusal_of_source(returned, what, "pairs")
    if error is None:
        return None
    shown = f"the {field} returned {returned!r:.80} ({type(returned).__name__})"
    if hasattr(type(returned), "items"):
        return NoPair(f"{shown}: return its items()")
    if hasattr(type(returned), "__arrow_c_stream__"):
        return NoPair(f"{shown}: give it to ctx.emit_batch")
    pairs = "(key, value) pairs"
    return NoPair(f"{shown}: emit {pairs}, yield them, or return a list of them; else return None")


def _of_one_pair(returned: object, field: str) -> NoPair | None:
    """The error for a pair that is returned as if it were an iterable of pairs."""
    if type(returned) is not tuple or len(returned) != 2 or returned[0] is None:
        return None
    return NoPair(f"the {field} returned one pair, {returned!r:.80}: yield it, or return [pair]")


def _place_in(returned: object) -> str:
    """The line at which a generator is, which no traceback shows."""
    if not isinstance(returned, GeneratorType):
        return ""
    while isinstance(inner := returned.gi_yieldfrom, GeneratorType):
        returned = inner
    frame = returned.gi_frame
    return "" if frame is None else frame_of(frame.f_code, frame.f_lineno)
