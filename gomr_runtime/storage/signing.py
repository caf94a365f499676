"""Presigned URLs (AWS Signature Version 4) for the S3 requests that obstore has no call for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from gomr_runtime.storage.settings import S3Settings

VALID_SECONDS = 300


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
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{settings.region}/s3/aws4_request"
    server = urlsplit(settings.endpoint or f"https://s3.{settings.region}.amazonaws.com")
    target = f"{bucket}/{key}" if key else bucket
    path = quote(f"{server.path.rstrip('/')}/{target}", safe="/-_.~")
    fields = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{settings.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(VALID_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if settings.session_token:
        fields["X-Amz-Security-Token"] = settings.session_token
    encoded = urlencode(sorted(fields.items()), quote_via=quote, safe="-_.~")
    request = f"{method}\n{path}\n{encoded}\nhost:{server.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    signing_key = f"AWS4{settings.secret_key}".encode()
    for word in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"):
        signing_key = hmac.digest(signing_key, word.encode(), "sha256")
    return f"{server.scheme}://{server.netloc}{path}?{encoded}&X-Amz-Signature={signing_key.hex()}"
