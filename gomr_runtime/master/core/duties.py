"""What a master asks of the store: one blocking call each, run in a thread, answered later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gomr_runtime.errors import GomrError
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import ColumnType, MapOutput


class Records(Protocol):
    """Where a master keeps what a run comes to: the `Journal`, or what a test has in its place."""

    def commit(self, manifest: Manifest) -> Manifest: ...
    def seal_maps(self, maps: Sequence[MapOutput]) -> str: ...
    def type_parts(
        self, parts: Sequence[Part], types: Sequence[ColumnType]
    ) -> tuple[Part, ...]: ...
    def conclude(self, summary: Summary, sources: tuple[str, ...]) -> Summary: ...
    def write_summary(self, summary: Summary) -> None: ...


@dataclass(frozen=True, slots=True)
class Commit:
    """Create the manifest; answered by the one that stands."""

    attempt: AttemptId
    manifest: Manifest

    def run(self, records: Records) -> Manifest:
        return records.commit(self.manifest)


@dataclass(frozen=True, slots=True)
class Seal:
    """Store the list of map outputs; answered by its key."""

    outputs: tuple[MapOutput, ...]

    def run(self, records: Records) -> str:
        return records.seal_maps(self.outputs)


@dataclass(frozen=True, slots=True)
class TypeParts:
    """Store parts again with the types that their columns have in other parts; answered by them,
    in the same order."""

    parts: tuple[Part, ...]
    types: tuple[ColumnType, ...]

    def run(self, records: Records) -> tuple[Part, ...]:
        return records.type_parts(self.parts, self.types)


@dataclass(frozen=True, slots=True)
class Conclude:
    """Decide how the run ends and, if it ends well, make its output of the parts stored under
    `sources`; answered by the decision that stands, which may be an earlier one."""

    summary: Summary
    sources: tuple[str, ...] = ()

    def run(self, records: Records) -> Summary:
        return records.conclude(self.summary, self.sources)


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """Store what the run's end was, for whoever asks later."""

    summary: Summary

    def run(self, records: Records) -> None:
        records.write_summary(self.summary)


Duty = Commit | Seal | TypeParts | Conclude | WriteSummary
Answer = Manifest | Summary | tuple[Part, ...] | str | GomrError | None
