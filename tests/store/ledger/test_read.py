"""Sums of the ledger and what is known about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.domain.money import to_nano
from orwatch.domain.usage import Totals
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.read import Grouping, LedgerExtent, UsageFilter, UsageSum
from orwatch.store.schema import api_keys, ledger_state, models, providers
from tests.store.support import add_key, write
from tests.support import NOW, TODAY, examples, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)
OCTOBER = date(2026, 10, 1)
EVERY_DIMENSION = Grouping(by_day=True, by_key=True, by_model=True, by_provider=True)
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
    sums = usage_reads.sum_usage(filled, EVERY_DIMENSION, EVERYTHING)

    assert len(sums) == 7
    assert UsageSum(OCTOBER, 2, 3, 0, 1, Totals(None, 50, None, Decimal(5), None)) in sums


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


def test_months_are_summed_by_their_first_days_whether_cleanup_has_removed_them_or_not(store: Store) -> None:
    add_key(store)
    days = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1), TODAY]
    write(store, usage_answer(*(usage_row(day, cost="1") for day in days)))
    wanted = UsageFilter(date(2026, 10, 1), date(2026, 11, 15))
    expected = {(OCTOBER,): "2", (date(2026, 11, 1),): "2"}
    for day in (None, *days):
        if day is not None:
            with store.write() as connection:
                retention.remove_day(connection, day)
        with store.read() as connection:
            assert costs(usage_reads.sum_months(connection, Grouping(by_month=True), wanted)) == expected


def test_the_months_that_cleanup_cut_are_told_with_the_keys_that_lost_days(store: Store) -> None:
    for name, day in (("one", date(2026, 9, 30)), ("two", date(2026, 10, 5)), ("three", date(2026, 10, 6))):
        write(store, usage_answer(usage_row(day), usage_row(TODAY)), add_key(store, name).id)
    with store.read() as connection:
        assert usage_reads.removed_months(connection, EVERYTHING) == {}
    for day in (date(2026, 9, 30), date(2026, 10, 5)):
        with store.write() as connection:
            retention.remove_day(connection, day)

    with store.read() as connection:
        assert usage_reads.removed_months(connection, EVERYTHING) == {date(2026, 9, 1): {1}, OCTOBER: {2}}
        of_one = UsageFilter(OCTOBER, TODAY, key_ids=(1, 3))
        assert usage_reads.removed_months(connection, of_one) == {}


GROUPINGS = [
    Grouping(*(bool(number >> bit & 1) for bit in range(5))) for number in range(32) if number & 3 != 3
]


def in_python(rows: list[tuple[date, int, int, int, int | None, int]], grouping: Grouping) -> dict[Any, Any]:
    """The sums of the ledger as simply as can be: requests, cost, rows."""
    found: dict[Any, Any] = {}
    for day, key_id, model_id, provider_id, requests, cost in rows:
        group = (
            day if grouping.by_day else day.replace(day=1) if grouping.by_month else None,
            key_id if grouping.by_key else None,
            model_id if grouping.by_model else None,
            provider_id if grouping.by_provider else None,
        )
        before = found.get(group, (None, 0, 0))
        known = [number for number in (before[0], requests) if number is not None]
        found[group] = (sum(known) if known else None, before[1] + cost, before[2] + 1)
    return found


@given(
    rows=st.dictionaries(
        st.tuples(
            st.dates(date(2026, 8, 28), date(2026, 11, 3)),
            st.integers(1, 2),
            st.integers(1, 3),
            st.integers(0, 1),
        ),
        st.tuples(st.none() | st.integers(0, 3), st.integers(0, 9)),
        max_size=12,
    ),
    window=st.tuples(*[st.dates(date(2026, 8, 25), date(2026, 11, 6))] * 2),
    key_ids=st.none() | st.sets(st.integers(1, 2)),
    model_ids=st.none() | st.sets(st.integers(1, 3)),
    kept_from=st.none() | st.dates(date(2026, 8, 28), date(2026, 11, 3)),
)
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_are_those_of_the_ledger_whatever_totals_they_are_read_from(
    store: Store,
    rows: dict[tuple[date, int, int, int], tuple[int | None, int]],
    window: tuple[date, date],
    key_ids: set[int] | None,
    model_ids: set[int] | None,
    kept_from: date | None,
) -> None:
    with store.write() as connection:
        for number in (1, 2):
            if stored_keys.find_by_hash(connection, hash_secret(str(number))) is not None:
                stored_keys.purge_key(connection, number)
            connection.execute(
                api_keys.insert().values(
                    id=number,
                    name=str(number),
                    key_hash=hash_secret(str(number)),
                    hint="",
                    is_active=True,
                    created_at=NOW,
                    kind="unknown",
                )
            )
        connection.execute(ledger_state.update().values(kept_from=None))
        ledger.name_ids(connection, models, {"1", "2", "3"})
        ledger.name_ids(connection, providers, {"1"})
    for key_id in (1, 2):
        answer = usage_answer(
            *(
                usage_row(
                    day,
                    str(model),
                    provider=str(provider) if provider else None,
                    requests=requests,
                    cost=f"{cost}e-9",
                )
                for (day, owner, model, provider), (requests, cost) in rows.items()
                if owner == key_id
            )
        )
        write(store, answer, key_id)
    if kept_from is not None:
        for day in sorted({spot[0] for spot in rows if spot[0] < kept_from}):
            with store.write() as connection:
                retention.remove_day(connection, day)
        with store.write() as connection:
            retention.raise_watermark(connection, kept_from)
    since, until = sorted(window)
    wanted = UsageFilter(
        since,
        until,
        None if key_ids is None else tuple(key_ids),
        None if model_ids is None else tuple(model_ids),
    )
    expected = [
        (*spot, *numbers)
        for spot, numbers in rows.items()
        if since <= spot[0] <= until
        and spot[0] >= (kept_from or date.min)
        and (key_ids is None or spot[1] in key_ids)
        and (model_ids is None or spot[2] in model_ids)
    ]
    with store.read() as connection:
        for grouping in GROUPINGS:
            found: dict[Any, Any] = {}
            for each in usage_reads.sum_usage(connection, grouping, wanted):
                day = each.day.replace(day=1) if grouping.by_month and each.day else each.day
                group = (day, each.key_id, each.model_id, each.provider_id)
                totals, rows_before = found.get(group, (Totals(), 0))
                found[group] = (totals + each.totals, rows_before + each.row_count)
            told = {
                group: (totals.requests, to_nano(totals.cost_usd), row_count)
                for group, (totals, row_count) in found.items()
            }
            assert told == in_python(expected, grouping)


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
        retention.remove_day(connection, date(2026, 10, 20))
    with store.read() as connection:
        first_days.append(usage_reads.first_known_day(connection))

    assert first_days == [TODAY, YESTERDAY, date(2026, 10, 20), OCTOBER]
