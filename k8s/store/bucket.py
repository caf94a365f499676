"""A bucket of an S3 endpoint: made if it is not there, and whether inputs fit into it.

Parts of uploads that were cut off need no rule here: MinIO removes them after a day.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from datetime import timedelta

from gomr_runtime.errors import StorageError
from gomr_runtime.model.quantities import format_size
from gomr_runtime.storage.s3.settings import S3Settings
from k8s.store.minio_admin import free_bytes

READY_SECONDS = 30.0  # a server that calls itself ready may answer 503 for a moment
LOOK_AGAIN = 0.2
REQUEST_SECONDS = 10.0
PLAIN = {
    "InvalidAccessKeyId": "it does not know the access key of Secret minio",
    "SignatureDoesNotMatch": "the secret key of Secret minio does not fit",
    "AccessDenied": "the credentials lack the right to make a bucket",
}


def ensure_bucket(name: str, settings: S3Settings) -> bool:
    """Whether it had to be made. StorageError when the endpoint does not take the request."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(_put_bucket(name, settings), timeout=REQUEST_SECONDS):  # noqa: S310
                return True
        except urllib.error.HTTPError as error:
            with error:
                body = error.read().decode(errors="replace")
            if "BucketAlreadyOwnedByYou" in body or "BucketAlreadyExists" in body:
                return False
            cause = f"it answered {error.code}"
            if error.code < 500:
                code = body.partition("<Code>")[2].partition("</Code>")[0]
                raise StorageError(
                    f"{settings.endpoint}: cannot make bucket {name}: "
                    f"{PLAIN.get(code) or code or cause}"
                ) from None
        except OSError as error:  # URLError, too
            cause = str(getattr(error, "reason", error))
        if time.monotonic() > deadline:
            raise StorageError(f"{settings.endpoint} takes no requests: {cause}")
        time.sleep(LOOK_AGAIN)


def check_fits(needed: int, size: int, settings: S3Settings) -> None:
    """StorageError for a run whose inputs alone, of `needed` bytes, are more than the store has.

    size: bytes that --store-size allows.
    """
    if needed > size:
        raise StorageError(
            f"the inputs have {format_size(needed)}, the store may have {format_size(size)} in "
            "all: raise --store-size"
        )
    if needed > (free := free_bytes(settings)):
        raise StorageError(
            f"the inputs have {format_size(needed)}, the store has {format_size(free)} left: "
            "python -m flows.gomr clean, or a larger volume"
        )


def _put_bucket(name: str, settings: S3Settings) -> urllib.request.Request:
    """PUT Bucket by a presigned URL: obstore has no call for it, and the SDK takes long to load."""
    import obstore
    from obstore.store import S3Store

    bucket = S3Store(
        name,
        config={
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": settings.access_key,
            "secret_access_key": settings.secret_key,
        },
        client_options={"allow_http": settings.allow_http},
    )
    url = obstore.sign(bucket, "PUT", "", timedelta(minutes=5))
    return urllib.request.Request(url, method="PUT")  # noqa: S310
