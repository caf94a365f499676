"""What Prefect's engine would wait for or end a run by, and does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.command import clean_environ

NAMES = """
from prefect.flow_engine import FlowRunEngine
import prefect.flow_engine as engine
import flows.gomr
from tasks.engine.bounds import maintain_lease, propose_state

assert "propose_state_sync" in FlowRunEngine.set_state.__code__.co_names
assert "maintain_concurrency_lease" in FlowRunEngine.setup_run_context.__wrapped__.__code__.co_names
assert engine.propose_state_sync is propose_state
assert engine.maintain_concurrency_lease is maintain_lease
"""
LEASE = """
import threading, time, uuid
import prefect.concurrency._leases as leases
import prefect.flow_engine as engine
import flows.gomr

told = threading.Event()
known = leases._handle_lease_renewal_failure


def handle(*arguments):
    known(*arguments)
    told.set()


leases._handle_lease_renewal_failure = handle
leases._RENEWAL_MAX_ATTEMPTS = 1
with engine.maintain_concurrency_lease(uuid.uuid4(), 300, raise_on_lease_renewal_failure=True):
    assert told.wait(60), "the slot could be renewed"
    for _ in range(20):
        time.sleep(0.01)  # an exception would be thrown in here
print("went on")
"""
TAGS = """
from prefect import tags
from prefect.context import TagsContext
from tasks.step import without_tags

with tags("a", "b"):
    with without_tags():
        assert TagsContext.get().current_tags == set()
    assert TagsContext.get().current_tags == {"a", "b"}
"""


@pytest.mark.parametrize("script", [NAMES, LEASE, TAGS], ids=["names", "lease", "tags"])
def test_the_engine_is_bounded(tmp_path: Path, script: str) -> None:
    nowhere = {
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environ() | nowhere,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("went on\n" if script is LEASE else "")
