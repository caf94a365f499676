"""What the master and the client of a run may do in the cluster's own MinIO.

Neither needs the administrator's login for that: a run reads and writes what is its own, and its
client uploads inputs, which runs share. So no pod of a run has keys that open other runs or make
users. The client, whose requests go through a port of this machine, uses the administrator's for
what is not of one run alone: making the bucket, the users and these keys, and finding inputs. All
these are temporary keys of users without other rights, see `worker_login`.
"""

from __future__ import annotations

from dataclasses import replace

from gomr_runtime.model import layout
from gomr_runtime.storage.s3.settings import S3Settings
from k8s.store.access import StoreAccess
from k8s.store.worker_login import (
    NO_ADMIN,
    READ,
    WRITE,
    Statement,
    User,
    above_objects,
    allow,
    document,
)

KEEP = [*READ, *WRITE, "s3:DeleteObject"]


def master_settings(access: StoreAccess, run: str) -> S3Settings:
    """How the master of the run is to reach the store; StorageError."""
    above = above_objects(access.url)
    user = User("gomr-master", master_rights(above, "*"), access.here)
    return user.temporary(document(master_rights(above, run)), access.pods)


def client_access(access: StoreAccess, run: str) -> StoreAccess:
    """The store as the client of the run is to reach it; StorageError. `pods` stays as it is."""
    above = above_objects(access.url)
    user = User("gomr-client", client_rights(above, "*"), access.here)
    return replace(access, here=user.temporary(document(client_rights(above, run)), access.here))


def master_rights(above: str, run: str) -> list[Statement]:
    """Of the master of one run, or for `*` of all. above: the beginning of the store's objects."""
    return _keeping(above, f"{layout.run_prefix(run)}*", f"{layout.output_prefix(run)}*")


def client_rights(above: str, run: str) -> list[Statement]:
    """The same of the client, who also uploads inputs, and tries whether the store is one."""
    own = [f"{layout.run_prefix(run)}*", f"{layout.output_prefix(run)}*", layout.inputs_used(run)]
    return _keeping(above, *own, layout.uploaded("*"), "_probe/*")


def _keeping(above: str, *objects: str) -> list[Statement]:
    """Everything with these objects, and listing them."""
    bucket, _, prefix = above.partition("/")
    listing = allow(["s3:ListBucket"], bucket)
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}{name}" for name in objects]}}
    # Which uploads are not finished MinIO tells of all objects or of none.
    unfinished = allow(["s3:ListBucketMultipartUploads"], bucket)
    return [allow(KEEP, *(f"{above}{name}" for name in objects)), listing, unfinished, NO_ADMIN]
