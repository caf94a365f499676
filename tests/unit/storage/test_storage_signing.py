"""Presigned URLs against the example of Amazon's own documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from gomr_runtime.storage.s3.presign import presigned
from gomr_runtime.storage.s3.settings import S3Settings

EXAMPLE = S3Settings(
    endpoint="https://examplebucket.s3.amazonaws.com",
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)


def test_the_documented_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """From "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"."""
    monkeypatch.setattr("gomr_runtime.storage.s3.presign.VALID_SECONDS", 86400)
    url = presigned(EXAMPLE, "GET", "test.txt", now=datetime(2013, 5, 24, tzinfo=UTC))
    assert url.startswith("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=")
    assert url.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_keys_and_queries_are_encoded() -> None:
    url = presigned(EXAMPLE, "DELETE", "bucket", "a b/ü+%/", {"uploadId": "x/y=="})
    assert urlsplit(url).path == "/bucket/a%20b/%C3%BC%2B%25/"
    assert parse_qs(urlsplit(url).query)["uploadId"] == ["x/y=="]
    assert "secret" not in url
    assert EXAMPLE.secret_key not in url


def test_without_an_endpoint_it_is_amazon() -> None:
    aws = S3Settings(region="eu-north-1", access_key="a", secret_key="b")
    url = presigned(aws, "GET", "bucket", query={"uploads": ""})
    assert url.startswith("https://s3.eu-north-1.amazonaws.com/bucket?")
