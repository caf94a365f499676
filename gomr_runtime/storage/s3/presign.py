"""Presigned URLs (AWS Signature Version 4) for the S3 requests that obstore has no call for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from gomr_runtime.storage.s3.settings import S3Settings

VALID_SECONDS = 300


class Signer:
    """Signs requests as of one moment, each of them valid for some time from then on; path-style.

    What all of its URLs have in common is `query`; only the signature differs from one to the next.
    """

    def __init__(self, settings: S3Settings, valid: int, now: datetime | None = None) -> None:
        """settings: with access_key and secret_key. valid: in seconds. now: in UTC, for tests."""
        moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{settings.region}/s3/aws4_request"
        self._fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{settings.access_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(valid),
            "X-Amz-SignedHeaders": "host",
        }
        if settings.session_token:
            self._fields["X-Amz-Security-Token"] = settings.session_token
        self.query = encoded(self._fields)
        self._preamble = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n"
        self._host = urlsplit(endpoint_of(settings)).netloc
        self._settings = settings
        self._key = f"AWS4{settings.secret_key}".encode()
        for word in scope.split("/"):
            self._key = hmac.digest(self._key, word.encode(), "sha256")

    def signature(self, method: str, path: str, query: str = "") -> bytes:
        """Of one request. path: encoded, as `path_of` gives it. query: encoded, with `self.query`
        in it, in order of names."""
        host = f"host:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        request = f"{method}\n{path}\n{query or self.query}\n{host}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        return hmac.digest(self._key, f"{self._preamble}{digest}".encode(), "sha256")

    def url(self, method: str, bucket: str, key: str, query: Mapping[str, str]) -> str:
        """What lets its holder send this one request."""
        server = urlsplit(endpoint_of(self._settings))
        path, fields = path_of(self._settings, bucket, key), encoded({**query, **self._fields})
        signature = self.signature(method, path, fields).hex()
        return f"{server.scheme}://{server.netloc}{path}?{fields}&X-Amz-Signature={signature}"


def presigned(
    settings: S3Settings,
    method: str,
    bucket: str,
    key: str = "",
    query: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> str:
    """A URL that lets its holder send this one request for VALID_SECONDS; path-style.

    settings: with access_key and secret_key. now: in UTC, for tests.
    """
    return Signer(settings, VALID_SECONDS, now).url(method, bucket, key, query or {})


def path_of(settings: S3Settings, bucket: str, key: str = "") -> str:
    """The path of an object, or of a bucket, in requests to the endpoint; encoded."""
    target = f"{bucket}/{key}" if key else bucket
    above = urlsplit(endpoint_of(settings)).path.rstrip("/")
    return quote(f"{above}/{target}", safe="/-_.~")


def endpoint_of(settings: S3Settings) -> str:
    """The endpoint's URL, that of AWS where none is set."""
    return settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"


def encoded(fields: Mapping[str, str]) -> str:
    """A query string, in order of names."""
    return urlencode(sorted(fields.items()), quote_via=quote, safe="-_.~")
