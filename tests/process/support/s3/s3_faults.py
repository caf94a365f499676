"""What can go wrong between a client and an S3 server, and rules that say when. All are seeded."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tests.process.support.s3.s3_http import Kind, Request

Act = Literal["drop", "reset", "lose", "cut", "hang", "status", "short", "delay", "forget", "skew"]


@dataclass(frozen=True, slots=True)
class Fault:
    """act, and how much of it:

    drop     the connection closes before the server sees the request
    reset    the same by RST
    lose     the server acts, its answer is lost
    cut      the server acts, half of its answer comes
    hang     accepted, never answered
    status   answered with HTTP status `amount`, the server sees nothing
    short    the server sees half of the body, then the end of the connection
    delay    `amount` seconds before the server sees it
    forget   the server sees it without If-None-Match, as one that does not know it
    skew     sent by a clock that is wrong by `amount` hours
    """

    act: Act
    amount: float = 0.0


Rule = Callable[[Request], Fault | None]
"""What befalls this request; asked once for each, in the order in which they come."""

DROP, RESET, LOSE, CUT, HANG = (Fault(act) for act in ("drop", "reset", "lose", "cut", "hang"))
BUSY, BROKEN, INCOMPLETE = (Fault("status", status) for status in (503, 500, 400))
SHORT, FORGET = Fault("short"), Fault("forget")


def nothing(_: Request) -> Fault | None:
    return None


def always(fault: Fault, *kinds: Kind) -> Rule:
    """kinds: none for every kind, here and below."""
    return lambda request: fault if _is(request, kinds) else None


def spend(faults: Iterable[Fault], *kinds: Kind) -> Rule:
    """One fault a request until they are spent."""
    left, lock = list(faults), threading.Lock()

    def rule(request: Request) -> Fault | None:
        with lock:
            return left.pop(0) if left and _is(request, kinds) else None

    return rule


def once_each(fault: Fault, *kinds: Kind) -> Rule:
    """The first request of every kind for every key, and for every part and page of it."""
    seen: set[tuple[str, ...]] = set()
    lock = threading.Lock()

    def rule(request: Request) -> Fault | None:
        with lock:
            same = (request.kind, request.key, *_place_in(request))
            if same in seen or not _is(request, kinds):
                return None
            seen.add(same)
            return fault

    return rule


def share(seed: int, percent: int, faults: Iterable[Fault], *kinds: Kind) -> Rule:
    """Exactly `percent` of every hundred requests, of each ten where it can be, one of `faults`."""
    dice, choices = random.Random(seed), tuple(faults)
    block: list[bool] = []
    lock = threading.Lock()

    def rule(request: Request) -> Fault | None:
        if not _is(request, kinds):
            return None
        with lock:
            if not block:
                size = 10 if percent % 10 == 0 else 100
                hits = percent * size // 100
                block.extend([True] * hits + [False] * (size - hits))
                dice.shuffle(block)
            return dice.choice(choices) if block.pop() else None

    return rule


def _place_in(request: Request) -> list[str]:
    names = ("partNumber", "prefix", "start-after", "continuation-token")
    return [value for name in names for value in request.query.get(name, [""])]


def _is(request: Request, kinds: tuple[Kind, ...]) -> bool:
    return not kinds or request.kind in kinds


class Record:
    """What came and what befell it; for assertions that faults did land."""

    def __init__(self) -> None:
        self.requests: Counter[Kind] = Counter()
        self.landed: Counter[Act] = Counter()
        self.landed_on: Counter[Kind] = Counter()
        self.created: Counter[str] = Counter()  # keys that a create-only put made
        self._lock = threading.Lock()

    def came(self, request: Request) -> None:
        with self._lock:
            self.requests[request.kind] += 1

    def befell(self, request: Request, fault: Fault) -> None:
        with self._lock:
            self.landed[fault.act] += 1
            self.landed_on[request.kind] += 1

    def answered(self, request: Request, status: int) -> None:
        if request.kind == "create" and status == 200:
            with self._lock:
                self.created[request.key] += 1
