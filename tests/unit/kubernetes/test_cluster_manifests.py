"""The manifests of k8s/, and what is made of them for an installation and for a run."""

from __future__ import annotations

import base64
import json
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from gomr_runtime.storage.s3.settings import RETRY_SECONDS, S3Settings
from k8s import manifest_objects
from k8s.api.client import KINDS
from k8s.manifest_objects import RunPods
from k8s.pods.capacity import quantity

MANIFESTS = Path(__file__).parents[3] / "k8s" / "manifests"
FILES = sorted(MANIFESTS.rglob("*.yaml"))
CANARY = "canary-S3cr3t"

PODS = RunPods(
    run="words-1",
    master_image="mr-master:abc",
    worker_image="mr-worker:def",
    workers=7,
    memory=10**9,
    store="s3://map-reduce-bucket",
    s3=S3Settings("http://minio:9000", access_key=CANARY, secret_key=CANARY, allow_http=True),
)
OWNER = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "master-words-1", "uid": "u"},
}


def everything(pods: RunPods = PODS) -> list[dict[str, Any]]:
    return [
        manifest_objects.master_job(pods),
        *manifest_objects.run_objects(pods, OWNER),
        *manifest_objects.minio_objects("", 10**9),
    ]


def named(found: dict[str, Any]) -> str:
    return f"{found['kind']}-{found['metadata']['name']}"


def workloads(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for found in objects if found["kind"] in {"Job", "Deployment"}]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_every_file_is_plain_yaml_and_names_its_kind(path: Path) -> None:
    for found in yaml.safe_load_all(path.read_text()):
        assert found["apiVersion"]
        assert found["kind"]


@pytest.mark.parametrize("path", sorted(MANIFESTS.rglob("kustomization.yaml")), ids=str)
def test_kustomizations_name_files_that_are_there(path: Path) -> None:
    for name in yaml.safe_load(path.read_text())["resources"]:
        found = path.parent / name
        assert found.is_file() or (found / "kustomization.yaml").is_file(), name


@pytest.mark.parametrize("workload", workloads(everything()), ids=named)
def test_pods_meet_pod_security_restricted_and_more(workload: dict[str, Any]) -> None:
    spec = workload["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    check_pod(spec)


def check_pod(spec: dict[str, Any]) -> None:
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    seconds = {(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]}
    assert seconds == {
        ("node.kubernetes.io/not-ready", 20),
        ("node.kubernetes.io/unreachable", 20),
    }
    for volume in spec["volumes"]:
        assert volume.keys() & {"secret", "emptyDir", "persistentVolumeClaim", "configMap"}
        if "emptyDir" in volume:
            assert quantity(volume["emptyDir"]["sizeLimit"]) > 0
    for container in spec["containers"]:
        inner = container["securityContext"]
        assert inner["allowPrivilegeEscalation"] is False
        assert inner["readOnlyRootFilesystem"] is True
        assert inner["capabilities"] == {"drop": ["ALL"]}
        for bound in ("requests", "limits"):
            assert container["resources"][bound].keys() == {"cpu", "memory", "ephemeral-storage"}
        for name, least in container["resources"]["requests"].items():
            assert quantity(least) <= quantity(container["resources"]["limits"][name])


@pytest.mark.parametrize(
    "found", everything(), ids=lambda o: f"{o['kind']}-{o['metadata']['name']}"
)
def test_labels_find_everything(found: dict[str, Any]) -> None:
    labels = found["metadata"]["labels"]
    for name in ("name", "part-of", "component", "managed-by"):
        assert labels[f"app.kubernetes.io/{name}"]
    assert labels["app.kubernetes.io/part-of"] == "gomr"
    assert found["kind"] in KINDS


def test_a_run_is_named_everywhere() -> None:
    objects = [manifest_objects.master_job(PODS), *manifest_objects.run_objects(PODS, OWNER)]
    assert [(o["kind"], o["metadata"]["name"]) for o in objects] == [
        ("Job", "master-words-1"),
        ("NetworkPolicy", "run-words-1"),
        ("NetworkPolicy", "master-words-1"),
        ("NetworkPolicy", "worker-words-1"),
        ("Service", "master-words-1"),
        ("Deployment", "worker-words-1"),
    ]
    assert not [text for text in texts(objects) if "example" in text]
    for found in objects:
        assert found["metadata"]["labels"]["gomr/run"] == "words-1"
    for workload in workloads(objects):
        template = workload["spec"]["template"]
        assert template["metadata"]["labels"]["gomr/run"] == "words-1"
        (container,) = template["spec"]["containers"]
        assert "--run=words-1" in container["args"]
        assert "--store=s3://map-reduce-bucket" in container["args"]


def test_everything_belongs_to_the_job() -> None:
    for found in manifest_objects.run_objects(PODS, OWNER):
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "master-words-1", "u")
        assert owner["blockOwnerDeletion"] is False


