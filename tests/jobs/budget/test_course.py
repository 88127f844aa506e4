"""The course of a budget: where its window will end, and when its limit is reached."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.budget import is_far_off
from orwatch.domain.budgets import Budget, BudgetState, Per, Scope
from orwatch.domain.days import month_end
from orwatch.domain.sources import UsageSource
from orwatch.jobs.budget.course import with_courses
from orwatch.jobs.budget.spent import budget_states
from orwatch.store.engine.database import Store
from tests.jobs.support import add_key, days_ago
from tests.jobs.sync.account_support import note_sync
from tests.store.support import write
from tests.support import NOW, TODAY, usage_answer, usage_row


def course(store: Store, per: Per, limit: str) -> BudgetState:
    """Of a budget of everything, after four weeks of $2 a day and the $1 of today."""
    key = add_key(store, "one")
    rows = [usage_row(days_ago(age), cost="2" if age else "1") for age in range(29)]
    write(store, usage_answer(*rows, since=days_ago(28), until=TODAY), key.id)
    note_sync(store, "one", source=UsageSource.USAGE)
    budget = Budget(1, "team", Decimal(limit), per, Scope(), (80,), False, NOW)
    with store.read() as connection:
        states = budget_states(connection, NOW, [budget])
        (state,) = with_courses(connection, states, NOW)
    return state


def test_a_month_s_budget_is_told_where_the_month_will_end(store: Store) -> None:
    state = course(store, Per.MONTH, "50")

    days_before = TODAY.day - 1
    rest_of_today = Decimal(NOW.hour * 60 + NOW.minute) / (24 * 60)
    expected = 2 * days_before + 1 + 2 * (1 - rest_of_today) + 2 * (month_end(TODAY) - TODAY).days
    assert state.forecast is not None
    assert state.forecast.expected_usd == pytest.approx(expected, rel=Decimal("0.001"))
    assert state.reached_on == date(2026, 11, 26)


def test_a_lifetime_has_no_end_but_a_day_on_which_it_is_spent(store: Store) -> None:
    state = course(store, Per.LIFETIME, "77")  # of which $57 are spent

    assert (state.forecast, state.reached_on) == (None, (NOW + timedelta(days=10)).date())


@pytest.mark.parametrize(("limit", "is_far"), [("160", False), ("300", True)])
def test_a_limit_that_four_times_the_pace_would_not_reach_is_far_off(
    store: Store, limit: str, is_far: bool
) -> None:
    assert is_far_off(course(store, Per.MONTH, limit), NOW) is is_far


def test_what_is_reached_already_is_not_reached_on_a_day_to_come(store: Store) -> None:
    assert course(store, Per.MONTH, "39").reached_on is None
