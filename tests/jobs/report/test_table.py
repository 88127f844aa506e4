"""Rows to totals: nothing is lost by folding, sorting or cutting."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.days import days_between, month_end
from orwatch.domain.usage import COLUMNS, NO_USE, Dimension, Totals, sum_totals
from orwatch.jobs.report.result import ReportRow
from orwatch.jobs.report.table import fold, group_rows, period_name, period_start

dates = st.dates(date(2000, 1, 1), date(2100, 1, 1))
counts = st.none() | st.integers(0, 10**6)
amounts = st.none() | st.decimals(0, 1000, places=9)
totals = st.builds(
    Totals, **{name: amounts if name.endswith("_usd") else counts for name in Totals.__slots__}
)
names = st.none() | st.sampled_from(["a", "b", "c"])
groups = st.lists(st.tuples(st.tuples(names, names), totals), max_size=12)
BY = (Dimension.MODEL, Dimension.KEY)


def row(*values: str | None, cost: str | None = None, requests: int | None = None) -> ReportRow:
    return ReportRow(values, Totals(requests=requests, cost_usd=None if cost is None else Decimal(cost)))


def sums(rows: list[Totals]) -> list[Fraction | None]:
    """The sums of what is known, by fractions alone."""
    columns = [[getattr(row, name) for row in rows] for name in Totals.__slots__]
    known = [[value for value in column if value is not None] for column in columns]
    return [sum(map(Fraction, column)) if column else None for column in known]


# Periods.


@given(dates)
def test_weeks_begin_on_monday(day: date) -> None:
    start = period_start(Dimension.WEEK, day)
    assert start.weekday() == 0
    assert timedelta(0) <= day - start < timedelta(days=7)


@given(dates)
def test_months_begin_on_the_first_and_end_on_the_last_day(day: date) -> None:
    start, end = period_start(Dimension.MONTH, day), month_end(day)
    assert start <= day <= end
    assert start.day == 1
    assert (end + timedelta(days=1)).day == 1
    assert (start.year, start.month) == (end.year, end.month) == (day.year, day.month)


@pytest.mark.parametrize(
    ("dimension", "day", "name"),
    [
        (Dimension.DAY, date(2026, 11, 20), "2026-11-20"),
        (Dimension.WEEK, date(2026, 11, 16), "2026-11-16"),
        (Dimension.WEEK, date(2026, 11, 22), "2026-11-16"),
        (Dimension.WEEK, date(2027, 1, 1), "2026-12-28"),
        (Dimension.MONTH, date(2026, 11, 30), "2026-11"),
        (Dimension.MONTH, date(2027, 1, 1), "2027-01"),
    ],
)
def test_the_name_of_a_stretch_of_time(dimension: Dimension, day: date, name: str) -> None:
    assert period_name(dimension, day) == name


@given(dates, st.integers(0, 40))
def test_days_between_two_days_include_both(since: date, length: int) -> None:
    until = since + timedelta(days=length)
    days = list(days_between(since, until))
    assert (days[0], days[-1], len(days)) == (since, until, length + 1)
    assert days == sorted(set(days))


def test_there_are_no_days_between_a_day_and_an_earlier_one() -> None:
    assert list(days_between(date(2026, 11, 20), date(2026, 11, 19))) == []


# Sums.


@given(st.lists(totals, max_size=12))
def test_adding_up_is_exact_and_leaves_unknown_what_no_row_knows(rows: list[Totals]) -> None:
    assert sums([sum_totals(rows)]) == sums(rows)


@given(groups)
def test_folding_gives_one_row_for_each_combination_and_loses_nothing(
    pairs: list[tuple[tuple[str | None, ...], Totals]],
) -> None:
    folded = fold(pairs)
    assert [row.values for row in folded] == list(dict.fromkeys(values for values, _ in pairs))
    for one in folded:
        assert one.totals == sum_totals(totals for values, totals in pairs if values == one.values)
    assert sums([one.totals for one in folded]) == sums([totals for _, totals in pairs])


@given(groups, st.sampled_from([None, "model", "key", *COLUMNS]), st.none() | st.integers(0, 15))
def test_the_totals_of_a_table_are_those_of_all_rows_however_it_is_sorted_and_cut(
    pairs: list[tuple[tuple[str | None, ...], Totals]], sort: str | None, top: int | None
) -> None:
    rows = fold(pairs)
    table = group_rows(BY, rows, sort=sort, top=top)
    assert table.by == BY
    total = table.totals
    assert sums([total]) == sums([totals for _, totals in pairs])
    cuts = top is not None and len(rows) > top + 1
    assert len(table.rows) == (top if cuts else len(rows))
    assert table.others_count == len(rows) - len(table.rows)
    assert (table.others is None) == (table.others_count == 0)
    assert sum_totals([*(row.totals for row in table.rows), table.others or Totals()]) == total
    whole = group_rows(BY, rows, sort=sort)
    assert table.rows == whole.rows[: len(table.rows)]
    assert sorted(map(repr, whole.rows)) == sorted(map(repr, rows))


@given(groups.flatmap(lambda pairs: st.tuples(st.just(fold(pairs)), st.permutations(fold(pairs)))))
def test_the_order_of_a_table_does_not_depend_on_that_of_its_rows(
    pair: tuple[list[ReportRow], list[ReportRow]],
) -> None:
    first, second = pair
    for sort in (None, "model", "key", *COLUMNS):
        assert group_rows(BY, first, sort=sort) == group_rows(BY, second, sort=sort)


# Order.


def values(table_rows: tuple[ReportRow, ...]) -> list[tuple[str | None, ...]]:
    return [row.values for row in table_rows]


def test_without_a_time_the_dearest_comes_first_and_the_unknown_last() -> None:
    rows = [row("a", cost="1"), row("b"), row("c", cost="3"), row("d", cost="0"), row("e", cost="3")]
    table = group_rows([Dimension.MODEL], rows)
    assert values(table.rows) == [("c",), ("e",), ("a",), ("d",), ("b",)]


def test_times_come_in_their_order_and_the_dearest_first_within_each() -> None:
    rows = [
        row("x", "2026-11-02", cost="5"),
        row("x", "2026-11-01", cost="1"),
        row("y", "2026-11-01", cost="2"),
        row(None, "2026-11-01", cost="9"),
        row("z", "2026-11-01"),
    ]
    table = group_rows([Dimension.MODEL, Dimension.DAY], rows)
    assert values(table.rows) == [
        (None, "2026-11-01"),
        ("y", "2026-11-01"),
        ("x", "2026-11-01"),
        ("z", "2026-11-01"),
        ("x", "2026-11-02"),
    ]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("model", ["a", "b", "c", None]),
        ("cost", ["b", "a", None, "c"]),
        ("requests", ["a", None, "c", "b"]),
        (None, ["b", "a", None, "c"]),
    ],
)
def test_names_sort_upwards_and_numbers_downwards_with_the_unknown_last(
    sort: str | None, order: list[str | None]
) -> None:
    rows = [
        row("a", cost="2", requests=9),
        row("b", cost="3"),
        row(None, cost="1", requests=5),
        row("c", requests=0),
    ]
    assert values(group_rows([Dimension.MODEL], rows, sort=sort).rows) == [(name,) for name in order]


def test_rows_that_are_cut_off_are_counted_and_added_up() -> None:
    rows = [row("a", cost="3", requests=1), row("b", cost="2"), row("c", cost="1", requests=4)]
    table = group_rows([Dimension.MODEL], rows, top=1)
    assert values(table.rows) == [("a",)]
    assert table.others_count == 2
    assert table.others == Totals(requests=4, cost_usd=Decimal(3))
    assert table.totals == Totals(requests=5, cost_usd=Decimal(6))


def test_a_single_row_is_shown_instead_of_being_called_the_others() -> None:
    rows = [row(name, cost="1") for name in "abc"]
    table = group_rows([Dimension.KEY], rows, top=2)
    assert (values(table.rows), table.others, table.others_count) == ([("a",), ("b",), ("c",)], None, 0)


@pytest.mark.parametrize(
    ("sort", "kept"), [(None, "2026-11-03"), ("cost", "2026-11-03"), ("day", "2026-11-01")]
)
def test_of_days_the_dearest_are_kept_unless_another_order_is_asked_for(sort: str | None, kept: str) -> None:
    rows = [row(f"2026-11-0{day}", cost=str(cost)) for day, cost in ((1, 2), (2, 1), (3, 9), (4, 3))]
    assert values(group_rows([Dimension.DAY], rows, sort=sort, top=1).rows) == [(kept,)]


def test_an_empty_table_knows_nothing() -> None:
    table = group_rows([Dimension.DAY], [], top=5)
    assert (table.rows, table.totals, table.others) == ((), Totals(), None)
    assert sum_totals([NO_USE]).cost_usd == 0
