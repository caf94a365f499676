"""What the workers of a run may do in the cluster's own MinIO.

User code can take the keys that its worker holds, so these are not the store's own: with them a
run's inputs and data can be read and data of attempts be written, but nothing can be committed,
put into the output, deleted or read of another run. They are temporary credentials (STS
AssumeRole), which end by themselves: nobody has to take them back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from gomr_runtime import layout
from gomr_runtime.blobs import STORE
from gomr_runtime.errors import StorageError
from gomr_runtime.job import JobSpec
from gomr_runtime.storage import S3Settings, split_s3_url
from tasks.cluster.store_access import StoreAccess

VALID_SECONDS = 7 * 86_400  # the most that MinIO gives
MOST_BYTES = 2_048  # of a policy, as MinIO limits it
WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


def worker_login(access: StoreAccess, job: JobSpec) -> S3Settings:
    """The store as this run's workers are to reach it; StorageError when MinIO does not agree."""
    from minio.credentials.providers import AssumeRoleProvider
    from minio.error import MinioException

    provider = AssumeRoleProvider(
        sts_endpoint=access.here.endpoint,
        access_key=access.here.access_key,
        secret_key=access.here.secret_key,
        region=access.here.region,
        duration_seconds=VALID_SECONDS,
        policy=policy(access.url, job.run, (file.location for file in job.files)),
    )
    try:
        found = provider.retrieve()
    except (MinioException, ValueError, OSError) as error:
        raise StorageError(f"MinIO gives no credentials for the workers: {error}") from None
    return replace(
        access.pods,
        access_key=found.access_key,
        secret_key=found.secret_key,
        session_token=found.session_token or "",
    )


def policy(url: str, run: str, locations: Iterable[str]) -> str:
    """Of the run's workers, as JSON. url: of the store; locations: of the run's inputs.

    Where these are too many to name, their folders may be read, or else their buckets.
    """
    bucket, prefix = split_s3_url(url)
    above = f"{bucket}/{prefix}/" if prefix else f"{bucket}/"
    inputs = {_object(above, location) for location in locations}
    for named in (inputs, {_folder(name) for name in inputs}):
        if len(found := _policy(above, run, named)) <= MOST_BYTES:
            return found
    return _policy(above, run, {f"{_bucket(name)}/*" for name in inputs})


def _policy(above: str, run: str, inputs: set[str]) -> str:
    read = {f"{above}{layout.run_prefix(run)}*", *inputs}
    write = {f"{above}{layout.data(run)}*", f"{above}{layout.log(run, '*')}"}
    # Listing: without it a missing object is told as one that may not be read.
    list_in = {_bucket(name) for name in read}
    allowed = ((["s3:GetObject"], read), (WRITE, write), (["s3:ListBucket"], list_in))
    statements = [
        {
            "Effect": "Allow",
            "Action": actions,
            "Resource": [f"arn:aws:s3:::{n}" for n in sorted(to)],
        }
        for actions, to in allowed
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _object(above: str, location: str) -> str:
    """`bucket/key`."""
    if location.startswith(STORE):
        return above + location.removeprefix(STORE)
    return location.removeprefix("s3://")


def _folder(name: str) -> str:
    bucket, folder, *deeper = name.split("/", 2)
    return f"{bucket}/{folder}/*" if deeper else name


def _bucket(name: str) -> str:
    return name.partition("/")[0]
