"""Which Prefect server a run talks to, decided without importing prefect."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import listeners, server
from flows.listeners import listening_users
from flows.server import Choice, answers, choose_server, configured_api
from gomr_runtime.errors import UsageError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(tmp_path / "home")}


def test_the_environment_wins(home: dict[str, str]) -> None:
    environ = home | {"PREFECT_API_URL": "http://x/api"}
    assert choose_server(environ, verbose=False) == Choice("Prefect: http://x/api")
    assert environ["PREFECT_API_URL"] == "http://x/api"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\nPREFECT_API_URL='http://x/api'\n"),
        ("prefect.toml", '[api]\nurl = "http://x/api"\n'),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://x/api"\n'),
        (
            "home/profiles.toml",
            'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://x/api"\n',
        ),
    ],
)
def test_files_that_prefect_reads(
    tmp_path: Path, home: dict[str, str], name: str, text: str
) -> None:
    assert configured_api(home) == ""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert configured_api(home) == "http://x/api"


@pytest.fixture
def running() -> Iterator[str]:
    """The address of a server of this user that says it is healthy."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_of_ours_on_this_machine_is_found(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch, running: str
) -> None:
    monkeypatch.setattr(server, "LOCAL_API", running)
    assert choose_server(home, verbose=False) == Choice(f"Prefect: {running}")
    assert home["PREFECT_API_URL"] == running
    assert not answers(f"{running}/else")


def test_a_server_of_another_user_is_not_used_unless_configured(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch, running: str
) -> None:
    """Whoever listens first at the usual port would learn parameters and say what to load."""
    monkeypatch.setattr(server, "LOCAL_API", running)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    chosen = choose_server(home, verbose=False)
    assert chosen.temporary
    assert f"another user listens at {running}" in chosen.line
    assert "PREFECT_API_URL" not in home
    home["PREFECT_API_URL"] = running
    assert choose_server(home, verbose=False) == Choice(f"Prefect: {running}")


def test_whose_server_it_is_has_to_be_known(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch, running: str
) -> None:
    monkeypatch.setattr(server, "LOCAL_API", running)
    monkeypatch.setattr(listeners, "TABLES", ("/nowhere/tcp",))
    chosen = choose_server(home, verbose=False)
    assert chosen.temporary
    assert "is not known" in chosen.line


@pytest.mark.parametrize(
    ("family", "host", "reached"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET, "127.0.0.2", False),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET6, "::ffff:127.0.0.1", True),
        (socket.AF_INET6, "::1", False),
    ],
)
def test_who_listens_is_told_by_the_kernel(
    family: socket.AddressFamily, host: str, reached: bool
) -> None:
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        port = bound.getsockname()[1]
        assert listening_users("127.0.0.1", port) == set(), "it does not listen yet"
        bound.listen()
        assert listening_users("127.0.0.1", port) == ({os.getuid()} if reached else set())


def test_else_a_temporary_one(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOCAL_API", "http://127.0.0.1:9/api")
    chosen = choose_server(home, verbose=False)
    assert chosen.temporary
    assert "docs/prefect.md" in chosen.line
    assert "PREFECT_API_URL" not in home
    assert home["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({}, None),
        ({"http_proxy": "http://p:1"}, "127.0.0.1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "corp"}, "corp,127.0.0.1"),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "a,127.0.0.1", "NO_PROXY": "b"}, "a,127.0.0.1"),
    ],
)
def test_no_proxy_learns_what_this_machine_is_told(
    home: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    passed: str | None,
) -> None:
    monkeypatch.setattr(server, "LOCAL_API", "http://127.0.0.1:9/api")
    environ = home | given
    choose_server(environ, verbose=False)
    assert environ.get("no_proxy") == passed


def test_a_login_in_the_address_is_not_shown(home: dict[str, str]) -> None:
    environ = home | {"PREFECT_API_URL": "https://me:secret@x:1/api"}
    assert choose_server(environ, verbose=False).line == "Prefect: https://x:1/api"
    assert environ["PREFECT_API_URL"] == "https://me:secret@x:1/api"


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_of_authorities_that_is_none(
    tmp_path: Path, home: dict[str, str], content: str | None
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    environ = home | {"PREFECT_API_URL": "http://x/api", "SSL_CERT_FILE": str(file)}
    with pytest.raises(UsageError, match=r"SSL_CERT_FILE=.*ca\.crt: (No such file|no certificate)"):
        choose_server(environ, verbose=False)
