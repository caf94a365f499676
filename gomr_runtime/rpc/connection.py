"""What both ends of a connection agree on: options, token, deadlines, version.

Imports grpc; children that run user code never import this.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gomr_runtime.version import __version__

# Forking is left to the forkserver, which never sees grpc; its own handlers only cost time.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from gomr_runtime.errors import EnvironmentFailed

MESSAGE_LIMIT = 4 << 20  # bytes the master takes in one message
REPLY_LIMIT = 64 << 20  # bytes a client or worker takes: a summary lists every part
MOST_CONNECTIONS = 2_048  # to one master: one for each worker, and some for clients and probes
OTHER_FILES = 128  # that a master may have open besides
IDLE_SECONDS = 30.0  # that a connection may say nothing
MOST_STREAMS = 100  # on one connection; those beyond wait at the caller
MASTER_SERVICE, RUN_SERVICE = "gomr.v1.Master", "gomr.v1.Run"
UNARY_DEADLINE = 10.0  # seconds
STREAM_DEADLINE = 3600.0  # seconds; streams are opened again afterwards

Options = list[tuple[str, int]]

# Connecting must not cost a second when the other end comes up a moment later, and a dead peer
# must be found within seconds even if its machine is gone. "min_reconnect_backoff" is the time
# that one attempt to connect has: a master at which a thousand workers knock answers late.
CLIENT_OPTIONS: Options = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 15_000),  # of other pings than those; 60 s if not given
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", REPLY_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.enable_http_proxy", 0),
    # Every channel its own connection: a reopened session must not share a broken one.
    ("grpc.use_local_subchannel_pool", 1),
]


def server_options(files: int, idle: float = IDLE_SECONDS) -> Options:
    """What a master lets others make it keep, whoever they are.

    Args:
        files: How many descriptors it may have open, which connections must leave some of;
            negative for any number.
        idle: Seconds after which connections that were not used, or say nothing, are closed.

    Returns:
        Options for `grpc.aio.server`.
    """
    room = files - OTHER_FILES if files >= 0 else MOST_CONNECTIONS
    connections = max(OTHER_FILES, min(MOST_CONNECTIONS, room))
    return [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", REPLY_LIMIT),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_concurrent_streams", MOST_STREAMS),
        ("grpc.server_handshake_timeout_ms", int(idle * 1000)),
        ("grpc.max_connection_idle_ms", int(idle * 1000)),
        ("grpc.http2.bdp_probe", 0),  # no window grows before somebody reads
    ]


@dataclass(frozen=True, slots=True)
class Trust:
    """How a client knows that it talks to its run's master: by a certificate of the run's own CA.

    ca: PEM. name: what the certificate must say, whatever address leads there.
    """

    ca: bytes
    name: str

    def options(self) -> list[tuple[str, int | str]]:
        return [*CLIENT_OPTIONS, ("grpc.ssl_target_name_override", self.name)]

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(root_certificates=self.ca)


def stays_on_this_machine(address: str) -> bool:
    """Whether a `unix:/path` or `host:port` can only be reached from here, so that plain text
    over it is seen by nobody else."""
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host in {"127.0.0.1", "::1", "localhost"}


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata every call carries."""
    return (("authorization", f"Bearer {token}"),)


def read_token(path: Path) -> str:
    """The run's token; `EnvironmentFailed` when the file is missing or empty."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFailed(f"cannot read the run's token from {path}: {error}") from error
    if not token:
        raise EnvironmentFailed(f"the token file {path} is empty: start the run again")
    return token


def read_pem(path: Path) -> bytes:
    """A key or certificate; `EnvironmentFailed` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(f"cannot read {path}: {error.strerror}") from None


def version() -> str:
    """The version of gomr_runtime; master and workers must have the same."""
    return __version__
