"""Spikes: what is one, what is none, and how often an ordinary history seems to have one."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from math import exp
from statistics import fmean, median

import pytest

from orwatch.domain.alerts.alert import Finding
from orwatch.domain.alerts.spike import DailyCosts, find_spikes
from tests.support import TODAY

YESTERDAY = TODAY - timedelta(days=1)
LONG_AGO = date.min

STEADY = ["10", "12", "11", "9", "10", "8", "10"] * 8


def judged(
    costs: list[str | None], today: str | None, watched_from: date = LONG_AGO, now: date = TODAY
) -> Finding:
    """The finding of today, where the days before cost that, None of a day that is not known."""
    days = {TODAY - timedelta(days=number): cost for number, cost in enumerate([today, *costs[::-1]])}
    known = {day: Decimal(cost) for day, cost in days.items() if cost is not None}
    found = list(find_spikes([DailyCosts("key:1", "production", known)], now, watched_from))
    return next(finding for finding in found if finding.window == TODAY.isoformat())


@pytest.mark.parametrize(
    ("before", "today", "is_met"),
    [
        (STEADY, "30", False),  # three times the median
        (STEADY, "30.01", True),
        (STEADY, "5", False),
        (["0.1"] * 56, "5", False),  # the floor
        (["0.1"] * 56, "5.01", True),
        (["0"] * 42 + ["10"] * 14, "50", True),
        (["0"] * 43 + ["10"] * 13, "50", None),  # it has just begun
        ([None] * 42 + ["10"] * 14, "50", True),
        ([None] * 43 + ["10"] * 13, "50", None),  # too little is known
        (["10", "10", *["0"] * 54], "50", None),  # too seldom used to say what is usual
        (STEADY, None, None),
        ([*STEADY[:-3], "90", "10", "10"], "60", True),  # one spike hides no second one
        ([*STEADY[:-3], "90", "90", "10"], "60", False),  # two days like it are no news
        (["10", "10", "10", "10", "10", "1", "1"] * 8, "30.01", True),  # as TODAY, a Friday, begins a week
        (["70", "10", "10", "10", "10", "10", "10"] * 8, "90", False),  # such a weekday costs that
        (["1", "19"] * 28, "90", True),  # the deviations: the median of 10 and five of 9 × 1.4826 are 76.7
        (["1", "19"] * 28, "76", False),
    ],
)
def test_a_day_is_a_spike_where_it_costs_far_more_than_such_days_do(
    before: list[str | None], today: str | None, is_met: bool | None
) -> None:
    assert judged(before, today).is_met is is_met


def test_it_says_the_figures_and_what_to_look_at() -> None:
    finding = judged(STEADY, "1234.6")
    assert finding.summary == (
        "20 Nov has cost $1,234.60 so far, 123.5 times what such days cost ($10.00). "
        "See `orwatch report --since 2026-11-20 --until 2026-11-20 --by key --by model`"
    )
    assert finding.figures == {"cost_usd": Decimal("1234.6"), "usual_usd": 10, "most_usual_usd": 30}
    assert judged(STEADY, "12").summary == "20 Nov has cost $12.00 so far, which is no spike"


def test_a_day_that_was_found_stays_so_on_the_next_and_is_then_judged_no_more() -> None:
    tomorrow = TODAY + timedelta(days=1)
    assert judged(STEADY, "50", now=tomorrow).is_met
    assert not judged(STEADY, "20", now=tomorrow).is_met
    with pytest.raises(StopIteration):
        judged(STEADY, "50", now=TODAY + timedelta(days=2))


def test_days_before_the_watch_began_are_no_news() -> None:
    subject = DailyCosts("account:1", "team", {})
    assert [finding.window for finding in find_spikes([subject], TODAY, TODAY)] == ["2026-11-20"]
    assert len(list(find_spikes([subject], TODAY, YESTERDAY))) == 2


KINDS = ("weekdays", "growth", "bursts", "new", "seldom")
DAYS = 100


def ordinary_history(kind: str, seed: int) -> list[Decimal]:
    """A hundred days of an ordinary key: each day varies, and by its kind."""
    chance = random.Random(f"{kind} {seed}")
    usual, spread = exp(chance.uniform(2, 5)), chance.uniform(0.15, 0.45)
    weekend, growth, burst = chance.uniform(0.05, 0.6), chance.uniform(1, 1.03), chance.uniform(3, 6)
    often, begins = chance.uniform(0.1, 0.3), chance.randrange(80)
    costs = []
    for number in range(DAYS):
        cost = usual * exp(chance.gauss(0, spread))
        if kind in {"weekdays", "growth"} and number % 7 > 4:
            cost *= weekend
        if kind == "growth":
            cost *= growth**number
        if kind == "bursts" and chance.random() < often:
            cost *= burst
        if kind == "seldom" and chance.random() > often:
            cost = 0
        if kind == "new":
            cost *= min(max(number - begins, 0) / 10, 1)
        costs.append(Decimal(f"{cost:.9f}"))
    return costs


def is_spike(costs: list[Decimal], number: int, times: int = 0) -> bool | None:
    """Whether the day of that number is found, or would be if it cost so many times what days of use do."""
    history = {TODAY + timedelta(days=index): cost for index, cost in enumerate(costs)}
    day = TODAY + timedelta(days=number)
    if times:
        used = [cost for cost in costs[number - 28 : number] if cost]
        if not used:
            return None
        history[day] = times * median(used)
    (found,) = find_spikes([DailyCosts("key:1", "a", history)], day, day)
    return found.is_met


@pytest.mark.parametrize(
    ("kind", "most_alarms", "least_fivefold", "least_tenfold"),
    # Of a thousand judged days, and in percent. A burst is what such days cost, so that only more is found.
    [
        ("weekdays", 1, 85, 95),
        ("growth", 3, 80, 95),
        ("bursts", 8, 0, 70),
        ("new", 3, 80, 95),
        ("seldom", 1, 90, 95),
    ],
)
def test_of_ordinary_histories_few_days_seem_spikes_and_most_real_ones_are_found(
    kind: str, most_alarms: float, least_fivefold: float, least_tenfold: float
) -> None:
    histories = [ordinary_history(kind, seed) for seed in range(200)]
    days = [(costs, number) for costs in histories for number in range(28, DAYS, 8)]
    told = [is_met for costs, number in days if (is_met := is_spike(costs, number)) is not None]
    alarms = 1000 * sum(told) / len(told)
    fivefold, tenfold = (
        100
        * fmean(
            found for costs, number in days[4::4] if (found := is_spike(costs, number, times)) is not None
        )
        for times in (5, 10)
    )
    assert alarms <= most_alarms
    assert fivefold >= least_fivefold
    assert tenfold >= least_tenfold
