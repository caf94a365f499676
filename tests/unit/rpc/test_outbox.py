"""What waits on a stream goes out together, in order, within the size of a message."""

from __future__ import annotations

import asyncio

import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.rpc.outbox import TOGETHER, Outbox
from gomr_runtime.worker.master_link import Session


def acks(*numbers: int) -> list[pb.MasterMessage]:
    return [pb.MasterMessage(ack=pb.Ack(id=number)) for number in numbers]


@pytest.mark.asyncio
async def test_all_that_waits_is_sent_at_once_and_in_order() -> None:
    outbox: Outbox[pb.MasterMessage] = Outbox()
    next_ones = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    for message in acks(1, 2, 3):
        outbox.put(message)
    assert await asyncio.wait_for(next_ones, 5) == acks(1, 2, 3)
    outbox.put(*acks(4))
    outbox.end()
    assert await outbox.next() == acks(4)
    assert await outbox.next() == []


@pytest.mark.asyncio
async def test_a_large_message_goes_alone() -> None:
    outbox: Outbox[pb.MasterMessage] = Outbox()
    large = pb.MasterMessage(assign=pb.Assign(task="x" * TOGETHER))
    for message in [*acks(1), large, *acks(2, 3)]:
        outbox.put(message)
    assert [len(await outbox.next()) for _ in range(3)] == [1, 1, 2]


@pytest.mark.asyncio
async def test_heartbeats_wait_for_the_answer_to_the_one_before() -> None:
    session = Session("unix:/nowhere", "token", lambda: None)
    session.connected = True
    for _ in range(3):
        session.beat(pb.Heartbeat())
    [first] = await session._outbox.next()
    session._acknowledged(first.id)
    session.beat(pb.Heartbeat())
    [second] = await session._outbox.next()
    assert second.id > first.id
