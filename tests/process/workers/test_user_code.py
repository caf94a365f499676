"""What user code can do to its process, and what the run makes of it (rows U of docs/faults.md)."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import DeadlineExceeded, JobFailed
from gomr_runtime.runs.local import LocalRun
from tests.process.support.local_runs import CANARY, HEAD, Job, word_count

LINES = 200
BAD = 50  # the record that the mapper cannot take
TEXT = "a b\n" * BAD + "x y\n" + "c d\n" * (LINES - BAD - 1)
OFFSET = 4 * BAD
EAT = "held = []\nwhile True: held.append(bytearray(1 << 20))"
EAT_OUTSIDE = f"import subprocess; subprocess.run([sys.executable, '-c', {EAT!r}])"
SPIN_IN_C = "import collections, itertools; collections.deque(itertools.repeat(0), maxlen=0)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"
UNPICKLABLE = """
class Odd(Exception):
    def __str__(self): raise RuntimeError("no words")
    def __reduce__(self): raise RuntimeError("no pickle")
raise Odd(object())
"""

# What the mapper does at the bad record, and the cause that is named. Matrix rows in the ids.
RAISES = {
    "U1_exception": ("int('x')", "ValueError: invalid literal"),
    "U1_keyboard_interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "U1_base_exception": ("class Mine(BaseException): pass\nraise Mine('own')", "Mine: own"),
    "U1_recursion": ("def deep(): return deep()\ndeep()", "RecursionError"),
    "U1_unserialisable": (UNPICKLABLE, "Odd: <exception str() failed>"),
    "U1_surrogate": ("raise ValueError('\\ud800')", r"ValueError: \ud800"),
    "U1_huge": ("raise ValueError('y' * 50_000_000)", "49,998,012 characters left out"),
    "U6_sys_exit": ("sys.exit(0)", "SystemExit: 0"),
}
DIES = {
    "U3_segfault": ("import ctypes; ctypes.string_at(0)", "it died of SIGSEGV"),
    "U3_abort": ("os.close(1); os.abort()", "it died of SIGABRT"),
    "U3_bus_error": ("os.kill(os.getpid(), signal.SIGBUS)", "it died of SIGBUS"),
    "U4_out_of_memory": (EAT, "the limit is 200 MB (--memory)"),
    "U4_out_of_memory_in_a_subprocess": (EAT_OUTSIDE, "the limit is 200 MB (--memory)"),
    "U5_sleep": ("time.sleep(600)", "no progress for 3 s"),
    "U5_loop_in_c": (SPIN_IN_C, "no progress for 3 s"),
    "U5_sigterm_ignored": (DEAF, "no progress for 3 s"),
    "U6_exit_0": ("os._exit(0)", "it ended with exit code 0 before it had a result"),
    "U6_exit_7": ("os._exit(7)", "it ended with exit code 7 before it had a result"),
    "U6_kill_self": ("os.kill(os.getpid(), signal.SIGKILL)", "it died of SIGKILL"),
    "U9_closes_descriptors": ("os.closerange(3, 1000); os._exit(1)", "exit code 1"),
}
LIMITS = {"memory": 200_000_000, "task_timeout": 3.0}


def at_bad(act: str) -> str:
    """A word count whose mapper does `act` at the bad record."""
    return word_count("if line == 'x y':\n" + "\n".join(f"    {row}" for row in act.split("\n")))


def job_of(folder: Path, source: str, **options: object) -> Job:
    return Job(folder, source, text=TEXT, options={"mappers": 2, **LIMITS, **options})


def failure_of(job: Job) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        job.go()
    return caught.value


def check_workers_lived(job: Job) -> None:
    assert job.summary is not None
    assert job.summary.lost_workers == 0
    assert "defect" not in job.log_of("worker-0") + job.log_of("worker-1")


def named(cases: dict[str, tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("act", "cause"), list(cases.values()), ids=list(cases))


@named(RAISES | DIES)
def test_a_mapper_that_fails_ends_the_run_and_is_named(folder: Path, act: str, cause: str) -> None:
    """File, record, task and cause on one line; the worker process survives."""
    job = job_of(folder, at_bad(act), max_attempts=1)
    error = failure_of(job)
    message = str(error)
    assert error.exit_code == 1
    assert "\n" not in message
    assert cause in message
    assert "input.txt, record at" in message
    assert f" {OFFSET}" in message
    assert "map-0" in message
    assert len(message) < 5_000
    assert len(error.detail) < 64 << 10
    assert "gomr_runtime/" not in error.detail
    check_workers_lived(job)


def test_U2_every_kind_of_bad_record_is_set_aside_whole(folder: Path) -> None:
    acts = {
        name: act for name, (act, _) in (RAISES | DIES).items()
        if name in {
            "U1_exception", "U1_keyboard_interrupt", "U3_segfault", "U4_out_of_memory",
            "U5_sleep", "U6_exit_0",
        }
    }  # fmt: skip
    chosen = "".join(
        f"if line == {name!r}:\n    ctx.emit('half', 1)\n"
        + "\n".join(f"    {row}" for row in act.split("\n")) + "\n"
        for name, act in acts.items()
    )  # fmt: skip
    good = "a b\n" * 50
    text = good + "".join(f"{name}\n{good}" for name in acts)
    options = {**LIMITS, "skip_bad_records": len(acts), "mappers": 3}
    job = Job(folder, word_count(chosen), text=text, options=options)
    summary = job.go()
    assert job.counts(summary) == Counter(good.split() * (len(acts) + 1))
    assert [(bad.source, bad.offset) for bad in summary.bad_records] == [
        ("input.txt", text.index(name)) for name in acts
    ]
    assert summary.ledger.set_aside == len(acts)
    assert summary.ledger.records_read == 50 * (len(acts) + 1) + len(acts)
    check_workers_lived(job)


def test_U2_one_bad_record_too_many_ends_the_run(folder: Path) -> None:
    text = "a\n" * 50 + "x\n" + "a\n" * 50 + "x\n" + "a\n" * 50
    for allowed, fine in ((2, True), (1, False)):
        source = word_count("if line == 'x': raise ValueError('bad one')")
        options = {"skip_bad_records": allowed, "mappers": 3}
        job = Job(folder, source, text=text, run=f"bad-{allowed}", options=options)
        if fine:
            summary = job.go()
            assert summary.ledger.set_aside == 2
            assert [bad.offset for bad in summary.bad_records] == [100, 202]
            assert job.counts(summary) == {"a": 150}
        else:
            assert "more than 1 bad records" in str(failure_of(job))


def test_U2_crashes_beyond_the_allowed_end_the_run(folder: Path) -> None:
    source = word_count("if line == 'x': os._exit(3)")
    options = {"skip_bad_records": 1, "mappers": 1}
    error = failure_of(Job(folder, source, text="a\nx\na\nx\na\n", options=options))
    assert "more than 1 bad records" in str(error)
    assert "record at offset 2" in error.detail
    assert "record at offset 6" in error.detail


BATCHES = """
import pyarrow.compute as pc

