"""Where the S3 endpoint is and who we are there; settings only, never a flow parameter."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.storage.keys import check_prefix

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
CONNECT_TIMEOUT, READ_TIMEOUT, RETRY_SECONDS = 10.0, 60.0, 300.0
LONGEST_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class S3Settings:
    """An S3 endpoint and its credentials; times are in seconds.

    endpoint: URL, or "" for AWS itself. access_key and secret_key: "" for the standard AWS
    sources (`AWS_*` variables, instance roles). session_token: of temporary keys.
    read_timeout: longest silence of the server. retry_seconds: how long the store may stay away
    before a run gives up.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    allow_http: bool = False
    connect_timeout: float = CONNECT_TIMEOUT
    read_timeout: float = READ_TIMEOUT
    retry_seconds: float = RETRY_SECONDS

    def __post_init__(self) -> None:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise UsageError(f"S3 endpoint {self.endpoint!r}: write http://HOST or https://HOST")
        if "@" in self.endpoint:
            raise UsageError("S3 endpoint: no credentials in the URL; use GOMR_S3_ACCESS_KEY")
        if bool(self.access_key) != bool(self.secret_key):
            raise UsageError("S3: set both GOMR_S3_ACCESS_KEY and GOMR_S3_SECRET_KEY, or neither")
        if self.session_token and not self.access_key:
            raise UsageError("S3: GOMR_S3_SESSION_TOKEN goes with the access key it was made with")

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> S3Settings:
        """Settings from `GOMR_S3_ENDPOINT`, `_REGION`, `_ACCESS_KEY`, `_SECRET_KEY` and
        `_SESSION_TOKEN`, and the times of `_CONNECT_TIMEOUT`, `_READ_TIMEOUT` and `_RETRY_SECONDS`.

        Each may be `..._FILE` instead, the path of a file that holds the value. Plain HTTP is
        allowed where the endpoint says `http://`. UsageError for an unreadable file, a value given
        twice or a time that is none.
        """
        given = os.environ if environ is None else environ
        endpoint = _value(given, "GOMR_S3_ENDPOINT")
        return S3Settings(
            endpoint=endpoint,
            region=_value(given, "GOMR_S3_REGION") or "us-east-1",
            access_key=_value(given, "GOMR_S3_ACCESS_KEY"),
            secret_key=_value(given, "GOMR_S3_SECRET_KEY"),
            session_token=_value(given, "GOMR_S3_SESSION_TOKEN"),
            allow_http=endpoint.startswith("http://"),
            connect_timeout=_seconds(given, "GOMR_S3_CONNECT_TIMEOUT", CONNECT_TIMEOUT),
            read_timeout=_seconds(given, "GOMR_S3_READ_TIMEOUT", READ_TIMEOUT),
            retry_seconds=_seconds(given, "GOMR_S3_RETRY_SECONDS", RETRY_SECONDS),
        )

    @staticmethod
    def of_reader(environ: Mapping[str, str] | None = None) -> S3Settings | None:
        """The same endpoint with the keys of `GOMR_S3_READER_ACCESS_KEY`, `_SECRET_KEY` and
        `_SESSION_TOKEN`, by which a master signs what workers may read; None without them."""
        given = os.environ if environ is None else environ
        key, secret, token = (
            _value(given, f"GOMR_S3_READER_{name}")
            for name in ("ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN")
        )
        if not key:
            return None
        return replace(
            S3Settings.from_env(given), access_key=key, secret_key=secret, session_token=token
        )


def _seconds(environ: Mapping[str, str], name: str, usual: float) -> float:
    text = _value(environ, name)
    try:
        seconds = float(text) if text else usual
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(f"{name}={text!r}: write seconds above 0, at most {LONGEST_SECONDS:g}")
    return seconds


def _value(environ: Mapping[str, str], name: str) -> str:
    value, file = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if value and file:
        raise UsageError(f"{name} and {name}_FILE are both set: unset one")
    if not file:
        return value
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{name}_FILE: cannot read {file}: {cause}") from None


def split_s3_url(url: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes around it, "" for none) of `s3://bucket/prefix`."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{url!r}: write s3://BUCKET/PREFIX (bucket: 3 to 63 of a-z 0-9 . -)")
    prefix = prefix.removesuffix("/")
    try:
        return bucket, check_prefix(prefix)
    except StorageError as error:
        raise UsageError(f"{url!r}: {error}") from None
