"""Children that say what no child says, in real processes: each costs its attempt and no more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.process.support.local_runs import Job, word_count

# Each map task is hostile at its first attempt, in its own way, and honest at its second.
HOSTILE = """
from gomr_runtime.worker.channel import Kind, frame
from gomr_runtime.model.task import Ledger, ResultFile, TaskResult
from gomr_runtime.codec.fields import to_json
import json, socket, stat
number, attempt = map(int, ctx.attempt_id.rpartition("map-")[2].split("/"))
file = ResultFile("map", "/nowhere", 24, "0" * 64, 0, 24)
honest = json.loads(to_json(TaskResult((file,), Ledger())))
deep = "[" * 100_000
answers = [
    (Kind.RESULT, json.dumps(honest | {"ledger": honest["ledger"] | {"written": "5"}})),
    (Kind.RESULT, json.dumps(honest | {"counters": {"x": 1.5}})),
    (Kind.RESULT, json.dumps(honest | {"counters": []})),
    (Kind.RESULT, json.dumps(honest | {"files": [{"role": "map", "path": 7, "size": 1}]})),
    (Kind.RESULT, json.dumps(honest)),
    (Kind.RESULT, json.dumps(honest).replace("/nowhere", "/etc/passwd")),
    (Kind.RESULT, '{"files": ' + deep),
    (Kind.RESULT, json.dumps(honest | {"cpu_seconds": float("nan")})),
    (Kind.FAILURE, json.dumps({"kind": "user", "message": 5})),
    (Kind.FAILURE, json.dumps({"kind": "user", "message": "no", "bad_map": 0})),
    (Kind.FAILURE, "null"),
    (Kind.READ, "x" * 24),
]
if attempt == 1:
    kind, text = answers[number]
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                os.write(int(name), frame(kind, text.encode()))
        except OSError:
            pass
    time.sleep(600)
"""
CASES = 12


def test_children_that_say_nonsense_lose_their_attempt_and_no_worker(tmp_path: Path) -> None:
    job = Job(tmp_path, word_count(HOSTILE), options={"mappers": CASES, "max_lost": 1})
    summary = job.go()
    expected = Counter(job.text.split())
    found = {}
    for part in summary.parts:
        for line in (job.store / part.key).read_text().splitlines():
            key, value = line.split("\t")
            found[key] = int(value)
    assert found == expected
    assert (summary.attempts, summary.lost_workers) == (2 * CASES + 2, 0)
    said = [event.log.text for event in job.events if event.WhichOneof("body") == "log"]
    for index in range(CASES):
        [line] = [text for text in said if f"map-{index}, attempt 1: the child" in text]
        assert "\n" not in line
