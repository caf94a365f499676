"""The threads in which a master's duties are done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gomr_runtime.errors import JobFailed
from gomr_runtime.master.clerks import Clerks
from gomr_runtime.master.journal import Journal
from gomr_runtime.storage.memory import MemoryStore


class Panic(BaseException):
    """What a library in Rust raises for a defect of its own is no Exception."""


@pytest.mark.parametrize("error", [Panic("lost"), ValueError("lost")], ids=repr)
def test_whatever_a_duty_raises_is_answered(error: BaseException) -> None:
    class Broken:
        def run(self, journal: Journal) -> None:
            raise error

    async def answer() -> Any:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        clerks = Clerks(
            Journal(MemoryStore(), "run-1"), lambda duty, answer: answered.set_result(answer)
        )
        clerks.perform(Broken())  # type: ignore[arg-type]
        try:
            return await asyncio.wait_for(answered, 30)
        finally:
            clerks.dismiss()

    found = asyncio.run(answer())
    assert isinstance(found, JobFailed)
    assert "defect in the master, please report it" in str(found)
    assert "lost" in str(found)
