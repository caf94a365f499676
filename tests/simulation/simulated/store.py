"""A store with create-only puts, and everything that happens to one.

`Server` holds the objects and the weather; a `Client` is a `Store` as one process sees it: its
requests and their answers get lost, so it tries again, and a create that finds the key taken reads
back what is there, as the S3 client of GoMR does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.base import ObjectInfo, Pieces
from tests.simulation.simulated import data as data_model
from tests.simulation.simulated.kernel import Kernel, block, current, sleep
from tests.simulation.swarm import Plan

TIMEOUT = 3.0  # seconds a client waits for an answer
RETRY_SECONDS = 30.0  # for which it tries again
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

WRITES = ("write", "create", "copy")

LOST = object()
REFUSED = object()
FULL = object()
ABSENT = object()
TAKEN = object()


class Server:
    """The objects, and what befalls requests; `watch` sees every change and may raise."""

    def __init__(self, kernel: Kernel, plan: Plan, watch: Callable[[str, bytes], None]) -> None:
        self.objects: dict[str, bytes] = {}
        self.born: dict[str, float] = {}
        self.damaged: dict[str, str] = {}
        self.calm = False
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self.lost_answers: set[int] = set()  # by number of the request
        self.lose_first_answers = False  # of each operation
        self.at_request: Callable[[int], bool] = lambda count: True
        self.writes = 0
        self.fails_write: Callable[[int, str], bool] = lambda count, key: False
        self._kernel = kernel
        self._plan = plan
        self._watch = watch

    def strikes(self, fault: str) -> bool:
        rate: float = getattr(self._plan, fault)
        struck = not self.calm and rate > 0 and self._kernel.rng.random() < rate
        self.faults[fault] += struck
        return struck

    def latency(self) -> float:
        seconds = self._kernel.rng.uniform(0.002, 0.04)
        return seconds if self.calm else seconds * self._plan.slow_store

    def reachable(self) -> bool:
        """Short outages end with the healing, a blackout never does."""
        now, plan = self._kernel.now, self._plan
        if plan.blackout is not None and now >= plan.blackout:
            self.faults["blackout"] += 1
            return False
        out = not self.calm and any(begin <= now < end for begin, end in plan.outages)
        self.faults["outages"] += out
        return not out

    def full(self) -> bool:
        now, plan = self._kernel.now, self._plan
        struck = any(begin <= now < end for begin, end in plan.full)
        self.faults["full"] += struck
        return struck

    def write(self, key: str, data: bytes) -> object:
        self.writes += 1
        if self.full() or self._fails(key):
            return FULL  # either way it is no use to try again
        self._watch(key, data)
        self.born.setdefault(key, self._kernel.now)
        self.objects[key] = data
        self._rot(key)
        return None

    def _fails(self, key: str) -> bool:
        if self.fails_write(self.writes, key):
            self.faults["failed_puts"] += 1
            return True
        return self.strikes("failed_puts")

    def create(self, key: str, data: bytes) -> object:
        return TAKEN if key in self.objects else self.write(key, data)

    def copy(self, source: str, target: str) -> object:
        return self.write(target, self.objects[source]) if source in self.objects else ABSENT

    def list(self, prefix: str) -> list[ObjectInfo]:
        """In key order; what was written just now may be missing."""
        found = []
        for key in sorted(self.objects):
            if key.startswith(prefix):
                young = self._kernel.now - self.born[key] < 5.0
                if young and self.strikes("list_lag"):
                    continue
                found.append(ObjectInfo(key, len(self.objects[key]), "1"))
        return found

    # Damage.

    def _rot(self, key: str) -> None:
        if self.is_rotten(key):
            self.damage(key, "flipped")
        elif ("/data/map-" in key and key.endswith("/map") and self.strikes("rot")) or (
            ("/commit/" in key or "/maps" in key) and self.strikes("journal_rot")
        ):
            self._rot_later(key)

    def is_rotten(self, key: str) -> bool:
        """Whether all that is stored there is damaged, for good."""
        rotten = self._plan.rotten
        return rotten is not None and f"/data/map-{rotten}/" in key and key.endswith("/map")

    def _rot_later(self, key: str) -> None:
        rng = self._kernel.rng
        how = rng.choice(("flipped", "cut short", "deleted"))
        self._kernel.after(rng.choice((0.0, rng.uniform(0, 10))), self.damage, key, how)

    def damage(self, key: str, how: str) -> None:
        """Once an object; the journal's own may only rot, since a missing one was never there."""
        data = self.objects.get(key, b"")
        unread = data_model.UNREAD if "/data/map-" in key else 0
        if len(data) <= unread or (self.calm and not self.is_rotten(key)):
            return
        if how == "deleted" and "/data/" in key:
            del self.objects[key]
        elif how == "cut short":
            self.objects[key] = data[: int(self._kernel.rng.random() * len(data))]
        else:
            position = unread + int(self._kernel.rng.random() * (len(data) - unread))
            flipped = data[position] ^ 1 << self._kernel.rng.randrange(8)
            self.objects[key] = data[:position] + bytes([flipped]) + data[position + 1 :]
        self.damaged[key] = how
        self.faults["damage"] += 1


