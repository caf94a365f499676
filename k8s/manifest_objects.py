"""The manifests of `k8s/` as objects, with the fields of one installation or one run filled in.

Pure but for reading the files, each once.
"""

from __future__ import annotations

import copy
import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from gomr_runtime.storage.s3.settings import S3Settings
from k8s.api.yaml_files import documents
from k8s.store.worker_login import VALID_SECONDS

Object = dict[str, Any]

MANIFESTS = Path(__file__).with_name("manifests")
PART_OF = "app.kubernetes.io/part-of=gomr"
COMPONENT = "app.kubernetes.io/component"
RUN = "gomr/run"
SUPERVISOR_MEMORY = 192 * 10**6  # bytes of a worker pod beside the child that runs user code
DEADLINE_SLACK = 120  # seconds: the master notices --timeout first and says so
DEPLOY_SECONDS = 600  # after which a Job ends whose other objects nobody has made
MINIO_SELECTOR = f"app.kubernetes.io/name=minio,{PART_OF}"
MINIO_ENDPOINT = "http://minio:9000"  # for pods, as the manifests have it
S3_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RunPods:
    """What the pods of one run are to be.

    memory: bytes of the child that runs user code. timeout: of the run, in seconds. keep: leave
    the objects when the run is over. store: its `s3://` address; s3: how pods reach it, and
    worker_s3 how workers do where their rights are less; reader_s3: how the master reaches what it
    signs for them. store_authorities: PEM, "" for those that the images know. pull: `Never` for
    images that were loaded into the nodes.
    """

    run: str
    master_image: str
    worker_image: str
    workers: int
    memory: int
    store: str
    s3: S3Settings
    worker_s3: S3Settings | None = None
    reader_s3: S3Settings | None = None
    store_authorities: bytes = b""
    timeout: float | None = None
    keep: bool = False
    pull: Literal["IfNotPresent", "Never", "Always"] = "IfNotPresent"
    worker_file: str = "/app/worker.py"


def master_name(run: str) -> str:
    """Of the Job, the Service and the certificate."""
    return f"master-{run}"


def worker_name(run: str) -> str:
    return f"worker-{run}"


def secret_name(run: str) -> str:
    return f"run-{run}"


def of_run(run: str) -> str:
    """The label selector of everything that belongs to the run."""
    return f"{PART_OF},{RUN}={run}"


def minio_objects(image: str, size: int) -> list[Object]:
    """The shared object store without its Secret. image: "" for the one in the manifest; size:
    bytes of its volume."""
    found = _read("base/minio.yaml")
    claim = _only(found, "PersistentVolumeClaim")
    claim["spec"]["resources"]["requests"]["storage"] = str(size)
    if image:
        _container(_only(found, "Deployment"))["image"] = image
    return found


def image_of(workload: Object) -> str:
    """What the only container of a Deployment or Job runs."""
    return str(_container(workload)["image"])


def minio_secret(user: str, password: str) -> Object:
    (secret,) = _read("overlays/local/secret.yaml")
    secret["stringData"] = {"root-user": user, "root-password": password}
    return secret


def master_job(pods: RunPods) -> Object:
    """The Job that everything else of the run belongs to."""
    job = _only(_for_run("run/master.yaml", pods.run), "Job")
    spec = job["spec"]
    _fill(_container(job), pods, pods.master_image)
    _leave_out_absent(job, pods, pods.s3, pods.reader_s3)
    spec["activeDeadlineSeconds"] = DEPLOY_SECONDS
    if pods.keep:
        del spec["ttlSecondsAfterFinished"]
    return job


def deadline(pods: RunPods) -> Object:
    """The change of the Job once all that it owns is there: it may take as long as the run."""
    seconds = None if pods.timeout is None else math.ceil(pods.timeout) + DEADLINE_SLACK
    if seconds is None and pods.worker_s3 is not None:
        seconds = VALID_SECONDS
    return {"spec": {"activeDeadlineSeconds": seconds}}


def run_secret(pods: RunPods, values: Mapping[str, bytes]) -> Object:
    """values: `token`, `worker-token`, `ca.crt`, `tls.crt`, `tls.key`; what the store takes is
    added."""
    logins = {"": pods.s3, "worker-": pods.worker_s3 or pods.s3, "reader-": pods.reader_s3}
    keys = {
        f"{whose}{name}": key
        for whose, login in logins.items()
        if login is not None
        for name, key in _keys(login).items()
    }
    stored = dict(values) | {name: key.encode() for name, key in keys.items() if key}
    if pods.store_authorities:
        stored["store-authorities"] = pods.store_authorities
    labels = {
        "app.kubernetes.io/name": "gomr-run",
        "app.kubernetes.io/part-of": "gomr",
        COMPONENT: "run",
        "app.kubernetes.io/managed-by": "gomr",
        RUN: pods.run,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(pods.run), "labels": labels},
        "type": "Opaque",
        "immutable": True,
        "data": {name: b64encode(value).decode() for name, value in stored.items()},
    }


