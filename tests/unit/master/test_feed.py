"""What those who watch a run are told, and that its summary comes last."""

from __future__ import annotations

import asyncio

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.master.feed import Feed


def told(feed: Feed, after: int = 0) -> list[pb.WatchEvent]:
    """All events, of a feed that has ended."""

    async def listen() -> list[pb.WatchEvent]:
        return [event async for event in feed.after(after)]

    return asyncio.run(asyncio.wait_for(listen(), 10))


def test_nothing_comes_after_the_summary() -> None:
    """The loop of the master tells progress after whatever it did, the end of the run included."""
    feed = Feed(epoch=1)
    feed.log("begun")
    feed.end("{}")
    feed.progress(pb.PhaseProgress(phase="promote"), now=True)
    feed.log("cannot store the master's log")
    assert [event.WhichOneof("body") for event in told(feed)] == ["log", "summary"]
    assert feed.transcript() == b"begun\ncannot store the master's log\n"
    assert told(feed, after=told(feed)[-1].sequence) == []
