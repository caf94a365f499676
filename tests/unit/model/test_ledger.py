"""The books of a run: what balances and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gomr_runtime.laws.books import Facts, check_books
from gomr_runtime.model.task import Ledger

pytestmark = pytest.mark.usefixtures("engine")

GOOD = Ledger(
    records_read=10, bytes_read=100, mapped=7, skipped=2, set_aside=1,
    map_out=20, combine_in=18, combine_out=5, written=7, reduce_in=7,
    reduce_groups=3, reduce_out=3,
)  # fmt: skip
FACTS = Facts(map_only=False, input_bytes=100, part_records=3)


def test_balanced_books_have_no_differences() -> None:
    assert check_books(GOOD, FACTS) == []


def test_without_a_combiner_everything_emitted_is_written() -> None:
    plain = replace(GOOD, combine_in=0, combine_out=0, written=20, reduce_in=20)
    assert check_books(plain, FACTS) == []


def test_combining_in_several_rounds_balances() -> None:
    # 20 emitted, combined to 8 in spills, those 8 to 5 in the merge.
    rounds = replace(GOOD, combine_in=28, combine_out=13, written=5, reduce_in=5)
    assert check_books(rounds, FACTS) == []


def test_a_map_only_job_writes_its_pairs_into_the_parts() -> None:
    ledger = replace(GOOD, reduce_in=0, reduce_groups=0, reduce_out=0)
    assert check_books(ledger, Facts(True, 100, 7)) == []
    assert check_books(ledger, Facts(True, 100, 6)) == ["pairs written 7 != records in the parts 6"]


@pytest.mark.parametrize(
    ("field", "difference"),
    [
        ("records_read", "records read 11 != mapped + skipped + set aside 10"),
        ("mapped", "records read 10 != mapped + skipped + set aside 11"),
        ("set_aside", "records read 10 != mapped + skipped + set aside 11"),
        ("bytes_read", "bytes read 101 != bytes of the input files 100"),
        ("map_out", "pairs emitted less those combined away 8 != pairs written 7"),
        ("combine_in", "pairs emitted less those combined away 6 != pairs written 7"),
        ("combine_out", "pairs emitted less those combined away 8 != pairs written 7"),
        ("reduce_in", "pairs written 7 != pairs read by reducers 8"),
        ("reduce_out", "records reduced 4 != records in the parts 3"),
    ],
)
def test_one_too_many_is_found_wherever_it_is(field: str, difference: str) -> None:
    wrong = replace(GOOD, **{field: getattr(GOOD, field) + 1})
    assert check_books(wrong, FACTS) == [difference]
