"""Where the S3 endpoint is and who we are there; settings only, never a flow parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.storage.keys import check_prefix
from gomr_runtime.system.settings import Given, read, read_s3

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
    def configured(environ: Mapping[str, str] | None = None) -> S3Settings:
        """Return what the environment and the table `[s3]` of `./gomr.toml` say.

        Plain HTTP is allowed where the endpoint says `http://`.

        Args:
            environ: Where to look instead of both.

        Raises:
            UsageError: A value is given twice or in a file that cannot be read, a time is none, or
                the table holds what is no setting.
        """
        return S3Settings.of(read_s3(environ))

    @staticmethod
    def of(given: Mapping[str, Given]) -> S3Settings:
        """Return the settings of texts by their names in `system.settings.SETTINGS`."""
        endpoint = given["s3_endpoint"].text
        return S3Settings(
            endpoint=endpoint,
            region=given["s3_region"].text or "us-east-1",
            access_key=given["s3_access_key"].text,
            secret_key=given["s3_secret_key"].text,
            session_token=given["s3_session_token"].text,
            allow_http=endpoint.startswith("http://"),
            connect_timeout=_seconds(given["s3_connect_timeout"], CONNECT_TIMEOUT),
            read_timeout=_seconds(given["s3_read_timeout"], READ_TIMEOUT),
            retry_seconds=_seconds(given["s3_retry_seconds"], RETRY_SECONDS),
        )

    @staticmethod
    def of_reader(environ: Mapping[str, str] | None = None) -> S3Settings | None:
        """The same endpoint with the keys of `GOMR_S3_READER_ACCESS_KEY`, `_SECRET_KEY` and
        `_SESSION_TOKEN`, by which a master signs what workers may read; None without them."""
        key, secret, token = (
            read(f"s3_reader_{name}", environ)
            for name in ("access_key", "secret_key", "session_token")
        )
        if not key:
            return None
        return replace(
            S3Settings.configured(environ), access_key=key, secret_key=secret, session_token=token
        )


def _seconds(given: Given, usual: float) -> float:
    try:
        seconds = float(given.text) if given.text else usual
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"{given.source}={given.text!r}: write seconds above 0, at most {LONGEST_SECONDS:g}"
        )
    return seconds


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
