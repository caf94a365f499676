"""What the workers of a run may do in the cluster's own MinIO.

User code can take the keys that its worker holds, so these are not the store's own: with them the
data of the run can be read and data of attempts be written, but nothing can be committed, put into
the output, deleted or read of another run. Inputs are not among it, which lie anywhere and which
runs share: the master has keys that read everything and signs, for each task, the reading of what
belongs to it (`gomr_runtime.storage.s3.signed_reads`). So what a run opens does not depend on what
its inputs are called, nor on how many there are.

All these are temporary credentials (STS AssumeRole), which end by themselves: nobody has to take
them back. They say whose they are, and their owner is taken into account where a server makes a
mistake. So they do not belong to the administrator, but to users who may do no more than any worker
of any run, or any master for its workers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.model import layout
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from k8s.store.access import StoreAccess
from k8s.store.minio_admin import check_patched, connections, make_user

VALID_SECONDS = 7 * 86_400  # the most that MinIO gives
READ = ["s3:GetObject"]
WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
PASSWORD_LENGTH = 40  # the most that MinIO takes
MEANS_OTHERS = "*?$"  # in the resources of a policy
NO_ADMIN = {"Effect": "Deny", "Action": ["admin:*"]}
"""What is not allowed is denied, but for what servers let every account do with its own: making
keys (CVE-2025-62506), which then have no limits."""

Statement = dict[str, Any]


def logins(access: StoreAccess, run: str) -> tuple[S3Settings, S3Settings]:
    """Make the keys of a run.

    Returns:
        The store as the run's workers are to reach it, and as its master is to sign for them.

    Raises:
        EnvironmentFailed: MinIO is too old to be given such keys, see `check_patched`.
        StorageError: MinIO does not agree.
        UsageError: The store's prefix would open other prefixes, too.
    """
    check_patched(access.here)
    above = above_objects(access.url)
    workers = User("gomr-workers", rights(above, "*"), access.here)
    everything = [allow(READ, "*"), NO_ADMIN]
    reader = User("gomr-reader", everything, access.here)
    return (
        workers.temporary(document(rights(above, run)), access.pods),
        reader.temporary(document(everything), access.pods),
    )


def rights(above: str, run: str) -> list[Statement]:
    """Of the workers of one run, or for `*` of all. above: the beginning of the store's objects."""
    data, logs = f"{above}{layout.data(run)}*", f"{above}{layout.log(run, '*')}"
    return [allow(READ, f"{above}{layout.run_prefix(run)}*"), allow(WRITE, data, logs), NO_ADMIN]


def document(statements: list[Statement]) -> str:
    """A policy as MinIO takes it."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


class User:
    """A user of MinIO, of whom there are only temporary keys; made where there is none.

    The name tells what it may do, and its password is made from the administrator's: so all
    clients of one MinIO, of whatever version, agree on its users without talking to each other.
    """

    def __init__(self, name: str, rights: list[Statement], administrator: S3Settings) -> None:
        self._rights = document(rights)
        self.name = f"{name}-{hashlib.sha256(self._rights.encode()).hexdigest()[:8]}"
        secret = administrator.secret_key.encode()
        password = hmac.new(secret, self.name.encode(), hashlib.sha256).hexdigest()
        self._password = password[:PASSWORD_LENGTH]
        self._administrator = administrator

    def temporary(self, limits: str, reached: S3Settings) -> S3Settings:
        """`reached` with keys of the user that the policy `limits` limits further; StorageError."""
        from minio.error import MinioException

        try:
            return self._assume(limits, reached)
        except (MinioException, ValueError, OSError):  # it is not there, or has another password
            make_user(self._administrator, self.name, self._password, json.loads(self._rights))
        try:
            return self._assume(limits, reached)
        except (MinioException, ValueError, OSError) as error:
            raise StorageError(f"MinIO gives no credentials for the run: {error}") from None

    def _assume(self, limits: str, reached: S3Settings) -> S3Settings:
        from minio.credentials.providers import AssumeRoleProvider

        with connections() as pool:
            provider = AssumeRoleProvider(
                sts_endpoint=self._administrator.endpoint,
                access_key=self.name,
                secret_key=self._password,
                region=self._administrator.region,
                duration_seconds=VALID_SECONDS,
                policy=limits,
                http_client=pool,
            )
            found = provider.retrieve()
        return replace(
            reached,
            access_key=found.access_key,
            secret_key=found.secret_key,
            session_token=found.session_token or "",
        )


def allow(actions: list[str], *to: str) -> Statement:
    """to: buckets, or objects as `bucket/key`."""
    resources = [f"arn:aws:s3:::{name}" for name in sorted(to)]
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def above_objects(url: str) -> str:
    """The beginning of all objects of the store, with its bucket."""
    bucket, prefix = split_s3_url(url)
    if found := sorted(set(prefix) & set(MEANS_OTHERS)):
        raise UsageError(
            f"--store {url}: MinIO takes {' and '.join(found)} in a prefix for any characters, so "
            "workers could not be kept to it: choose another prefix"
        )
    return f"{bucket}/{prefix}/" if prefix else f"{bucket}/"