def mapper(ctx, batch) -> None:
    if pc.any(pc.equal(batch["line"], "x")).as_py():
        os._exit(3)
    ctx.emit_batch(pc.split_pattern(batch["line"], " ").flatten(), 1)

gomr.run(
    gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.batches(gomr.lines))
)
"""


def test_U2_a_record_that_ends_the_process_in_a_batch_is_set_aside_alone(folder: Path) -> None:
    text = "a b\n" * 50 + "x\n" + "b c\n" * 50
    options = {"skip_bad_records": 1, "mappers": 2}
    job = Job(folder, HEAD + BATCHES, text=text, options=options)
    summary = job.go()
    assert job.counts(summary) == {"a": 50, "b": 100, "c": 50}
    (bad,) = summary.bad_records
    assert (bad.source, bad.offset) == ("input.txt", 200)


def test_U3_a_batch_that_ends_the_process_is_named(folder: Path) -> None:
    options = {"mappers": 1, "max_attempts": 1}
    error = failure_of(Job(folder, HEAD + BATCHES, text="a\nx\nb\n", options=options))
    assert "in input.txt, batch at offset 0" in str(error)


def test_U1_four_attempts_on_two_workers_and_the_users_own_frames(folder: Path) -> None:
    wait = f"while not Path({str(folder)!r}, 'both').exists(): time.sleep(0.01)\n"
    job = job_of(folder, at_bad(wait + "int('x')"), task_timeout=20.0)

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if event.log.text == "All workers connected":
            (folder / "both").touch()

    with pytest.raises(JobFailed, match="4 attempts failed") as caught:
        job.go(on_event)
    assert "in mapper" in caught.value.detail
    failed_on = {line.partition(" failed on ")[2].partition(":")[0] for line in job.log_lines()}
    assert len(failed_on - {""}) == 2
    assert not (job.store / f"outputs/{job.run}/_SUCCESS").exists()


def test_U1_a_reducer_that_fails_names_the_key(folder: Path) -> None:
    for act, cause in (("1 / 0", "ZeroDivisionError"), ("os._exit(0)", "exit code 0")):
        source = word_count().replace("ctx.emit(key, sum", f"{act}\n    ctx.emit(key, sum")
        job = Job(
            folder, source, run=f"r-{cause[0].lower()}", options={"max_attempts": 1, "reducers": 1}
        )
        message = str(failure_of(job))
        assert cause in message
        assert "key 'a'" in message or "at key number 0" in message
        assert "reduce-0" in message
        check_workers_lived(job)


def test_U5_where_it_hung_is_shown(folder: Path) -> None:
    source = at_bad("wait_for_godot()").replace(
        "def mapper", "def wait_for_godot():\n    while True: pass\n\ndef mapper"
    )
    detail = failure_of(job_of(folder, source, max_attempts=1)).detail
    assert "in wait_for_godot" in detail
    assert "in mapper" in detail


def test_U7_what_user_code_leaves_running_is_ended(folder: Path) -> None:
    """A daemon in a session of its own, and a forked process that holds every descriptor."""
    leave = f"""
