"""Rules for every tier."""

from __future__ import annotations

import os

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("GOMR_NO_SKIP") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("GOMR_NO_SKIP is set: the skips above count as failures")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With GOMR_NO_SKIP a skipped test fails the run: continuous integration leaves none out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = bool(reporter and reporter.stats.get("skipped"))
    if os.environ.get("GOMR_NO_SKIP") and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
