"""Budgets: their windows, what a user gives, and whether a threshold is reached."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from orwatch.domain.budgets import (
    Budget,
    BudgetState,
    Per,
    Scope,
    read_limit,
    read_warn_percent,
    window_at,
)
from orwatch.errors import UsageError
from tests.support import NOW


@pytest.mark.parametrize(
    ("per", "moment", "first", "last"),
    [
        (Per.DAY, "2026-11-20T23:59:59", "2026-11-20", "2026-11-20"),
        (Per.DAY, "2026-11-21T00:00:00", "2026-11-21", "2026-11-21"),
        (Per.WEEK, "2026-11-22T23:59:59", "2026-11-16", "2026-11-22"),
        (Per.WEEK, "2026-11-23T00:00:00", "2026-11-23", "2026-11-29"),
        (Per.WEEK, "2027-01-01T12:00:00", "2026-12-28", "2027-01-03"),
        (Per.MONTH, "2026-11-30T23:59:59", "2026-11-01", "2026-11-30"),
        (Per.MONTH, "2026-12-01T00:00:00", "2026-12-01", "2026-12-31"),
        (Per.MONTH, "2028-02-29T12:00:00", "2028-02-01", "2028-02-29"),
        (Per.MONTH, "2026-02-28T12:00:00", "2026-02-01", "2026-02-28"),
    ],
)
def test_a_window_begins_at_midnight_of_a_day_a_monday_or_the_first(
    per: Per, moment: str, first: str, last: str
) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert window_at(per, now) == (date.fromisoformat(first), date.fromisoformat(last))


def test_a_lifetime_begins_with_the_first_day_and_never_ends() -> None:
    assert window_at(Per.LIFETIME, NOW) == (date.min, None)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("250", "250"), (" $99.50 ", "99.50"), ("0.000000001", "1e-9"), ("1e3", "1000"), ("1000000000", "1e9")],
)
def test_a_limit_is_dollars_above_nothing(text: str, limit: str) -> None:
    assert read_limit(text) == Decimal(limit)


@pytest.mark.parametrize(
    "text", ["0", "-1", "nan", "inf", "", "ten", "1,5", "0.0000000001", "1e-999999", "1000000001", "9" * 5000]
)
def test_another_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no limit"):
        read_limit(text)


def test_thresholds_come_in_any_order_and_each_counts_once() -> None:
    assert read_warn_percent("80%, 50,100,1000 %,80") == (50, 80, 100, 1000)
    for text in ("", "0,50", "1001", "50,,80", "50.5", "x", "²", "80,٩٠"):
        with pytest.raises(UsageError, match="are no thresholds"):
            read_warn_percent(text)


def state(known: str, most: str | None, per: Per = Per.MONTH) -> BudgetState:
    budget = Budget(1, "team", Decimal(200), per, Scope(), (80,), False, NOW)
    first, last = window_at(per, NOW)
    spent = Decimal(known) if known == most else None
    return BudgetState(budget, first, last, spent, Decimal(known), Decimal(most) if most else None)


@pytest.mark.parametrize(
    ("known", "most", "is_reached"),
    [
        ("160", "160", True),
        ("159.999999999", "159.999999999", False),
        ("160", None, True),
        ("0", None, None),
        ("0", "160", None),
        ("0", "159.999999999", False),
    ],
)
def test_a_threshold_is_reached_or_not_also_where_not_all_is_known(
    known: str, most: str | None, is_reached: bool | None
) -> None:
    assert state(known, most).is_reached(80) is is_reached


def test_what_is_left_may_be_negative_and_is_unknown_with_what_is_spent() -> None:
    assert (state("250", "250").left_usd, state("250", "250").used_part) == (-50, Decimal("1.25"))
    assert (state("1", None).left_usd, state("1", None).used_part) == (None, None)


def test_each_window_has_a_name_of_its_own() -> None:
    windows = [state("1", "1", per).window for per in Per]
    assert windows == ["2026-11-20", "2026-11-16/2026-11-22", "2026-11", "lifetime"]