def test_the_job_says_when_it_gives_up() -> None:
    spec = manifest_objects.master_job(PODS)["spec"]
    assert "suspend" not in spec
    assert spec["activeDeadlineSeconds"] == 600, "until it is deployed"
    assert manifest_objects.deadline(PODS) == {"spec": {"activeDeadlineSeconds": None}}
    assert spec["ttlSecondsAfterFinished"] <= 60
    assert spec["backoffLimit"] == 6
    assert "podFailurePolicy" not in spec, "it would wait for pods of lost nodes"
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    assert "--zero-when-over" in spec["template"]["spec"]["containers"][0]["args"]
    timed = RunPods(**{**fields(PODS), "timeout": 90.5, "keep": True})
    assert "ttlSecondsAfterFinished" not in manifest_objects.master_job(timed)["spec"]
    assert manifest_objects.deadline(timed)["spec"]["activeDeadlineSeconds"] > 90.5
    with_keys = RunPods(**{**fields(PODS), "worker_s3": PODS.s3})
    assert manifest_objects.deadline(with_keys) == {"spec": {"activeDeadlineSeconds": 7 * 86_400}}


def test_a_run_whose_store_never_comes_back_goes_within_an_hour() -> None:
    """Nobody watches it: its masters wait for the store, and Kubernetes between them."""
    spec = manifest_objects.master_job(PODS)["spec"]
    pauses = sum(min(10 * 2**n, 600) for n in range(spec["backoffLimit"]))
    waits = (spec["backoffLimit"] + 1) * RETRY_SECONDS
    assert pauses + waits + spec["ttlSecondsAfterFinished"] < 3000


def test_no_node_has_to_confirm_the_end_of_a_master() -> None:
    """One that never returns would not, and the Job would keep all of the run."""
    pod = manifest_objects.master_job(PODS)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 0


def test_network_policies_hold_as_long_as_user_code_runs() -> None:
    """They end with the pod, which is there without a grace period no longer than it is deleted."""
    pod = manifest_objects.worker_deployment(PODS)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 0


