"""What the master keeps in the store: there is no other truth, a restarted master replays it.

Every method blocks on the store; the driver calls them in threads.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gomr_runtime.codec import checked
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import Mismatch, take
from gomr_runtime.errors import (
    CorruptBlock,
    EnvironmentFailed,
    JobFailed,
    RunConflict,
    StorageError,
)
from gomr_runtime.laws.results import asked_of, wrong_result
from gomr_runtime.master.core.plan import Manifest, Plan, Unfinished
from gomr_runtime.master.core.records import (
    Mark,
    PlanRecord,
    decode_attempt,
    encode_plan,
)
from gomr_runtime.master.typed_parts import typed_parts
from gomr_runtime.model import layout
from gomr_runtime.model.ids import TaskId
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import ColumnType, MapOutput
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.parallel import Several
from gomr_runtime.storage.stored_run import read_job
from gomr_runtime.storage.success import check_parts, promote

T = TypeVar("T")


class Journal:
    """One run's records in the store, as the master with one epoch sees them."""

    def __init__(
        self,
        store: Store,
        run: str,
        *,
        nonce: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.time,
        several: Several = map,
    ) -> None:
        """nonce: never the same twice. clock: seconds, as far as machines agree on the time.
        several: how thousands of objects are gone through."""
        self.store = store
        self.run = run
        self.epoch = 0
        self._nonce = nonce
        self._clock = clock
        self._several = several
        self._first_epoch = 1
        self._end: Mark | None = None
        self._job: JobSpec | None = None
        self._plan: Plan | None = None

    def read_job(self) -> JobSpec:
        try:
            job = read_job(self.store, self.run)
        except KeyError:
            raise EnvironmentFailed(
                f"run {self.run}: no {layout.job(self.run)} in {self.store.url}; "
                "start the run with the command, not the master alone"
            ) from None
        self._first_epoch = job.first_epoch
        self._job = job
        return job

    def take_epoch(self) -> int:
        """Become the newest master of this run; the number is nobody else's.

        The epochs are a log: each mark says that a master starts, or that the master before it
        decided how the run ends. After the end there is nothing to take: then `read_summary`
        tells it, and the epoch is that of the end.
        """
        number = self.newest_epoch()
        mark = checked.encode({"nonce": self._nonce(), "at": self._clock()})
        while not self._is_over(number):
            number += 1
            if self.store.create(layout.epoch(self.run, number), mark):
                break
        self.epoch = number
        return number

    def _is_over(self, number: int) -> bool:
        """Whether the run ended with this mark and was not opened again since."""
        end = self._read_end(number) if number else None
        if end is None:
            return False
        if number < self._first_epoch:  # resumed: only a complete run stays over
            complete = _succeeded(end) and self._has(layout.summary(self.run))
            end = end if complete else None
        self._end = end
        return end is not None

    def elapsed(self, first_epoch: int) -> float:
        """Seconds since that master started, by the clocks of the machines."""
        if self.epoch <= first_epoch:
            return 0.0
        first = self._load(layout.epoch(self.run, first_epoch), _mark)
        return max(0.0, self._clock() - first.at)

    def newest_epoch(self) -> int:
        keys = [found.key for found in self.store.list(layout.epochs(self.run))]
        return max(map(layout.epoch_number, keys), default=0)

    def check_epoch(self) -> None:
        """RunConflict when a newer master has taken over: this one must not act any more.
        EnvironmentFailed when the store no longer has what was put there."""
        newest = self.newest_epoch()
        if newest < self.epoch and not self._has(layout.epoch(self.run, self.epoch)):
            raise EnvironmentFailed(
                f"the data of run {self.run} is gone from {self.store.url}: somebody removed it, "
                "or the store lost it; start a new run"
            )
        ours = newest == self.epoch + 1 and self._read_end(newest) is not None
        if newest > self.epoch and not ours:
            raise self._replaced_by(newest)

    def _replaced_by(self, newer: int) -> RunConflict:
        return RunConflict(
            f"run {self.run}: master {newer} took over from master {self.epoch}; "
            "this one ends, the run goes on"
        )

    def read_plan(self, files: Sequence[InputFile]) -> Plan | None:
        try:
            found = self._load(layout.plan(self.run), partial(_decode_plan, files=files))
        except KeyError:
            return None
        self._plan = found
        return found

    def write_plan(self, plan: Plan, files: Sequence[InputFile]) -> Plan:
        """The run's plan: this one, or the one that another master wrote before."""
        content = encode_plan(plan.description, plan.splits, plan.sample)
        if not self.store.create(layout.plan(self.run), content):
            plan = self._load(layout.plan(self.run), partial(_decode_plan, files=files))
        self._plan = plan
        return plan

    def commit(self, manifest: Manifest) -> Manifest:
        """The manifest that stands for the task now: this one, or the one that was first.

        One that is there but damaged stands for nothing: the next generation begins after it.
        """
        while True:
            task = str(manifest.attempt.task)
            key = layout.commit(self.run, task, manifest.generation)
            if self.store.create(key, _encode_manifest(manifest)):
                return manifest
            try:
                winner = self._load(key, partial(self._manifest, key))
            except KeyError:
                raise StorageError(f"{key} in {self.store.url} was there and is gone") from None
            except CorruptBlock:
                manifest = replace(manifest, generation=manifest.generation + 1)
                continue
            if winner.epoch > self.epoch:
                self.check_epoch()
            return winner

    def read_commits(self) -> list[Manifest]:
        """The newest readable manifest of every task that has one."""
        newest: dict[TaskId, Manifest] = {}
        keys = (found.key for found in self.store.list(layout.commits(self.run)))
        for manifest in self._several(self._read_commit, keys):
            if manifest is None:
                continue
            task = manifest.attempt.task
            if task not in newest or newest[task].generation < manifest.generation:
                newest[task] = manifest
        return list(newest.values())

    def _read_commit(self, key: str) -> Manifest | None:
        """None when it is damaged: its task runs again."""
        try:
            return self._load(key, partial(self._manifest, key))
        except CorruptBlock:
            return None

    def _manifest(self, key: str, found: Any) -> Manifest:
        """The manifest that is stored there; ValueError when it is none, another task's, or says
        what no attempt of this run can have done."""
        manifest = _decode_manifest(found)
        task = manifest.attempt.task
        if key != layout.commit(self.run, str(task), manifest.generation):
            raise Mismatch(f"it is of {task}, generation {manifest.generation}")
        if self._plan is None or self._job is None:
            return manifest
        maps = len(self._plan.splits)
        tasks = {"sample": 1, "map": maps, "reduce": self._job.reducers}
        if task.index >= tasks[task.kind]:
            raise Mismatch(f"there is no {task}")
        asked = asked_of(task.kind, self._job, self._plan.description, maps)
        if words := wrong_result(manifest.result, asked):
            raise Mismatch(words)
        return manifest

    def seal_maps(self, maps: Sequence[MapOutput]) -> str:
        """The key under which exactly this list stands, never to be changed."""
        self.check_epoch()
        content = encode_maps(maps)
        for number in itertools.count():
            key = layout.maps(self.run, number)
            if self.store.create(key, content):
                return key
        raise AssertionError("counting does not end")

    def type_parts(self, parts: Sequence[Part], types: Sequence[ColumnType]) -> tuple[Part, ...]:
        """The parts, stored again with these types under keys of this master's own."""
        self.check_epoch()
        key_of = partial(layout.typed_part, self.run, self.epoch)
        return typed_parts(self.store, parts, types, key_of, self._several)

    def conclude(self, summary: Summary, sources: tuple[str, ...]) -> Summary:
        """Decide how the run ends; the decision that stands, carried out.

        It is the next mark of the log of epochs: nobody else can have made it but a newer master
        (RunConflict) or this one before. Only after that the parts, stored under `sources`, become
        the output; a master that starts when this one died meanwhile does the rest.
        """
        parts = [replace(p, key=s) for p, s in zip(summary.files, sources, strict=True)]
        check_parts(self.store, self.run, parts, self._several)
        key = layout.epoch(self.run, self.epoch + 1)
        end = Mark(self._nonce(), self._clock(), summary, sources)
        if not self.store.create(key, checked.encode(end)):
            found = self._read_end(self.epoch + 1)
            if found is None:
                raise self._replaced_by(self.newest_epoch())
            end = found
        assert end.end is not None
        try:
            self._make_output(end.end, end.sources)
        except StorageError as error:
            raise Unfinished(
                f"run {self.run} succeeded, but its output could not be made: {error}; resume it"
            ) from None
        return end.end

    def read_summary(self) -> Summary | None:
        """How the run ended; None when it goes on. What the end left to do is done."""
        if self._end is None or self._end.end is None:
            return None
        summary = self._end.end
        self._make_output(summary, self._end.sources)
        if not self._has(layout.summary(self.run)):
            self.write_summary(summary)
        return summary

    def write_summary(self, summary: Summary) -> None:
        """For whoever asks when no master is there; the decision is in the log of epochs."""
        self.store.put(layout.summary(self.run), to_json(summary))

    def _make_output(self, summary: Summary, sources: tuple[str, ...]) -> None:
        if summary.state != "succeeded":
            return
        files = [replace(f, key=s) for f, s in zip(summary.files, sources, strict=True)]
        parts, set_aside = files[: len(summary.parts)], files[len(summary.parts) :]
        ledger, counters = summary.ledger, summary.counters
        try:
            promote(self.store, self.run, parts, ledger, counters, self._several, set_aside)
        except RunConflict as error:  # not a newer master: another result stands there
            raise JobFailed(str(error)) from None

    def _read_end(self, number: int) -> Mark | None:
        """The end that this mark of the log is; None when a master started there."""
        mark = self._load(layout.epoch(self.run, number), _mark)
        return mark if mark.end is not None else None

    def _has(self, key: str) -> bool:
        try:
            self.store.info(key)
        except KeyError:
            return False
        return True

    def _load(self, key: str, read: Callable[[Any], T]) -> T:
        """What `read` makes of a stored record; CorruptBlock when it is damaged or not what belongs
        there, KeyError when it is not there."""
        data = self.store.get(key)
        try:
            return read(checked.decode(data))
        except ValueError as error:
            raise CorruptBlock(
                f"{key} in {self.store.url} is damaged: {error}; start a new run"
            ) from None


def _mark(found: Any) -> Mark:
    return take(Mark, found)


def _succeeded(mark: Mark) -> bool:
    return mark.end is not None and mark.end.state == "succeeded"


def _decode_plan(found: Any, files: Sequence[InputFile]) -> Plan:
    record = take(PlanRecord, found)
    for split in (record.sample, *record.splits):
        Pieces(files, split)  # refuses ranges of other files
    return Plan(record.description, record.splits, record.sample)


def _encode_manifest(manifest: Manifest) -> bytes:
    attempt = manifest.attempt
    return checked.encode(
        {
            "epoch": manifest.epoch,
            "generation": manifest.generation,
            "task": [attempt.task.kind, attempt.task.index],
            "attempt": attempt.attempt,
            "nonce": manifest.nonce,
            "result": manifest.result,
        }
    )


def _decode_manifest(found: Any) -> Manifest:
    attempt, record = decode_attempt(found)
    return Manifest(record.epoch, attempt, record.nonce, record.result, record.generation)
