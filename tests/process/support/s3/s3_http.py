"""Requests of S3 as they stand on the wire: read whole, told apart, signed again."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from gomr_runtime.storage.s3.settings import S3Settings

Kind = Literal[
    "put", "create", "copy", "get", "head", "list", "delete",
    "begin upload", "part", "complete upload", "abort upload", "list uploads", "other",
]  # fmt: skip
PIECE = 1 << 16


@dataclass(frozen=True)
class Request:
    """One request: its head without the blank line at its end, and its body."""

    head: bytes
    body: bytes

    @cached_property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @cached_property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @cached_property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        fields = (line.partition(":") for line in lines)
        return {name.lower(): value.strip() for name, _, value in fields}

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @cached_property
    def key(self) -> str:
        """Below the bucket; "" for the bucket itself."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @cached_property
    def kind(self) -> Kind:
        """What it asks for, as our own code and S3 name it."""
        query = self.query
        if "uploads" in query:
            return "list uploads" if self.method == "GET" else "begin upload"
        if "uploadId" in query:
            uploads: dict[str, Kind] = {"PUT": "part", "POST": "complete upload"}
            return uploads.get(self.method, "abort upload")
        if "list-type" in query:
            return "list"
        if "delete" in query:
            return "delete"
        if self.method == "PUT":
            put: Kind = "create" if "if-none-match" in self.headers else "put"
            return "copy" if "x-amz-copy-source" in self.headers else put
        others: dict[str, Kind] = {"GET": "get", "HEAD": "head", "DELETE": "delete"}
        return others.get(self.method, "other")

    def without(self, header: str) -> Request:
        lines = self.head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(header.encode() + b":")]
        return replace(self, head=b"\r\n".join(kept))

    def with_header(self, header: str, value: str) -> Request:
        head = self.without(header).head + f"\r\n{header}: {value}".encode()
        return replace(self, head=head)


def read_request(client: socket.socket, breathe: Callable[[int], None]) -> Request | None:
    """One whole request, None when there is none; `breathe` is told of bytes that came."""
    data = bytearray()

    def more() -> bool:
        piece = client.recv(PIECE)
        breathe(len(piece))
        data.extend(piece)
        return bool(piece)

    while b"\r\n\r\n" not in data:
        if not more():
            return None
    head = bytes(data).partition(b"\r\n\r\n")[0]
    length = int(Request(head, b"").headers.get("content-length", "0"))
    while len(data) < len(head) + 4 + length:
        if not more():
            return None
    return Request(head, bytes(data[len(head) + 4 :]))


def signed_again(request: Request, settings: S3Settings) -> Request:
    """The request as somebody who may do so would have sent it in the first place (SigV4)."""
    moment = request.headers["x-amz-date"]
    scope = f"{moment[:8]}/{settings.region}/s3/aws4_request"
    names = sorted(n for n in request.headers if n == "host" or n.startswith("x-amz-"))
    path, _, query = request.target.partition("?")
    fields = "&".join(sorted(f if "=" in f else f"{f}=" for f in query.split("&") if f))
    lines = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    payload = request.headers["x-amz-content-sha256"]
    canonical = f"{request.method}\n{path}\n{fields}\n{lines}\n{';'.join(names)}\n{payload}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{settings.secret_key}".encode()
    for word in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"):
        key = hmac.digest(key, word.encode(), "sha256")
    value = (
        f"AWS4-HMAC-SHA256 Credential={settings.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={key.hex()}"
    )
    return request.with_header("authorization", value)


def in_another_time(request: Request, hours: float) -> Request:
    """The request of a machine whose clock is wrong by so much."""
    form = "%Y%m%dT%H%M%SZ"
    at = datetime.strptime(request.headers["x-amz-date"], form)
    return request.with_header("x-amz-date", (at + timedelta(hours=hours)).strftime(form))


class Pace:
    """Lets `bytes_a_second` through; `over` ends every wait."""

    def __init__(self, bytes_a_second: float, over: threading.Event) -> None:
        self._rate = bytes_a_second
        self._over = over

    def __call__(self, count: int) -> None:
        if self._rate:
            self._over.wait(count / self._rate)