def test_the_reaper_lists_and_deletes_pods_and_does_nothing_else() -> None:
    found = {
        o["kind"]: o for o in yaml.safe_load_all((MANIFESTS / "rbac" / "reaper.yaml").read_text())
    }
    assert found["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "delete"]}
    ]
    assert found["RoleBinding"]["roleRef"]["name"] == "gomr-reaper"
    assert [one["name"] for one in found["RoleBinding"]["subjects"]] == ["gomr-reaper"]
    job = found["CronJob"]["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    patience = {e["name"]: e["value"] for e in container["env"]}["GOMR_REAPER_PATIENCE"]
    assert found["CronJob"]["spec"]["schedule"] == "*/15 * * * *"
    assert int(patience) + 15 * 60 < 3600
    check_pod(job["template"]["spec"])


def pod_going(name: str, since: str | None) -> dict[str, Any]:
    metadata = {"name": name, "uid": name} | ({"deletionTimestamp": since} if since else {})
    return {"metadata": metadata}


def test_the_reaper_takes_pods_that_should_have_ended_long_ago() -> None:
    pods = [
        pod_going("stays", None),
        pod_going("ends", "2026-11-28T03:00:30Z"),
        pod_going("hangs", "2026-11-28T02:49:59Z"),
    ]
    now = datetime(2026, 11, 28, 3, 0, 0, tzinfo=UTC).timestamp()
    overdue = runpy.run_path(str(MANIFESTS / "rbac" / "reaper.py"))["overdue"]
    assert [one["name"] for one in overdue(pods, now, 600.0)] == ["hangs"]


def test_workers_get_the_memory_that_was_asked_for() -> None:
    workers = manifest_objects.worker_deployment(PODS)
    assert workers["spec"]["replicas"] == 7
    (container,) = workers["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "mr-worker:def"
    for bound in ("requests", "limits"):
        assert quantity(container["resources"][bound]["memory"]) == 10**9 + 192 * 10**6


def test_secrets_are_files_and_only_those_that_are_needed() -> None:
    objects = everything()
    assert CANARY not in json.dumps(objects)
    secret = manifest_objects.run_secret(PODS, {"token": b"t", "tls.key": b"k"})
    data = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
    keys = ("access-key", "secret-key", "worker-access-key", "worker-secret-key")
    assert data == {"token": "t", "tls.key": "k"} | dict.fromkeys(keys, CANARY)
    paths = mounted(manifest_objects.worker_deployment(PODS)).keys()
    assert paths == {"token", "ca.crt", "s3/access-key", "s3/secret-key"}  # not the master's key
    assert mounted(manifest_objects.worker_deployment(PODS))["token"] == "worker-token"


def test_workers_have_keys_of_their_own_where_there_are_some() -> None:
    own = S3Settings("http://minio:9000", access_key="a", secret_key="s", session_token="t")
    pods = RunPods(**{**fields(PODS), "worker_s3": own})
    data = manifest_objects.run_secret(pods, {})["data"]
    worker, master = manifest_objects.worker_deployment(pods), manifest_objects.master_job(pods)
    read = {
        path: base64.b64decode(data[key]) for path, key in mounted(worker).items() if key in data
    }
    assert read == {"s3/access-key": b"a", "s3/secret-key": b"s", "s3/session-token": b"t"}
    assert CANARY.encode() not in read.values()
    assert "s3/session-token" not in mounted(master)
    assert data[mounted(master)["s3/secret-key"]] == base64.b64encode(CANARY.encode()).decode()


def test_the_master_alone_has_keys_that_read_all_inputs() -> None:
    own = S3Settings("http://minio:9000", access_key="a", secret_key="s", session_token="t")
    reader = S3Settings("http://minio:9000", access_key="ra", secret_key="rs", session_token="rt")
    pods = RunPods(**{**fields(PODS), "worker_s3": own, "reader_s3": reader})
    data = manifest_objects.run_secret(pods, {})["data"]
    worker, master = manifest_objects.worker_deployment(pods), manifest_objects.master_job(pods)
    names = ("access-key", "secret-key", "session-token")
    read = [base64.b64decode(data[mounted(master)[f"reader/{name}"]]) for name in names]
    assert read == [b"ra", b"rs", b"rt"]
    assert not [key for key in mounted(worker).values() if key.startswith("reader-")]
    assert not [text for text in texts(worker) if "READER" in text]
    files = {text for text in texts(master) if "/reader/" in text}
    assert files == {f"/run/gomr/reader/{name}" for name in names}
    without = manifest_objects.master_job(RunPods(**{**fields(PODS), "worker_s3": own}))
    assert not [text for text in texts(without) if "reader" in text.lower()]


def mounted(workload: dict[str, Any]) -> dict[str, str]:
    """Path of each file of the run's Secret, and its key there."""
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    (volume,) = [v for v in volumes if "secret" in v]
    return {item["path"]: item["key"] for item in volume["secret"]["items"]}


def test_a_store_elsewhere_is_reached_on_its_port_without_keys() -> None:
    pods = RunPods(**{**fields(PODS), "s3": S3Settings("https://s3.example.org:8443")})
    objects = [manifest_objects.master_job(pods), *manifest_objects.run_objects(pods, OWNER)]
    (rule, dns) = objects[1]["spec"]["egress"]
    assert rule["ports"] == [{"port": 8443, "protocol": "TCP"}]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert not [text for text in texts(objects) if "access-key" in text or "KEY_FILE" in text]
    assert "https://s3.example.org:8443" in set(texts(objects))


def test_pods_trust_the_authority_of_a_store_elsewhere() -> None:
    pods = RunPods(**{**fields(PODS), "store_authorities": b"PEM"})
    data = manifest_objects.run_secret(pods, {})["data"]
    for workload in (manifest_objects.master_job(pods), manifest_objects.worker_deployment(pods)):
        assert base64.b64decode(data[mounted(workload)["s3/authorities.crt"]]) == b"PEM"
        assert "/run/gomr/s3/authorities.crt" in set(texts(workload))
    assert "SSL_CERT_FILE" not in set(texts(everything()))


def test_pods_of_a_run_reach_the_store_and_the_master_alone() -> None:
    run, master, worker = manifest_objects.run_objects(PODS, OWNER)[:3]
    assert set(run["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert run["spec"]["ingress"] == []
    ports = [port["port"] for rule in run["spec"]["egress"] for port in rule["ports"]]
    assert ports == [9000, 53, 53]
    assert [p["port"] for r in master["spec"]["ingress"] for p in r["ports"]] == [50051]
    assert [p["port"] for r in worker["spec"]["egress"] for p in r["ports"]] == [50051]


def test_names_are_asked_of_the_clusters_dns_alone() -> None:
    for found in everything():
        if found["kind"] != "NetworkPolicy":
            continue
        for rule in found["spec"].get("egress", ()):
            assert rule.get("to"), f"{named(found)} lets {rule['ports']} go anywhere"
            if 53 not in {port["port"] for port in rule["ports"]}:
                continue
            pods, cache = rule["to"]
            assert pods == {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "kube-system"}
                },
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
            assert cache == {"ipBlock": {"cidr": "169.254.20.10/32"}}  # of NodeLocal DNSCache


def test_the_files_are_not_changed_by_use() -> None:
    first = everything()
    everything(RunPods(**{**fields(PODS), "run": "other", "workers": 1}))
    assert everything() == first


def test_an_image_and_a_size_for_minio() -> None:
    objects = manifest_objects.minio_objects("my-minio:1", 5 * 10**9)
    kinds = {found["kind"]: found for found in objects}
    claim = kinds["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"]
    assert quantity(claim) == 5 * 10**9
    deployment = kinds["Deployment"]["spec"]
    assert deployment["strategy"] == {"type": "Recreate"}
    assert deployment["template"]["spec"]["containers"][0]["image"] == "my-minio:1"
    original = manifest_objects.minio_objects("", 1)
    (stored,) = [o for o in original if o["kind"] == "Deployment"]
    assert "@sha256:" in stored["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_role_has_no_right_too_many() -> None:
    (role,) = yaml.safe_load_all((MANIFESTS / "rbac" / "role.yaml").read_text())
    assert role["kind"] == "Role"
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) == {"create", "get"}
        assert not set(rule["verbs"]) & {"escalate", "bind", "impersonate", "deletecollection"}
        assert not set(rule["resources"]) & {"pods/exec", "nodes/proxy", "roles", "rolebindings"}


def fields(pods: RunPods) -> dict[str, Any]:
    return {name: getattr(pods, name) for name in RunPods.__dataclass_fields__}
