"""The protocol between a real master process and workers, spoken by hand over real gRPC."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import gomr_runtime
from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.file_table import collect
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.model.task import Ledger, ResultFile, TaskFailure, TaskResult, TaskSpec
from gomr_runtime.rpc import connection
from gomr_runtime.rpc.client import RunClient
from gomr_runtime.runs.submit import with_table
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import read_job

RUN = "run-1"
TOKEN, WORKER_TOKEN = "correct horse", "battery staple"
SHA = "0" * 64
DESCRIPTION = JobDescription(Format("lines"), True, "", "", "hash", "", False, SHA)
SECONDS = 10.0


class Master:
    """A gomr-master process over `folder/store`; every call here has a deadline."""

    def __init__(self, folder: Path, job: JobSpec) -> None:
        self.folder = folder
        self.store = open_store(str(folder / "store"))
        self.store.put(layout.job(RUN), to_json(with_table(self.store, job)))
        (folder / "token").write_text(TOKEN)
        (folder / "worker-token").write_text(WORKER_TOKEN)
        self.sockets = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))
        self.process = self.start("master")
        self.channel = self.connect("master")
        self.workers: list[Worker] = []

    def worker(self, name: str = "w", token: str = WORKER_TOKEN) -> Worker:
        self.workers.append(Worker(self.channel, name, token))
        return self.workers[-1]

    def start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "gomr_runtime.master", "--run", RUN),
            *("--store", str(self.folder / "store")),
            *("--listen", f"unix:{self.sockets}/{name}"),
            *("--token-file", str(self.folder / "token")),
            *("--worker-token-file", str(self.folder / "worker-token")),
            *("--address-file", str(self.folder / f"{name}-address")),
            *options,
        ]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stderr=log)

    def connect(self, name: str) -> grpc.Channel:
        channel = grpc.insecure_channel(
            f"unix:{self.sockets}/{name}", options=connection.CLIENT_OPTIONS
        )
        health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=SECONDS, wait_for_ready=True
        )
        return channel

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        for path in self.sockets.iterdir():
            path.unlink()
        self.sockets.rmdir()


class Worker:
    """A worker played by the test: says exactly what it is told to."""

    def __init__(self, channel: grpc.Channel, name: str = "w", token: str = WORKER_TOKEN) -> None:
        self.name = name
        self._ids = 0
        self._outgoing: queue.SimpleQueue[pb.WorkerMessages | None] = queue.SimpleQueue()
        stub = services.MasterStub(channel)  # type: ignore[no-untyped-call]
        self.call = stub.Session(
            iter(self._outgoing.get, None), timeout=SECONDS, metadata=connection.bearer(token)
        )
        self._heard = (message for several in self.call for message in several.messages)

    def say(self, number: int = 0, **body: object) -> int:
        if not number:
            self._ids += 1
            number = self._ids
        message = pb.WorkerMessage(id=number, **body)  # type: ignore[arg-type]
        self._outgoing.put(pb.WorkerMessages(messages=[message]))
        return number

    def register(self, **fields: object) -> None:
        said = {
            "run": RUN,
            "worker": self.name,
            "description": to_json(DESCRIPTION).decode(),
            "version": gomr_runtime.__version__,
        } | fields
        self.say(register=pb.Register(**said))  # type: ignore[arg-type]

    def hear(self, body: str) -> pb.MasterMessage:
        """The next message of that kind; others are passed over."""
        message: pb.MasterMessage
        for message in self._heard:
            if message.WhichOneof("body") == body:
                return message
        raise AssertionError(f"the stream ended before {body!r}")

    def assigned(self) -> TaskSpec:
        return from_json(TaskSpec, self.hear("assign").assign.task)

    def report(self, spec: TaskSpec, epoch: int = 1, number: int = 0, **outcome: str) -> int:
        attempt = pb.Attempt(
            kind=spec.kind, index=spec.index, attempt=spec.attempt, nonce=spec.nonce
        )
        return self.say(number, report=pb.Report(attempt=attempt, epoch=epoch, **outcome))

    def close(self) -> None:
        self._outgoing.put(None)
        self.call.cancel()


def job_of(folder: Path, files: int = 1, mappers: int = 1) -> JobSpec:
    found = []
    for number in range(files):
        path = folder / f"in-{number}"
        if files < 10:
            path.write_text("a\n")
        found.append(InputFile(path.name, str(path), 2))
    return JobSpec(RUN, collect(found), 1, mappers, 1, SHA, "worker.py", heartbeat=0.2, lease=3.0)


def result_of(master: Master, spec: TaskSpec) -> str:
    """What an honest map-only worker reports: one record in, one out."""
    key = layout.attempt_data(spec, "part")
    master.store.put(key, b"a\t1\n")
    file = ResultFile("part", "", 4, "0" * 64, 1, key=key)
    ledger = Ledger(1, 2, 1, 0, 0, 1, 0, 0, 1, 4, 0, 0, 1)
    return to_json(TaskResult((file,), ledger)).decode()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    running = Master(tmp_path, job_of(tmp_path))
    yield running
    running.close()


def events(master: Master) -> Iterator[pb.WatchEvent]:
    stub = services.RunStub(master.channel)  # type: ignore[no-untyped-call]
    yield from stub.Watch(
        pb.WatchRequest(run=RUN), timeout=SECONDS, metadata=connection.bearer(TOKEN)
    )


def status(call: object) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as caught:
        list(call)  # type: ignore[call-overload]
    return caught.value.code(), caught.value.details()


def test_a_whole_run_by_hand(master: Master) -> None:
    worker = master.worker()
    worker.register()
    worker.say(next=pb.Next(count=1))
    spec = worker.assigned()
    assert (spec.kind, spec.index, spec.attempt) == ("map", 0, 1)
    worker.report(spec, result=result_of(master, spec))
    assert worker.hear("finished").finished.state == "succeeded"
    worker.close()
    with RunClient(f"unix:{master.sockets}/master", TOKEN, RUN) as client:
        summary = client.summary()
        assert summary is not None
        assert [part.name for part in summary.parts] == ["output-00000.txt"]
    assert master.process.wait(SECONDS) == 0
    assert (master.folder / "master-address").read_text() == f"unix:{master.sockets}/master"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", WORKER_TOKEN + "x"])
def test_a_wrong_token_is_refused_everywhere(master: Master, token: str) -> None:
    worker = master.worker(token=token)
    worker.register()
    assert status(worker.call)[0] is grpc.StatusCode.UNAUTHENTICATED
    with RunClient(f"unix:{master.sockets}/master", token, RUN) as client:
        for call in (client.summary, lambda: client.cancel("no"), lambda: next(client.watch())):
            with pytest.raises(EnvironmentFailed, match="token"):
                call()
    assert master.process.poll() is None


def test_what_a_worker_may_do_a_client_may_not_and_the_reverse(master: Master) -> None:
    """User code can read its worker's token: with it, it neither watches nor cancels the run."""
    worker = master.worker(token=TOKEN)
    worker.register()
    assert status(worker.call)[0] is grpc.StatusCode.UNAUTHENTICATED
    with RunClient(f"unix:{master.sockets}/master", WORKER_TOKEN, RUN) as client:
        for call in (client.summary, lambda: client.cancel("no"), lambda: next(client.watch())):
            with pytest.raises(EnvironmentFailed, match="token"):
                call()
    first = master.worker("first")
    first.register()
    first.hear("ack")
    with RunClient(f"unix:{master.sockets}/master", TOKEN, RUN) as client:
        assert client.summary() is None, "it goes on"


