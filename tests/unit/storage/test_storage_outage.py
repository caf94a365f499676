"""When an operation gives up, by a clock of the test's own."""

from __future__ import annotations

from gomr_runtime.storage.s3.outage import Outage


def test_each_operation_has_the_budget_while_the_store_answers() -> None:
    outage = Outage(300.0)
    assert outage.deadline(10.0) == 310.0
    outage.answered()
    assert outage.deadline(20.0) == 320.0


def test_an_outage_counts_once_for_all_operations() -> None:
    outage = Outage(300.0)
    outage.unanswered(100.0)
    outage.unanswered(150.0)
    assert outage.deadline(90.0) == 390.0, "one that began before"
    assert outage.deadline(395.0) == 400.0
    assert outage.deadline(1000.0) == 400.0, "in the past: one try, and no other"


def test_an_answer_ends_the_outage() -> None:
    outage = Outage(300.0)
    outage.unanswered(100.0)
    outage.answered()
    assert outage.deadline(250.0) == 550.0
    outage.unanswered(260.0)
    assert outage.deadline(270.0) == 560.0