import subprocess
daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
forked = os.fork()
if not forked:
    os.setsid()
    if not os.fork():
        Path({str(folder)!r}, f"pid-{{os.getpid()}}").touch()
        time.sleep(600)
    os._exit(0)
os.waitpid(forked, 0)
while len(list(Path({str(folder)!r}).glob("pid-*"))) < 1: time.sleep(0.01)
Path({str(folder)!r}, f"pid-{{daemon.pid}}").touch()
"""
    started = time.monotonic()
    job = Job(folder, at_bad(leave), text=TEXT, options={"mappers": 1})
    job.go()
    assert time.monotonic() - started < 20, "the task waits for none of them"
    left = [int(path.name[4:]) for path in folder.glob("pid-*")]
    assert len(left) == 2
    _, alive = psutil.wait_procs([psutil.Process(p) for p in left if psutil.pid_exists(p)], 5)
    assert alive == []
    assert "processes that user code left behind" in job.log_of("worker-0") + job.log_of("worker-1")


def test_U7_a_crash_is_noticed_though_a_daemon_holds_the_channel(folder: Path) -> None:
    hold = "if not os.fork():\n    os.setsid(); time.sleep(600)\ntime.sleep(0.2); os._exit(5)"
    started = time.monotonic()
    assert "exit code 5" in str(failure_of(job_of(folder, at_bad(hold), max_attempts=1)))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("victims", ["supervisor", "supervisor and forkserver"])
def test_U7_no_grandchild_outlives_a_killed_supervisor(folder: Path, victims: str) -> None:
    kill = "parents = [multiprocessing.parent_process().pid]"
    if victims != "supervisor":
        kill += " + [os.getppid()]"
    act = f"""
import multiprocessing, subprocess
if not Path({str(folder)!r}, "once").exists():
    Path({str(folder)!r}, "once").touch()
    daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path({str(folder)!r}, f"pid-{{daemon.pid}}").touch()
    {kill}
    for parent in parents: os.kill(parent, signal.SIGKILL)
    time.sleep(600)
"""
    job = job_of(folder, at_bad(act))
    summary = job.go()
    assert summary.lost_workers == 1
    assert job.counts(summary) == Counter(TEXT.split())
    [left] = [int(path.name[4:]) for path in folder.glob("pid-*")]
    assert not psutil.pid_exists(left) or psutil.Process(left).wait(5) is None


def test_U7_a_fork_bomb_ends_with_its_attempt(folder: Path) -> None:
    bomb = "while True:\n    if not os.fork(): time.sleep(600)"
    job = job_of(folder, at_bad(bomb), max_attempts=1, memory=2 << 30, task_timeout=60.0)
    assert "it started more than 256 processes in input.txt" in str(failure_of(job))
    check_workers_lived(job)


def test_U7_killing_the_forkserver_costs_the_attempt_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMR_S3_SECRET_KEY", CANARY)
    act = f"""
once = Path({str(folder)!r}, "once")
if not once.exists():
    once.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
"""
    seen = f"ctx.counter('seen').add(int({CANARY!r} in str(os.environ)))"
    look = f"\nif line == 'c d': {seen}"
    job = job_of(folder, at_bad(act).replace("for word", look.strip() + "\n    for word"))
    summary = job.go()
    assert job.counts(summary) == Counter(TEXT.split())
    assert summary.counters == {"seen": 0}, "a new forkserver sees no secret either"
    check_workers_lived(job)


def test_U7_a_forked_process_that_comes_back_changes_nothing(folder: Path) -> None:
    """The copy goes on with the engine's files and channel in hand."""
    job = job_of(folder, at_bad("os.fork()"), mappers=1)
    assert job.counts(job.go()) == Counter(TEXT.split())


