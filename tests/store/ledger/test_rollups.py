"""The totals by day and month: exact whatever changes, checked, and added up anew."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import model_names, retention, rollups, spans
from orwatch.store.ledger import write as ledger
from tests.store.support import add_key, dump, execute, write
from tests.support import TODAY, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)
SEPTEMBER, OCTOBER, NOVEMBER = date(2026, 9, 30), date(2026, 10, 31), date(2026, 11, 1)
TOTALS = ("usage_by_key", "usage_by_model", "usage_months")


def wrong(store: Store) -> tuple[set[date], set[date]]:
    with store.read() as connection:
        kept_from = ledger.kept_from(connection)
        return rollups.wrong_days(connection), rollups.check_months(connection, kept_from).wrong


def rebuild(store: Store) -> None:
    with store.write() as connection:
        rollups.rebuild(connection, ledger.kept_from(connection))


@pytest.fixture
def filled(store: Store) -> Store:
    """Two keys that use the same models on the same days of three months."""
    for name in ("one", "two"):
        rows = [
            usage_row(day, model, provider=provider, requests=requests)
            for day in (SEPTEMBER, OCTOBER, NOVEMBER, TODAY)
            for model, provider, requests in (("a", None, 1), ("a", "azure", None), ("b", None, 2))
        ]
        write(store, usage_answer(*rows), add_key(store, name).id)
    return store


def test_totals_that_are_right_are_found_right(filled: Store) -> None:
    assert wrong(filled) == (set(), set())


def test_nothing_is_wrong_with_an_empty_ledger(store: Store) -> None:
    assert wrong(store) == (set(), set())


def test_a_key_that_is_purged_leaves_the_totals_of_the_others(filled: Store) -> None:
    with filled.write() as connection:
        stored_keys.purge_key(connection, 1)

    assert wrong(filled) == (set(), set())
    assert {row[1] for row in dump(filled, "usage_by_key")} == {2}
    assert len(dump(filled, "usage_by_model")) == 12


def test_the_last_key_that_is_purged_leaves_no_totals(filled: Store) -> None:
    with filled.write() as connection:
        stored_keys.purge_key(connection, 1)
        stored_keys.purge_key(connection, 2)

    assert [dump(filled, table) for table in TOTALS] == [[], [], []]


def test_models_that_become_one_are_added_up_in_the_totals_too(filled: Store) -> None:
    with filled.write() as connection:
        retention.remove_day(connection, SEPTEMBER)
        retention.remove_day(connection, OCTOBER)
    with filled.write() as connection:
        model_names.record_names(connection, {"a": "b"})

    assert wrong(filled) == (set(), set())
    with filled.read() as connection:
        months = connection.exec_driver_sql(
            "SELECT sum(row_count), sum(cost_nano), count(DISTINCT model_id) FROM usage_months GROUP BY month"
        )
        # Of the days that are kept two rows of each key have become one.
        assert sorted(map(tuple, months)) == [(6, 90_000_000, 1), (6, 90_000_000, 1), (8, 180_000_000, 1)]


def test_a_span_that_swallows_days_takes_them_out_of_the_totals(filled: Store) -> None:
    with filled.write() as connection:
        spans.write_span(connection, 1, UsageSpan(OCTOBER, NOVEMBER, Decimal(9)), {NOVEMBER})

    assert wrong(filled) == (set(), set())
    assert len(dump(filled, "usage_stats")) == 21


@pytest.mark.parametrize("table", TOTALS)
@pytest.mark.parametrize("change", ["cost_nano = cost_nano + 1", "requests_reported = 0", "requests = NULL"])
def test_a_total_that_somebody_has_changed_is_found_and_added_up_anew(
    filled: Store, table: str, change: str
) -> None:
    before = [dump(filled, each) for each in TOTALS]
    column = "month" if table == "usage_months" else "date"
    execute(filled, f"UPDATE {table} SET {change} WHERE {column} = (SELECT max({column}) FROM {table})")

    found = {NOVEMBER} if table == "usage_months" else {TODAY}
    assert wrong(filled) == ((set(), found) if table == "usage_months" else (found, set()))

    rebuild(filled)
    assert [dump(filled, each) for each in TOTALS] == before


@pytest.mark.parametrize("table", TOTALS)
def test_a_total_that_is_missing_is_found_and_added_up_anew(filled: Store, table: str) -> None:
    before = [dump(filled, each) for each in TOTALS]
    execute(filled, f"DELETE FROM {table}")
    assert wrong(filled) != (set(), set())

    rebuild(filled)
    assert [dump(filled, each) for each in TOTALS] == before


def test_a_total_without_a_ledger_is_found_and_goes(filled: Store) -> None:
    execute(filled, "DELETE FROM usage_stats")
    assert wrong(filled) == (
        {SEPTEMBER, OCTOBER, NOVEMBER, TODAY},
        {date(2026, 9, 1), date(2026, 10, 1), NOVEMBER},
    )

    rebuild(filled)
    assert [dump(filled, each) for each in TOTALS] == [[], [], []]


def test_months_that_cleanup_has_cut_are_neither_judged_nor_added_up_anew(filled: Store) -> None:
    for day in (SEPTEMBER, OCTOBER, NOVEMBER):
        with filled.write() as connection:
            retention.remove_day(connection, day)
    before = dump(filled, "usage_months")
    assert wrong(filled) == (set(), set())

    rebuild(filled)
    assert dump(filled, "usage_months") == before


def test_the_first_month_after_the_watermark_is_judged(filled: Store) -> None:
    for day in (SEPTEMBER, OCTOBER):
        with filled.write() as connection:
            retention.remove_day(connection, day)
    execute(filled, "UPDATE usage_months SET cost_nano = 0")

    assert wrong(filled) == (set(), {NOVEMBER})


def test_a_day_that_is_told_again_and_has_grown_leaves_what_it_and_its_span_have_cost(store: Store) -> None:
    add_key(store)
    days = [TODAY - timedelta(days=age) for age in (4, 3, 2)]

    def tell(day: date, cost: str) -> None:
        row = usage_row(day, cost=cost)
        answer = usage_answer(row)
        write(store, type(answer)(UsageSource.ANALYTICS, day, day, answer.rows))

    def total() -> int:
        return sum(row[9] for row in dump(store, "usage_stats")) + sum(
            row[3] for row in dump(store, "usage_spans")
        )

    tell(days[0], "4")
    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days[0], days[2], Decimal(12)), {days[0]})
    assert total() == 12 * 10**9

    for cost in ("7", "6", "8"):
        tell(days[0], cost)
        assert total() == 12 * 10**9

    tell(days[1], "1")
    assert total() == 12 * 10**9
    tell(days[2], "3")
    assert dump(store, "usage_spans") == []
    assert total() == 12 * 10**9
