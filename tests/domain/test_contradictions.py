"""When a better source is not believed: pure cases, with the sums on both sides of each limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.contradictions import (
    Contradiction,
    StoredDay,
    contradictions,
    counted_since,
    tolerance_usd,
)
from orwatch.domain.keys import KeyFacts, KeyKind, Listing
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import RejectedRow, UsageAnswer
from tests.support import NOW, TODAY, stored_key, usage_row

YESTERDAY = TODAY - timedelta(days=1)
BEFORE = TODAY - timedelta(days=2)
ANALYTICS = UsageSource.ANALYTICS


def stored(source: UsageSource | None = ANALYTICS) -> dict[date, StoredDay]:
    """$4 the day before yesterday, $6.50 yesterday."""
    return {BEFORE: StoredDay(Decimal(4), source), YESTERDAY: StoredDay(Decimal("6.5"), source)}


def activity(before: str | None = "4", yesterday: str | None = "3.5") -> UsageAnswer:
    days = {BEFORE: before, YESTERDAY: yesterday}
    rows = tuple(usage_row(day, cost=cost) for day, cost in days.items() if cost is not None)
    whole_days = frozenset({BEFORE, YESTERDAY})
    return UsageAnswer(UsageSource.ACTIVITY, TODAY - timedelta(days=30), YESTERDAY, rows, (), whole_days)


def kept_days(
    known: dict[date, StoredDay], answer: UsageAnswer, counted: str = "10.5", since: date = BEFORE
) -> set[date]:
    return {each.day for each in contradictions(known, answer, {since: Decimal(counted)}, TODAY)}


def test_a_day_that_would_shrink_against_the_counters_is_kept() -> None:
    counted = {BEFORE: Decimal("10.5")}
    assert contradictions(stored(), activity(), counted, TODAY) == [
        Contradiction(YESTERDAY, Decimal("6.5"), Decimal("3.5"), ANALYTICS)
    ]


def test_a_day_without_a_row_in_an_answer_that_has_the_day_shrinks_to_nothing() -> None:
    assert kept_days(stored(), activity(None, "6.5")) == {BEFORE}


@pytest.mark.parametrize(
    ("counted", "kept"),
    [
        ("7.5", set()),  # the counters agree with the answer
        ("9", set()),  # with neither
        ("10.45", {YESTERDAY}),  # half a percent less than is stored
        ("10.44", set()),
        ("10.55", {YESTERDAY}),
        ("10.56", set()),  # more than is stored: a day is missing, and what is stored proves nothing
    ],
)
def test_only_what_the_counters_confirm_is_kept(counted: str, kept: set[date]) -> None:
    assert kept_days(stored(), activity(), counted) == kept


@pytest.mark.parametrize(("yesterday", "kept"), [("6.467", {YESTERDAY}), ("6.468", set()), ("6.6", set())])
def test_corrections_of_half_a_percent_are_believed(yesterday: str, kept: set[date]) -> None:
    assert kept_days(stored(), activity("4", yesterday)) == kept


def test_what_moves_to_another_day_is_believed() -> None:
    assert kept_days(stored(), activity("7", "3.5")) == set()


def test_a_day_of_the_same_source_or_of_none_is_not_kept() -> None:
    assert kept_days(stored(UsageSource.ACTIVITY), activity()) == set()
    assert kept_days(stored(None), activity()) == set()


def test_what_a_better_source_has_reported_does_not_shrink() -> None:
    known = stored() | {YESTERDAY: StoredDay(Decimal("6.5"), UsageSource.ACTIVITY)}
    usage = replace(activity("1"), source=UsageSource.USAGE)
    assert kept_days(known, usage) == {BEFORE}


def test_a_doubtful_day_is_left_to_the_ledger() -> None:
    doubtful = replace(activity(), rejected=(RejectedRow("no", YESTERDAY),))
    assert kept_days(stored(), doubtful) == set()


def test_days_before_a_sum_began_and_sums_that_reach_beyond_the_answer_prove_nothing() -> None:
    assert kept_days(stored(), activity("1", "6.5"), "6.5", since=YESTERDAY) == set()
    assert kept_days(stored(), activity(), since=TODAY - timedelta(days=31)) == set()


def test_the_counters_give_the_sums_of_the_month_of_the_life_and_since_the_last_reading() -> None:
    created_at = datetime(2026, 10, 30, 12, tzinfo=UTC)
    read_at = datetime(2026, 11, 18, 5, tzinfo=UTC)
    facts = KeyFacts(
        KeyKind.INFERENCE,
        usage_usd=Decimal(40),
        usage_daily_usd=Decimal(1),
        usage_monthly_usd=Decimal(31),
    )
    listing = Listing(1, "work", None, False, created_at, None, read_at, Decimal(27))
    key = stored_key(facts=facts, facts_read_at=NOW, listing=listing)
    assert counted_since(key, TODAY) == {
        date(2026, 10, 30): Decimal(39),
        date(2026, 11, 18): Decimal(12),
        date(2026, 11, 1): Decimal(30),
    }
    assert counted_since(replace(key, listing=None), TODAY) == {date(2026, 11, 1): Decimal(30)}
    no_month = replace(facts, usage_monthly_usd=None)
    unread = replace(listing, created_at=None, activity_read_at=None)
    assert counted_since(replace(key, facts=no_month, listing=unread), TODAY) == {}
    assert counted_since(replace(key, facts_read_at=NOW - timedelta(days=1)), TODAY) == {}
    assert counted_since(replace(key, facts=replace(facts, usage_daily_usd=None)), TODAY) == {}


def test_a_day_counts_as_late_an_hour_after_its_end() -> None:
    [found] = contradictions(stored(), activity(), {BEFORE: Decimal("10.5")}, TODAY)
    midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    assert not found.is_late(midnight + timedelta(minutes=59))
    assert found.is_late(midnight + timedelta(hours=1))


def test_a_cent_is_no_contradiction() -> None:
    assert [tolerance_usd(Decimal(amount)) for amount in (0, 2, 3)] == [
        Decimal("0.01"),
        Decimal("0.01"),
        Decimal("0.015"),
    ]