def run_objects(pods: RunPods, owner: Object) -> list[Object]:
    """All else but the Secret, owned by the stored Job `owner`: policies first, workers last."""
    policies = _for_run("run/network-policies.yaml", pods.run)
    if pods.s3.endpoint != MINIO_ENDPOINT:
        _only(policies, "NetworkPolicy")["spec"]["egress"][0] = _egress_to(pods.s3.endpoint)
    service = _only(_for_run("run/master.yaml", pods.run), "Service")
    return [owned(found, owner) for found in (*policies, service, worker_deployment(pods))]


def worker_deployment(pods: RunPods) -> Object:
    workers = _only(_for_run("run/worker.yaml", pods.run), "Deployment")
    workers["spec"]["replicas"] = pods.workers
    container = _container(workers)
    _fill(container, pods, pods.worker_image)
    _set_option(container, "--worker-file", pods.worker_file)
    memory = str(pods.memory + SUPERVISOR_MEMORY)
    for bound in ("requests", "limits"):
        container["resources"][bound]["memory"] = memory
    _leave_out_absent(workers, pods, pods.worker_s3 or pods.s3)
    return workers


def owned(wanted: Object, owner: Object) -> Object:
    """`wanted` itself, which goes when `owner` goes."""
    wanted["metadata"]["ownerReferences"] = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": False,
            "blockOwnerDeletion": False,  # else it takes the right to change the owner
        }
    ]
    return wanted


def _fill(container: Object, pods: RunPods, image: str) -> None:
    """What master and worker have in common."""
    container["image"] = image
    container["imagePullPolicy"] = pods.pull
    _set_option(container, "--store", pods.store)
    for entry in container["env"]:
        if entry["name"] == "GOMR_S3_ENDPOINT":
            entry["value"] = pods.s3.endpoint
    container["env"].append({"name": "GOMR_S3_REGION", "value": pods.s3.region})


def _keys(login: S3Settings) -> dict[str, str]:
    return {
        "access-key": login.access_key,
        "secret-key": login.secret_key,
        "session-token": login.session_token,
    }


def _leave_out_absent(
    workload: Object, pods: RunPods, s3: S3Settings, reader: S3Settings | None = None
) -> None:
    """Remove the files and variables of credentials that this run does not have.

    Such a store gives access by other means than keys.
    """
    given = {
        "s3/authorities.crt": pods.store_authorities,
        **{f"s3/{name}": key for name, key in _keys(s3).items()},
        **{f"reader/{name}": key for name, key in _keys(reader or S3Settings()).items()},
    }
    absent = {name for name, value in given.items() if not value}
    container = _container(workload)
    unset = tuple(f"/{path}" for path in absent)
    container["env"] = [e for e in container["env"] if not e.get("value", "").endswith(unset)]
    for volume in workload["spec"]["template"]["spec"]["volumes"]:
        if "secret" in volume:
            items = volume["secret"]["items"]
            volume["secret"]["items"] = [i for i in items if i["path"] not in absent]


def _egress_to(endpoint: str) -> Object:
    """To a store outside the cluster: policies know addresses, not names."""
    parts = urlsplit(endpoint or "https://s3.amazonaws.com")
    port = parts.port or S3_PORTS[parts.scheme]
    anywhere = [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
    return {"to": anywhere, "ports": [{"port": port, "protocol": "TCP"}]}


def _set_option(container: Object, option: str, value: str) -> None:
    (place,) = (i for i, a in enumerate(container["args"]) if a.startswith(f"{option}="))
    container["args"][place] = f"{option}={value}"


def _container(workload: Object) -> Object:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    found: Object = container
    return found


def _only(found: list[Object], kind: str) -> Object:
    """The first object of the kind."""
    return next(item for item in found if item["kind"] == kind)


def _for_run(name: str, run: str) -> list[Object]:
    """The objects of `k8s/<name>`, which are those of a run called `example`, for `run`."""
    names = {
        "example": run,
        "master-example": master_name(run),
        "worker-example": worker_name(run),
        "run-example": secret_name(run),
        "--run=example": f"--run={run}",
        "--master=master-example:50051": f"--master={master_name(run)}:50051",
    }
    renamed: list[Object] = _renamed(_read(name), names)
    return renamed


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with every text that is exactly one of `names` replaced."""
    if isinstance(value, dict):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _read(name: str) -> list[Object]:
    return copy.deepcopy(_stored(name))


@cache
def _stored(name: str) -> list[Object]:
    return documents(MANIFESTS / name)
