"""Which commands of the pages no test runs, and why; and what is wrong with such a command."""

from __future__ import annotations

import re

from gomr_runtime.errors import UsageError
from gomr_runtime.options.declared import parse
from tests.doc_blocks import ROOT, words_of

CLUSTER = "needs a cluster: tests/cluster runs the like"
IMAGES = "builds images: tests/cluster/machine/test_images.py builds these"
BENCH = "takes minutes and other systems; the rows are run by hand"

NOT_RUN: dict[str, str] = {
    "make test": "it is what runs this test",
    "python -m flows.gomr --input big.txt --workers 8 --resume wordcount-1122-171105-k3f9 "
    "worker.py": "the run it goes on with has to fail first: tests/process/masters/test_resume.py",
    "docker build -f Dockerfile.master -t mr-master:latest .": IMAGES,
    "docker build -f Dockerfile.worker --build-arg WORKER_FILE=examples/wordcount/worker.py "
    "-t mr-worker:latest .": IMAGES,
    "python -m flows.gomr --runtime kubernetes --master-image mr-master:latest "
    "--worker-image mr-worker:latest --input input.txt examples/wordcount/worker.py": CLUSTER,
    "python -m bench.memory --memory 256MB": BENCH,
    "make bench": BENCH,
    "python -m flows.gomr --runtime kubernetes --input text.txt --workers 4 worker.py": CLUSTER,
    "kind create cluster": CLUSTER,
    "python -m flows.gomr --input examples/wordcount/input.txt examples/wordcount/worker.py": (
        "follows `kind create cluster`, and with no cluster it is the quickstart's"
    ),
    "kubectl port-forward --address 127.0.0.1 service/minio 39000:9000": CLUSTER,
    "minikube start": "needs minikube",
    "kubectl -n my-namespace apply -k k8s/manifests/rbac": CLUSTER,
    "kubectl apply -k k8s/manifests/rbac": CLUSTER,
    "python -m flows.gomr --context prod --namespace my-namespace "
    "--load registry:registry.example.com/team --input s3://bucket/texts worker.py": CLUSTER,
    "docker build -f Dockerfile.master -t registry.example.com/mr-master:1 .": IMAGES,
    "docker build -f Dockerfile.worker --build-arg WORKER_FILE=worker.py "
    "-t registry.example.com/mr-worker:1 .": IMAGES,
    "python -m flows.gomr --context prod --master-image registry.example.com/mr-master:1 "
    "--worker-image registry.example.com/mr-worker:1 --input text.txt worker.py": CLUSTER,
    "docker build -f k8s/minio/Dockerfile -t registry.example.com/minio:1 k8s/minio": IMAGES,
    "export GOMR_MINIO_IMAGE=registry.example.com/minio:1": CLUSTER,
    "python -m flows.gomr clean --context kind-kind": CLUSTER,
    "python -m flows.gomr clean --context kind-kind --everything": CLUSTER,
    "kubectl delete deployment,service,pvc,job,secret,configmap,networkpolicy,serviceaccount "
    "-l app.kubernetes.io/part-of=gomr": CLUSTER,
    "docker build -f k8s/flow/Dockerfile -t gomr-flow:latest .": IMAGES,
    "docker build -f Dockerfile.worker --build-arg WORKER_FILE=worker.py "
    "-t mr-worker:latest .": IMAGES,
    "python -m flows.gomr --input text.txt examples/wordcount/worker.py": (
        "text.txt is a text of yours; the quickstart's command is typed"
    ),
    "prefect deployment run gomr/start --watch": "the run with parameters after it is typed",
    "prefect deployment schedule create gomr/start --interval 3600": (
        "an hour is long: tests/flow/test_deployment.py makes one of 15 seconds"
    ),
    "kubectl apply -k k8s/manifests/overlays/shared": CLUSTER,
    "prefect work-pool create gomr-kubernetes --type kubernetes": CLUSTER,
    "prefect deploy --all --prefect-file k8s/flow/prefect.yaml": CLUSTER,
    "prefect worker start --pool gomr-kubernetes": CLUSTER,
    "prefect deployment run gomr/start-in-cluster --job-variable namespace=my-namespace "
    "--watch": CLUSTER,
}
"""By the command on one line: why no test runs it as it stands."""
TYPED_BY: dict[str, tuple[str, ...]] = {
    "docs/prefect.md": ("A server that stays", "As a deployment"),
}
"""Headings whose blocks tests/flow/test_deployment.py takes out of the page and types."""
PATTERNS: dict[str, str] = {r"make bench ROW=[\w-]+ SCALE=(small|full)": BENCH}


def one_line(command: str) -> str:
    """The command as `NOT_RUN` has it."""
    return re.sub(r"\s+", " ", command.replace("\\\n", " ")).strip()


def reason_not_to_run(command: str) -> str:
    """Why it is not run, "" for one that is."""
    line = one_line(command)
    found = NOT_RUN.get(line, "")
    matching = (reason for pattern, reason in PATTERNS.items() if re.fullmatch(pattern, line))
    return found or next(matching, "")


def fault_of(command: str) -> str:
    """What is wrong with a command that is not run: an option or a file that is not there; "" for
    nothing. Programs that are none of ours are not looked into."""
    words = words_of(command)
    if words[:1] == ["make"]:
        return _fault_of_make(words[1:])
    if words[:3] == ["python", "-m", "flows.gomr"]:
        return _fault_of_clean(words[4:]) if words[3:4] == ["clean"] else _fault_of_run(words[3:])
    if words[:1] == ["python"] and words[1].endswith(".py"):
        return _fault_of_run(words[2:], worker=words[1])
    if words[:2] == ["python", "-m"]:
        path = ROOT / words[2].replace(".", "/")
        ours = (ROOT / words[2].partition(".")[0]).is_dir()
        there = path.is_dir() or path.with_suffix(".py").is_file()
        return f"no {words[2]}" if ours and not there else ""
    if words[:2] == ["docker", "build"]:
        return _fault_of_build(words[2:])
    folders = [ROOT / word for word in words if word.startswith("k8s/")]
    return "".join(f"no {path}; " for path in folders if not path.exists())


def _fault_of_make(words: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words if "=" not in word]
    names = [word.partition("=")[0] for word in words if "=" in word]
    missing = [
        t for t in targets if not re.search(rf"^{re.escape(t)}:", makefile, flags=re.MULTILINE)
    ]
    unknown = [name for name in names if f"$({name})" not in makefile]
    return f"no such target or variable: {missing + unknown}" if missing + unknown else ""


def _fault_of_run(words: list[str], worker: str = "") -> str:
    """argv as the command itself reads it."""
    words = [word for word in words if word != "[options]"]
    try:
        parse(words, inline=bool(worker), worker=worker)
    except UsageError as error:
        # In the text a command may leave out what is not spoken of.
        return "" if str(error).startswith(("--input is missing", "WORKER.py is")) else str(error)
    return ""


def _fault_of_clean(words: list[str]) -> str:
    from flows.clean import _parser

    try:
        _parser().parse_args([word.strip("[]") for word in words])
    except UsageError as error:
        return str(error)
    return ""


def _fault_of_build(words: list[str]) -> str:
    file = ROOT / words[words.index("-f") + 1]
    if not file.is_file():
        return f"no {file}"
    arguments = [words[i + 1].partition("=")[0] for i, w in enumerate(words) if w == "--build-arg"]
    text = file.read_text(encoding="utf-8")
    missing = [
        name for name in arguments if not re.search(rf"^ARG {name}\b", text, flags=re.MULTILINE)
    ]
    return f"{file.name} has no ARG {missing}" if missing else ""