class Client:
    """The store as one process sees it; call it from threads of that process."""

    url = "sim:"

    def __init__(
        self,
        server: Server,
        cut: Callable[[], bool] = lambda: False,
        danger: Callable[[], None] = lambda: None,
    ) -> None:
        """cut: whether the process cannot reach the store now. danger: called at each request."""
        self._server = server
        self._cut = cut
        self._danger = danger

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        found = self._try("read", key, lambda: self._server.objects.get(key, ABSENT))
        data: bytes = self._present(key, found)
        return data[start:] if length is None else data[start : start + length]

    def info(self, key: str) -> ObjectInfo:
        found = self._try("read", key, lambda: self._server.objects.get(key, ABSENT))
        return ObjectInfo(key, len(self._present(key, found)), "1")

    def put(self, key: str, data: bytes) -> None:
        self._try("write", key, lambda: self._server.write(key, data))

    def put_file(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def put_pieces(self, key: str, pieces: Pieces, size: int) -> None:
        self.put(key, b"".join(pieces()))

    def create(self, key: str, data: bytes) -> bool:
        while True:
            if self._try("create", key, lambda: self._server.create(key, data)) is not TAKEN:
                return True
            stored = self._try("read", key, lambda: self._server.objects.get(key, ABSENT))
            if stored is not ABSENT:
                return bool(stored == data)

    def copy(self, source: str, target: str) -> None:
        self._present(source, self._try("copy", source, lambda: self._server.copy(source, target)))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found: list[ObjectInfo] = self._try("list", prefix, lambda: self._server.list(prefix))
        return iter(found)

    def delete(self, prefix: str) -> int:
        raise AssertionError(f"nothing of a run deletes {prefix}")

    def local_path(self, key: str) -> Path | None:
        return None

    def _present(self, key: str, found: Any) -> Any:
        if found is ABSENT:
            raise KeyError(key)
        return found

    def _try(self, action: str, key: str, step: Callable[[], object]) -> Any:
        kernel = current().process.kernel
        deadline, pause = kernel.now + RETRY_SECONDS, FIRST_PAUSE
        first = True
        while True:
            if action in WRITES and self._server.strikes("slow_puts"):
                sleep(kernel.rng.uniform(1, 25))
            answer = self._request(step, lose=first and self._server.lose_first_answers)
            first = False
            if answer is FULL:
                raise StorageError(f"cannot {action} {key} in {self.url}: no room, or no right")
            if answer is not LOST and answer is not REFUSED:
                return answer
            if kernel.now + pause > deadline:
                raise StorageError(f"cannot {action} {key} in {self.url}: no answer in time")
            sleep(pause * kernel.rng.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _request(self, step: Callable[[], object], *, lose: bool) -> object:
        server, thread = self._server, current()
        server.requests += 1
        number = server.requests
        if lose:
            server.lost_answers.add(number)
        if not server.at_request(number):
            return block(thread)  # the process is dead, and nothing was sent
        self._danger()
        if self._cut() or server.strikes("lost_requests"):
            sleep(TIMEOUT)
            return LOST
        thread.process.kernel.after(server.latency(), self._serve, number, thread, step)
        return block(thread)

    def _serve(self, number: int, thread: Any, step: Callable[[], object]) -> None:
        """At the server: whatever has become of the process that asked."""
        server = self._server
        answer = step() if server.reachable() else REFUSED
        lost = number in server.lost_answers or server.strikes("lost_acks")
        if lost or self._cut():
            thread.process.after(TIMEOUT, thread.resume, LOST)
        else:
            thread.process.after(server.latency(), thread.resume, answer)