def test_no_token_at_all_is_refused_but_health_answers(master: Master) -> None:
    stub = services.RunStub(master.channel)  # type: ignore[no-untyped-call]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Summary(pb.SummaryRequest(run=RUN), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    health = health_pb2_grpc.HealthStub(master.channel)
    reply = health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_a_worker_with_another_file_is_refused_and_the_run_goes_on(master: Master) -> None:
    first = master.worker("first")
    first.register()
    first.hear("ack")
    for change in (
        {"worker_sha256": "1" * 64},
        {"combiner": "user"},
        {"format": Format("jsonl")},
    ):
        other = master.worker("other")
        other.register(description=to_json(replace(DESCRIPTION, **change)).decode())
        refused = other.hear("refused").refused
        assert refused.exit_code == 3
        assert "other" in refused.reason
    first.say(next=pb.Next(count=1))
    assert first.assigned().kind == "map"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "0.0.1"}, "build both from the same version"),
        ({"run": "other"}, "of run run-1, not of 'other'"),
        ({"description": "{}"}, "unreadable description"),
        ({"worker": "a\nb"}, "printable"),
    ],
)
def test_registrations_that_make_no_sense_are_refused(
    master: Master, fields: dict[str, str], words: str
) -> None:
    worker = master.worker()
    worker.register(**fields)
    assert words in worker.hear("refused").refused.reason


