"""What is counted for a key while an account is read."""

from __future__ import annotations

import sys

from orwatch.jobs.sync.account_reader import Tally
from orwatch.store.ledger.write import WriteCounts


def written(*cells: tuple[int, int, int, int], replaced: int = 0) -> WriteCounts:
    """A write of these cells, of which the first ``replaced`` were stored before."""
    return WriteCounts(len(cells), 0, 0, frozenset(cells), frozenset(cells[:replaced]))


def test_a_row_that_this_run_has_written_before_counts_once() -> None:
    tally = Tally()
    tally.add_counts(written((20_000, 1, 2, 3), (20_000, 1, 2, 4)))
    for _ in range(2):
        tally.add_counts(written((20_000, 1, 2, 3), replaced=1))
        assert (tally.counts.rows_written, tally.counts.rows_removed) == (2, 0)
    tally.add_counts(WriteCounts(rows_removed=1, replaced=frozenset({(20_000, 1, 2, 4)})))
    assert (tally.counts.rows_written, tally.counts.rows_removed) == (1, 0)


def test_what_is_remembered_of_a_row_takes_few_bytes() -> None:
    tally = Tally()
    for day in range(20_000, 20_030):
        tally.add_counts(written(*((day, 1, model, 2**31 - 1) for model in range(100))))
    assert sys.getsizeof(tally.fresh) < 3_000 * 20
