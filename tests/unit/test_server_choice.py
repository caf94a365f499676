"""Which Prefect server a run talks to, decided without importing prefect."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import server
from flows.server import answers, choose_server, configured_api
from gomr_runtime.errors import UsageError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(tmp_path / "home")}


def test_the_environment_wins(home: dict[str, str]) -> None:
    environ = home | {"PREFECT_API_URL": "http://x/api"}
    assert choose_server(environ, verbose=False) == "Prefect: http://x/api"
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


def test_a_server_on_this_machine_is_found(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Health) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        api = f"http://127.0.0.1:{running.server_port}/api"
        try:
            monkeypatch.setattr(server, "LOCAL_API", api)
            assert choose_server(home, verbose=False) == f"Prefect: {api}"
            assert home["PREFECT_API_URL"] == api
            assert not answers(f"{api}/else")
        finally:
            running.shutdown()
            thread.join()


def test_else_a_temporary_one_with_time_to_start(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOCAL_API", "http://127.0.0.1:9/api")
    assert "prefect server start -b" in choose_server(home, verbose=False)
    assert "PREFECT_API_URL" not in home
    assert home["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] == "120"
    assert home["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


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