def test_a_worker_file_that_cannot_be_loaded_ends_the_run(master: Master) -> None:
    worker = master.worker()
    failure = TaskFailure("user", "worker.py cannot be loaded: no", detail="their frames")
    worker.register(description="", failure=to_json(failure).decode())
    assert worker.hear("refused").refused.exit_code == 2
    *_, last = events(master)
    summary = json.loads(last.summary)
    assert (summary["exit_code"], summary["detail"]) == (2, "their frames")
    assert master.process.wait(SECONDS) == 2


def test_N3_repeated_requests_are_acknowledged_without_acting_twice(master: Master) -> None:
    worker = master.worker()
    worker.register()
    worker.say(next=pb.Next(count=1))
    spec = worker.assigned()
    failure = to_json(TaskFailure("crash", "it died")).decode()
    number = worker.report(spec, failure=failure)
    again = worker.report(spec, number=number, failure=failure)
    assert again == number
    acknowledged = [worker.hear("ack").ack.id for _ in range(2)]
    assert acknowledged == [number, number]
    worker.say(next=pb.Next(count=1))
    assert worker.assigned().attempt == 2
    failed = next(e.progress for e in events(master) if e.progress.failed_attempts)
    assert failed.failed_attempts == 1
    worker.close()


def test_N4_a_broken_stream_is_taken_up_again(master: Master) -> None:
    worker = master.worker()
    worker.register()
    worker.say(next=pb.Next(count=1))
    spec = worker.assigned()
    worker.close()
    again = master.worker()
    again.register()
    again.hear("ack")
    again.report(spec, number=10, result=result_of(master, spec))
    assert again.hear("finished").finished.state == "succeeded"


def test_W12_a_lost_worker_has_to_come_back_under_a_new_name(master: Master) -> None:
    worker = master.worker()
    worker.register()
    worker.say(next=pb.Next(count=1))
    first = worker.assigned()
    # It says nothing more: its lease ends, and so does its stream.
    assert status(worker.call)[0] is grpc.StatusCode.FAILED_PRECONDITION
    again = master.worker()
    again.register()
    assert status(again.call)[0] is grpc.StatusCode.FAILED_PRECONDITION
    fresh = master.worker("w.2")
    fresh.register()
    fresh.say(next=pb.Next(count=1))
    second = fresh.assigned()
    assert (second.index, second.attempt) == (first.index, 2)
    assert second.nonce != first.nonce