def test_U8_a_flood_is_drained_and_its_end_kept(folder: Path) -> None:
    """200 MB without a newline, not even text; then a crash shows the last words."""
    flood = (
        "for _ in range(200): os.write(1, b'\\xff\\x00' * 500_000)\n"
        "print(); print('last words', flush=True)\nos._exit(3)"
    )
    job = job_of(folder, at_bad(flood), max_attempts=1)
    peak = [0]

    def on_event(run: LocalRun, event: object) -> None:
        for name, pid in run.pids.items():
            if name != "master":
                peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss)

    with pytest.raises(JobFailed) as caught:
        job.go(on_event)
    assert caught.value.detail.endswith("last words")
    assert len(caught.value.detail) <= 32 << 10
    assert "\0" not in caught.value.detail
    assert 0 < peak[0] < 150 << 20


def test_U8_a_flood_that_succeeds_is_nobodys_trouble(folder: Path) -> None:
    job = job_of(folder, at_bad("for _ in range(100): os.write(2, b'x' * 1_000_000)"))
    assert job.counts(job.go()) == Counter(TEXT.split())


MESS = """
import builtins, json, locale, resource, threading
os.chdir("/"); os.umask(0o777)
locale.setlocale(locale.LC_ALL, "C")
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
resource.setrlimit(resource.RLIMIT_CPU, (50, 60))
sys.setrecursionlimit(150); sys.stdout = None; sys.path.clear(); os.environ.clear()
builtins.print = lambda *words: None
plain = json.dumps
json.dumps = lambda *words, **named: plain(*words, **named)
threading.Thread(target=time.sleep, args=(600,)).start()
"""


def test_U9_what_user_code_does_to_its_process_stays_there(folder: Path) -> None:
    """The task that does it succeeds, and so do those after it on the same worker."""
    job = job_of(folder, at_bad(MESS), workers=1, mappers=4)
    summary = job.go()
    assert job.counts(summary) == Counter(TEXT.split())
    assert summary.lost_workers == 0
    assert summary.attempts == 4 + 2


def test_U9_scribbling_on_the_channel_costs_the_attempt_alone(folder: Path) -> None:
    scribble = """
import stat
for number in map(int, os.listdir("/proc/self/fd")):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode): os.write(number, b"\\x00" * 100)
    except OSError: pass
"""
    job = job_of(folder, at_bad(scribble), max_attempts=2)
    message = str(failure_of(job))
    assert "something wrote to its channel" in message
    assert "map-0" in message
    check_workers_lived(job)


def test_U9_closing_our_files_is_the_users_failure(folder: Path) -> None:
    job = job_of(folder, at_bad("os.closerange(3, 1000)"), max_attempts=2)
    message = str(failure_of(job))
    assert "map-0" in message
    assert "2 attempts failed" in message
    check_workers_lived(job)


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_U11_hash_seeds_change_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    job = Job(folder, word_count(), options={"reducers": 3})
    parts = job.go().parts
    found = [(job.store / part.key).read_text().split() for part in parts]
    assert found == [["c", "100"], ["e", "50"], ["a", "50", "b", "100", "d", "100"]]


PARTITIONED = """
def mapper(ctx, line: str) -> None:
    {before}
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]) -> None:
    ctx.emit(key, sum(values))

gomr.run(gomr.MapReduceConfig(
    mapper=mapper, reducer=reducer, input=gomr.lines, partitioner=lambda key, n: {answer}))
"""
MANY = "".join(f"word{i % 20}\n" for i in range(200))
KILLS_FORKSERVER = (
    "if line == 'word7' and ctx.attempt_id.endswith('map-0/1'): os.kill(os.getppid(), 9)"
)


@pytest.mark.parametrize("seed", ["random", "4242"])
@pytest.mark.parametrize("before", ["pass", KILLS_FORKSERVER], ids=["plain", "new_forkserver"])
def test_U11_workers_agree_on_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: str, before: str
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    source = HEAD + PARTITIONED.format(answer="hash(key) % n", before=before)
    job = Job(folder, source, text=MANY, options={"mappers": 6, "reducers": 3})
    assert job.counts(job.go()) == Counter(MANY.split())


def test_a_key_that_its_partitioner_puts_elsewhere_ends_the_run(folder: Path) -> None:
    source = HEAD + PARTITIONED.format(answer="hash((key, os.getpid())) % n", before="pass")
    job = Job(folder, source, text=MANY, options={"reducers": 3, "max_attempts": 1})
    message = str(failure_of(job))
    assert re.search(r"reduce-\d, key 'word\d+': partitioner\(key, 3\) gives \d, but gave", message)


def test_U13_the_deadline_ends_the_run(folder: Path) -> None:
    hang = "while True: time.sleep(0.01); ctx.progress()"
    job = Job(folder, at_bad(hang), text=TEXT, options={"timeout": 2.0})
    with pytest.raises(DeadlineExceeded):
        job.go()
    assert not (job.store / f"outputs/{job.run}/_SUCCESS").exists()
