"""Sums of the ledger and what is known about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.models import Totals
from orwatch.store import retention, usage_reads
from orwatch.store.database import Connection, Store
from orwatch.store.usage_reads import Grouping, LedgerExtent, UsageFilter, UsageSum
from tests.store.support import add_key, write
from tests.support import TODAY, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)
OCTOBER = date(2026, 10, 1)
EVERYTHING = UsageFilter(date(2020, 1, 1), date(2030, 1, 1))


@pytest.fixture
def filled(store: Store) -> Iterator[Connection]:
    """Two keys, three models (ids 1 to 3), one provider (id 1)."""
    for key_id in (add_key(store, "one").id, add_key(store, "two").id):
        write(
            store,
            usage_answer(
                usage_row(YESTERDAY, "a", cost="1"),
                usage_row(TODAY, "a", cost="2"),
                usage_row(TODAY, "b", provider="azure", cost="1e-9"),
            ),
            key_id,
        )
    write(store, usage_answer(usage_row(OCTOBER, "c", requests=None, tokens_output=None, cost="5")), 2)
    with store.read() as connection:
        yield connection


def costs(sums: list[UsageSum]) -> dict[tuple[object, ...], str]:
    return {
        tuple(part for part in (row.day, row.key_id, row.model_id, row.provider_id) if part is not None): str(
            row.totals.cost_usd
        )
        for row in sums
    }


def test_everything_adds_up_to_one_exact_sum(filled: Connection) -> None:
    (total,) = usage_reads.sum_usage(filled, Grouping(), EVERYTHING)

    assert (total.day, total.key_id, total.model_id, total.provider_id) == (None, None, None, None)
    assert total.totals == Totals(30, 350, 750, Decimal("11.000000002"), Decimal("6.000000002"))


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (
            Grouping(by_day=True),
            {(OCTOBER,): "5", (YESTERDAY,): "2", (TODAY,): "4.000000002"},
        ),
        (Grouping(by_key=True), {(1,): "3.000000001", (2,): "8.000000001"}),
        (Grouping(by_model=True), {(1,): "6", (2,): "2E-9", (3,): "5"}),
        (Grouping(by_provider=True), {(0,): "11", (1,): "2E-9"}),
        (
            Grouping(by_key=True, by_model=True),
            {(1, 1): "3", (1, 2): "1E-9", (2, 1): "3", (2, 2): "1E-9", (2, 3): "5"},
        ),
    ],
)
def test_sums_are_grouped_as_asked(
    filled: Connection, grouping: Grouping, expected: dict[tuple[object, ...], str]
) -> None:
    assert costs(usage_reads.sum_usage(filled, grouping, EVERYTHING)) == expected


def test_every_dimension_at_once_gives_the_rows_themselves(filled: Connection) -> None:
    sums = usage_reads.sum_usage(filled, Grouping(True, True, True, True), EVERYTHING)

    assert len(sums) == 7
    assert UsageSum(OCTOBER, 2, 3, 0, Totals(None, 50, None, Decimal(5), None)) in sums


@pytest.mark.parametrize(
    ("wanted", "cost"),
    [
        (UsageFilter(TODAY, TODAY), "4.000000002"),
        (UsageFilter(YESTERDAY, YESTERDAY), "2"),
        (UsageFilter(OCTOBER, YESTERDAY, key_ids=(1,)), "1"),
        (UsageFilter(OCTOBER, TODAY, model_ids=(2, 3)), "5.000000002"),
        (UsageFilter(OCTOBER, TODAY, key_ids=(1, 2), model_ids=(1,)), "6"),
    ],
)
def test_only_rows_that_fit_the_filter_count(filled: Connection, wanted: UsageFilter, cost: str) -> None:
    assert costs(usage_reads.sum_usage(filled, Grouping(), wanted)) == {(): cost}


@pytest.mark.parametrize("grouping", [Grouping(), Grouping(by_key=True)])
@pytest.mark.parametrize(
    "wanted",
    [
        UsageFilter(date(2025, 1, 1), date(2025, 1, 2)),
        UsageFilter(OCTOBER, TODAY, key_ids=()),
        UsageFilter(OCTOBER, TODAY, model_ids=()),
    ],
)
def test_no_rows_make_no_sum(filled: Connection, grouping: Grouping, wanted: UsageFilter) -> None:
    assert usage_reads.sum_usage(filled, grouping, wanted) == []


def test_months_are_summed_by_their_first_days(store: Store) -> None:
    add_key(store)
    days = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1)]
    write(store, usage_answer(*(usage_row(day, cost="1") for day in days)))
    with store.read() as connection:
        assert not usage_reads.has_months(connection)
    for day in days:
        with store.write() as connection:
            retention.move_day_to_months(connection, day)

    with store.read() as connection:
        assert usage_reads.has_months(connection)
        wanted = UsageFilter(date(2026, 10, 1), date(2026, 11, 15))
        sums = usage_reads.sum_months(connection, Grouping(by_day=True), wanted)

    assert costs(sums) == {(OCTOBER,): "2", (date(2026, 11, 1),): "1"}


def test_a_day_is_covered_when_any_wanted_key_was_read(filled: Connection) -> None:
    assert usage_reads.covered_days(filled, EVERYTHING) == {OCTOBER, YESTERDAY, TODAY}
    wanted = UsageFilter(OCTOBER, YESTERDAY, key_ids=(1,))
    assert usage_reads.covered_days(filled, wanted) == {YESTERDAY}
    assert usage_reads.covered_days(filled, UsageFilter(OCTOBER, TODAY, key_ids=())) == set()


def test_nothing_is_known_of_a_new_database(store: Store) -> None:
    with store.read() as connection:
        assert usage_reads.first_known_day(connection) is None
        assert usage_reads.ledger_extent(connection) == LedgerExtent(0, None, None)
        assert usage_reads.model_names(connection) == {0: None}
        assert usage_reads.provider_names(connection) == {0: None}


def test_the_extent_is_of_the_ledger(filled: Connection) -> None:
    assert usage_reads.ledger_extent(filled) == LedgerExtent(7, OCTOBER, TODAY)
    assert usage_reads.model_names(filled) == {0: None, 1: "a", 2: "b", 3: "c"}
    assert usage_reads.provider_names(filled) == {0: None, 1: "azure"}


def test_the_first_known_day_is_of_a_row_a_read_day_or_a_month(store: Store) -> None:
    add_key(store)
    first_days = []
    for answer in (
        usage_answer(usage_row(TODAY)),
        usage_answer(since=YESTERDAY, until=TODAY),
        usage_answer(usage_row(date(2026, 10, 20))),
    ):
        write(store, answer)
        with store.read() as connection:
            first_days.append(usage_reads.first_known_day(connection))
    with store.write() as connection:
        retention.move_day_to_months(connection, date(2026, 10, 20))
    with store.read() as connection:
        first_days.append(usage_reads.first_known_day(connection))

    assert first_days == [TODAY, YESTERDAY, date(2026, 10, 20), OCTOBER]
