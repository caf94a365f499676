"""Rules for every tier."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gomr_runtime.system import compiled

NATIVE = compiled.load()


@pytest.fixture(scope="module", params=["compiled", "pure"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a module's tests with and without the compiled part."""
    wanted = str(request.param)
    if wanted == "compiled" and NATIVE is None:
        pytest.skip("gomr-native is not built: it needs a C compiler when it is installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "native", NATIVE if wanted == "compiled" else None)
        yield wanted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-transcripts",
        action="store_true",
        help="write what the scheduler does now into tests/unit/scheduler/transcripts",
    )


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
