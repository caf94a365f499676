"""How long an API server is waited for, against one on this machine that comes and goes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gomr_runtime.errors import EnvironmentFailed
from k8s.api import client as api_module
from k8s.api.connection import Cluster, connect

OUTAGE, SHORT, LONG, AWAY = 1.5, 0.5, 60.0, 0.6  # seconds


class ApiServer:
    """Answers every request with an empty list of pods, unless it is away."""

    def __init__(self) -> None:
        self._http = self._listening(0)
        self.port = self._http.server_address[1]
        self._back: threading.Timer | None = None

    def go(self) -> None:
        """Refuse connections from now on."""
        self._http.shutdown()
        self._http.server_close()

    def go_for(self, seconds: float) -> None:
        self.go()
        self._back = threading.Timer(seconds, self._come_back)
        self._back.start()

    def close(self) -> None:
        if self._back is not None:
            self._back.join()
        self.go()

    def _come_back(self) -> None:
        self._http = self._listening(self.port)

    def _listening(self, port: int) -> ThreadingHTTPServer:
        http = ThreadingHTTPServer(("127.0.0.1", port), Pods)
        threading.Thread(target=http.serve_forever, args=(0.01,)).start()
        return http


class Pods(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"items": [], "metadata": {"resourceVersion": "1"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def cluster(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(api_module, "PATIENCE", SHORT)
    monkeypatch.setattr(api_module, "LONG_PATIENCE", LONG)
    monkeypatch.setattr(api_module, "AWAY", AWAY)
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    with connect("here", "default", kubeconfig=config) as cluster:
        yield cluster


def test_a_server_that_has_not_answered_yet_is_not_waited_for(
    server: ApiServer, cluster: Cluster
) -> None:
    server.go_for(OUTAGE)
    with pytest.raises(EnvironmentFailed, match=r"cluster here at \S+ does not answer"):
        cluster.select("Pod")


def test_a_restart_is_waited_for_and_told_once(server: ApiServer, cluster: Cluster) -> None:
    """The requests of several steps fall into one outage, as when a run has just ended."""
    told: list[str] = []
    cluster.api.be_patient(told.append)
    server.go_for(OUTAGE)
    both = [cluster.spawn(cluster.api.select("Pod")) for _ in range(2)]
    assert [one.result(LONG) for one in both] == [[], []]
    assert len(told) == 1
    assert told[0].startswith("cluster here does not answer; a run may go on there")
    server.go_for(OUTAGE)
    assert cluster.select("Pod") == []
    assert len(told) == 2, "another outage"


def test_the_clean_up_of_a_failed_run_does_not_wait(server: ApiServer, cluster: Cluster) -> None:
    """Not even for what was asked before."""
    cluster.api.be_patient(lambda _: None)
    server.go_for(OUTAGE)
    asked = cluster.spawn(cluster.api.select("Pod"))
    began = time.monotonic()
    cluster.api.hurry()
    with pytest.raises(EnvironmentFailed, match="does not answer"):
        asked.result(LONG)
    assert time.monotonic() - began < LONG
