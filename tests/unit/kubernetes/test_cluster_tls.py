"""A run's certificates: gRPC itself accepts them, and no others."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gomr_runtime.rpc.connection import Trust
from k8s.run.tls import CLOCKS, Certificates, make_certificates

NAMES = ["master-words-1", "master-words-1.gomr"]


@pytest.fixture(scope="module")
def made() -> Certificates:
    return make_certificates(NAMES)


@pytest.fixture(scope="module")
def address(made: Certificates) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    credentials = grpc.ssl_server_credentials([(made.key, made.cert)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(10)


def status(address: str, ca: bytes, name: str) -> grpc.StatusCode | int:
    trust = Trust(ca, name)
    with grpc.secure_channel(address, trust.credentials(), trust.options()) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.RpcError as error:
            return error.code()
        return int(answer.status)


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_own_clients_connect(made: Certificates, address: str, name: str) -> None:
    assert status(address, made.ca, name) == health_pb2.HealthCheckResponse.SERVING


def test_another_name_is_refused(made: Certificates, address: str) -> None:
    assert status(address, made.ca, "master-words-2") is grpc.StatusCode.UNAVAILABLE


def test_another_runs_ca_is_refused(address: str) -> None:
    other = make_certificates(NAMES)
    assert status(address, other.ca, NAMES[0]) is grpc.StatusCode.UNAVAILABLE


def test_clocks_may_differ_by_a_day(made: Certificates) -> None:
    now = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    cert = x509.load_pem_x509_certificate(make_certificates(NAMES, now).cert)
    assert cert.not_valid_before_utc == now - CLOCKS
    assert cert.not_valid_after_utc > now + datetime.timedelta(days=365)


def test_the_key_is_in_no_repr(made: Certificates) -> None:
    assert "PRIVATE KEY" not in repr(made)