@pytest.mark.parametrize("lie", ["nonce", "epoch", "key"])
def test_N3_results_that_are_not_the_attempts_own_are_not_committed(
    master: Master, lie: str
) -> None:
    worker = master.worker()
    worker.register()
    worker.say(next=pb.Next(count=1))
    spec = worker.assigned()
    result = result_of(master, spec)
    if lie == "nonce":
        other = "f" * 16
        result = result.replace(spec.nonce, other)
        number = worker.report(replace(spec, nonce=other), result=result)
    elif lie == "epoch":
        number = worker.report(spec, epoch=0, result=result)
    else:
        worker.report(spec, result=result.replace("/map-0/", "/map-1/"))
        code, words = status(worker.call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "not its own data" in str(words)
        number = 0
    while number and worker.hear("ack").ack.id != number:
        continue
    assert not list(master.store.list(layout.commits(RUN)))
    worker.close()


def test_nonsense_ends_the_stream_alone(master: Master) -> None:
    worker = master.worker()
    worker.say(next=pb.Next(count=1))
    assert status(worker.call) == (grpc.StatusCode.INVALID_ARGUMENT, "register first")
    worker = master.worker()
    worker.register()
    bad = pb.Progress(attempt=pb.Attempt(kind="coffee"))
    worker.say(heartbeat=pb.Heartbeat(running=[bad]))
    assert status(worker.call)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert master.process.poll() is None


def test_N5_a_message_beyond_the_limit_ends_its_stream_alone(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a client that does not keep to the limit itself."""
    unlimited = [o for o in connection.CLIENT_OPTIONS if o[0] != "grpc.max_send_message_length"]
    monkeypatch.setattr(connection, "CLIENT_OPTIONS", unlimited)
    with master.connect("master") as channel:
        worker = Worker(channel)
        worker.register()
        worker.say(next=pb.Next(count=1))
        spec = worker.assigned()
        worker.report(spec, failure="x" * (connection.MESSAGE_LIMIT + 1))
        assert status(worker.call)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        worker.close()
    again = master.worker()
    again.register()
    again.hear("ack")
    again.report(spec, number=10, result=result_of(master, spec))
    assert again.hear("finished").finished.state == "succeeded"


def test_a_task_of_ten_thousand_files_is_a_short_message(tmp_path: Path) -> None:
    master = Master(tmp_path, job_of(tmp_path, files=10_000))
    try:
        worker = master.worker()
        worker.register()
        worker.say(next=pb.Next(count=1))
        assign = worker.hear("assign").assign
        assert assign.ByteSize() < 1_000
        job = read_job(master.store, RUN)
        pieces = Pieces(job.files, from_json(TaskSpec, assign.task).ranges)
        assert [piece.file.source for piece in pieces] == [f"in-{n}" for n in range(10_000)]
        worker.close()
    finally:
        master.close()


def test_M3_a_newer_master_ends_an_older_one(master: Master) -> None:
    Journal(master.store, RUN).take_epoch()
    worker = master.worker()
    worker.register(highest_epoch=2)
    assert "newer master" in worker.hear("refused").refused.reason
    assert master.process.wait(SECONDS) == 5
    assert not list(master.store.list(layout.summary(RUN)))


def test_a_master_may_end_with_zero_once_nobody_has_to_go_on(master: Master) -> None:
    """So that whatever starts masters anew stops; how the run ended is in the store."""
    next_one = master.start("next", "--zero-when-over")
    try:
        assert master.process.wait(SECONDS) == 5
        next_one.terminate()
        assert next_one.wait(SECONDS) == 143, "the run is open"
        next_one = master.start("last", "--zero-when-over")
        address = f"unix:{master.sockets}/last"
        with RunClient(address, TOKEN, RUN) as client:
            client.cancel("enough")
            *_, end = client.watch()
        assert json.loads(end.summary)["exit_code"] == 130
        assert next_one.wait(SECONDS) == 0
    finally:
        next_one.kill()
        next_one.wait(SECONDS)


def test_a_master_without_a_job_says_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    command = ["--store", str(tmp_path / "s"), "--listen", "127.0.0.1:0", "--run", RUN]
    done = subprocess.run(
        [*(sys.executable, "-m", "gomr_runtime.master"), *command,
         "--token-file", str(tmp_path / "token"), "--worker-token-file", str(tmp_path / "token")],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "no runs/run-1/job.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_ends_a_master_with_143_and_the_run_stays_open(master: Master) -> None:
    master.process.terminate()
    assert master.process.wait(SECONDS) == 143
    assert not list(master.store.list(layout.summary(RUN)))


def test_watching_again_after_a_number_gives_only_what_is_newer(master: Master) -> None:
    address = f"unix:{master.sockets}/master"
    worker = master.worker()
    worker.register()
    worker.hear("ack")
    with RunClient(address, TOKEN, RUN) as client, RunClient(address, TOKEN, RUN) as other:
        first = next(client.watch())
        watching = other.watch()
        everything = [next(watching)]
        client.cancel("seen enough")
        rest = list(client.watch(after=first.sequence))
        everything += watching
    assert [e.sequence for e in everything] == [first.sequence, *(e.sequence for e in rest)]
    assert json.loads(rest[-1].summary)["state"] == "cancelled"
    worker.close()
    assert master.process.wait(SECONDS) == 130


def test_a_master_that_never_comes_is_an_error_with_a_deadline(tmp_path: Path) -> None:
    with (
        RunClient(f"unix:{tmp_path}/nobody", TOKEN, RUN, patience=0.3) as client,
        pytest.raises(EnvironmentFailed, match="no master at"),
    ):
        next(client.watch())
