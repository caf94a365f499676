"""The books of a run: whatever was read went somewhere, whatever is in the output came from there.

records read  = mapped + skipped + set aside
bytes read    = bytes of the input files
pairs emitted = pairs combined away + pairs in the map output
map output    = pairs read by the reducers
parts         = records the reducers wrote (map-only: pairs in the map output)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gomr_runtime.model.task import Ledger, TaskKind


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books must agree with, known without reading a record.

    input_bytes: the sum of the input files' sizes as stored. part_records: the sum over the
    output's parts.
    """

    map_only: bool
    input_bytes: int
    part_records: int


def check_books(ledger: Ledger, facts: Facts) -> list[str]:
    """Every difference in words; an empty list when the books balance."""
    used = ledger.mapped + ledger.skipped + ledger.set_aside
    # Pairs may be combined in several rounds, or not at all (floats are not summed early), so the
    # law is about what combining took away.
    kept = ledger.map_out - (ledger.combine_in - ledger.combine_out)
    claims = [
        ("records read", ledger.records_read, "mapped + skipped + set aside", used),
        ("pairs emitted less those combined away", kept, "pairs written", ledger.written),
        ("bytes read", ledger.bytes_read, "bytes of the input files", facts.input_bytes),
    ]
    if facts.map_only:
        claims.append(("pairs written", ledger.written, "records in the parts", facts.part_records))
    else:
        claims += [
            ("pairs written", ledger.written, "pairs read by reducers", ledger.reduce_in),
            ("records reduced", ledger.reduce_out, "records in the parts", facts.part_records),
        ]
    return _differences(claims)


def check_task(ledger: Ledger, kind: TaskKind, part_records: int | None) -> list[str]:
    """Every difference in the books of one task, as `check_books`: those of a run are their sum.

    Args:
        part_records: Of the part that the task wrote; None where it wrote none.
    """
    if kind == "sample":
        return [] if ledger == Ledger() else ["a sample task counts nothing"]
    own = Ledger(
        reduce_in=ledger.reduce_in, reduce_groups=ledger.reduce_groups, reduce_out=ledger.reduce_out
    )
    if kind == "reduce":
        claims = [
            ("records reduced", ledger.reduce_out, "records in the part", part_records),
            ("keys above pairs", max(0, ledger.reduce_groups - ledger.reduce_in), "none", 0),
        ]
        return [*([] if ledger == own else ["a reduce task maps nothing"]), *_differences(claims)]
    used = ledger.mapped + ledger.skipped + ledger.set_aside
    kept = ledger.map_out - (ledger.combine_in - ledger.combine_out)
    claims = [
        ("records read", ledger.records_read, "mapped + skipped + set aside", used),
        ("pairs emitted less those combined away", kept, "pairs written", ledger.written),
        ("pairs reduced", ledger.reduce_in + ledger.reduce_groups, "none", 0),
        ("records in a part", ledger.reduce_out, "records in the part", part_records or 0),
    ]
    if part_records is not None:
        claims.append(("pairs written", ledger.written, "records in the part", part_records))
    return _differences(claims)


def _differences(claims: Sequence[tuple[str, int, str, int | None]]) -> list[str]:
    return [f"{a} {x} != {b} {y}" for a, x, b, y in claims if x != y]
