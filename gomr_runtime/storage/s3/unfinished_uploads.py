"""Multipart uploads that a killed process left unfinished: their parts take space, unseen.

obstore has no call for them. They can be listed only with credentials of the settings; with
others (`AWS_*`, instance roles), and on servers that refuse the question, a lifecycle rule of the
bucket has to abort them.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_plus

from gomr_runtime.storage.s3.errors import UNTRUSTED, NoAnswer
from gomr_runtime.storage.s3.presign import presigned
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.os_errors import os_cause

BUSY = {408, 409, 429, 500, 502, 503, 504}
_FIELD = r"<{0}>([^<]*)</{0}>"
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Upload:
    """One that was begun and neither completed nor aborted."""

    key: str
    upload_id: str


class Refused(Exception):
    """The server does not let us see, or does not know, unfinished uploads."""


def unfinished(settings: S3Settings, bucket: str, prefix: str) -> Iterator[Upload]:
    """Those of keys that start with `prefix`. Refused where they are not told, NoAnswer."""
    # Without a prefix: MinIO takes one for a whole key, and finds nothing for a folder.
    query = {"uploads": "", "max-uploads": "1000", "encoding-type": "url"}
    while True:
        answer = _send(settings, "GET", bucket, "", query)
        for body in _UPLOAD.findall(answer):
            upload = Upload(unquote_plus(_field(body, "Key")), _field(body, "UploadId"))
            if upload.key.startswith(prefix):
                yield upload
        markers = {
            "key-marker": unquote_plus(_field(answer, "NextKeyMarker")),
            "upload-id-marker": _field(answer, "NextUploadIdMarker"),
        }
        if _field(answer, "IsTruncated") != "true" or markers.items() <= query.items():
            return
        query |= markers


def abort_unfinished(settings: S3Settings, bucket: str, prefix: str) -> int:
    """Abort the unfinished uploads of keys that start with `prefix`; how many. NoAnswer."""
    if not settings.access_key:
        return 0
    count = 0
    with contextlib.suppress(Refused):
        for upload in list(unfinished(settings, bucket, prefix)):
            with contextlib.suppress(Refused):  # it was completed or aborted meanwhile
                _send(settings, "DELETE", bucket, upload.key, {"uploadId": upload.upload_id})
                count += 1
    return count


def _send(settings: S3Settings, method: str, bucket: str, key: str, query: dict[str, str]) -> str:
    url = presigned(settings, method, bucket, key, query)
    request = urllib.request.Request(url, method=method)  # noqa: S310 (http or https: settings)
    try:
        with urllib.request.urlopen(request, timeout=settings.read_timeout) as answer:  # noqa: S310
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            if error.code in BUSY:
                raise NoAnswer(f"the server answered {error.code}") from None
            raise Refused from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # its number is none of the operating system's
            untrusted = isinstance(reason, ssl.SSLCertVerificationError)
            raise NoAnswer(UNTRUSTED if untrusted else "TLS fails with the server") from None
        cause = os_cause(reason) if isinstance(reason, OSError) else type(error).__name__
        raise NoAnswer(cause) from None


def _field(text: str, name: str) -> str:
    found = re.search(_FIELD.format(name), text)
    return found[1] if found else ""
