"""Forecasts: by hand where that can be, and as good as is claimed on histories that they were not made on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.forecast import Forecast, forecast, lasts, reached_on
from tests.bench.forecasts import GOAL, GOAL_OF_A_KIND, mean, measure_kind
from tests.bench.histories import FIRST_SEED, KINDS

# The month has 14 more days, this one included.
NOW = datetime(2026, 6, 17, tzinfo=UTC)
UNTIL = date(2026, 6, 30)
SPENT = Decimal(100)


def history(cost: Callable[[int], float], length: int = 56) -> dict[date, Decimal]:
    """What each of the days before today cost, by how many days ago it was."""
    return {NOW.date() - timedelta(days=ago): Decimal(str(cost(ago))) for ago in range(1, length + 1)}


def on_course(days: dict[date, Decimal], now: datetime = NOW, until: date = UNTIL) -> Forecast:
    found = forecast(days, now, until, spent_usd=SPENT)
    assert found is not None
    return found


def expected(days: dict[date, Decimal], now: datetime = NOW, until: date = UNTIL) -> Decimal:
    return on_course(days, now, until).expected_usd


STEADY = history(lambda ago: 10)


@pytest.mark.parametrize(
    ("days", "now", "total"),
    [
        pytest.param(STEADY, NOW, 240, id="fourteen days are left"),
        pytest.param(STEADY, NOW.replace(hour=18), Decimal("232.5"), id="and a quarter of today"),
        pytest.param(STEADY, NOW.replace(day=30, hour=23, minute=59, second=59), 100, id="or nothing"),
        pytest.param(history(lambda ago: 1000 if ago == 5 else 10), NOW, 240, id="one spike says nothing"),
        pytest.param(history(lambda ago: 30 if ago > 20 else 10), NOW, 240, id="a step is followed"),
        pytest.param(history(lambda ago: 10 if ago > 7 else 0), NOW, 100, id="what is dead costs nothing"),
        pytest.param(history(lambda ago: 10 if ago < 9 else 0), NOW, 240, id="days before the first use"),
        pytest.param(history(lambda ago: 0), NOW, 100, id="no use at all"),
        pytest.param(STEADY | {NOW.date(): Decimal(900)}, NOW, 240, id="today is not whole"),
    ],
)
def test_a_window_goes_on_at_the_level_of_its_history(
    days: dict[date, Decimal], now: datetime, total: Decimal | int
) -> None:
    assert expected(days, now) == pytest.approx(Decimal(total), abs=Decimal("0.01"))


def test_an_unknown_day_is_not_a_day_without_use() -> None:
    known = {day: cost for day, cost in STEADY.items() if day.day % 3}

    assert expected(known) == pytest.approx(240)
    assert expected({day: known.get(day, Decimal(0)) for day in STEADY}) < 220


def test_a_weekend_costs_what_weekends_do() -> None:
    office_hours = {day: cost * (day.weekday() < 5) for day, cost in STEADY.items()}
    friday_night, sunday = datetime(2026, 6, 19, 23, 59, tzinfo=UTC), date(2026, 6, 21)

    assert expected(office_hours, friday_night, sunday) < SPENT + 5
    assert expected(office_hours, friday_night, sunday + timedelta(days=5)) > SPENT + 40


def test_growth_goes_on() -> None:
    growing = history(lambda ago: round(10 * 1.1 ** (-ago / 7), 6))

    assert 245 < expected(growing) < 260


@pytest.mark.parametrize(("known", "is_rough"), [(6, None), (7, True), (20, True), (21, False)])
def test_nothing_is_said_before_seven_days_and_about_before_twenty_one(
    known: int, is_rough: bool | None
) -> None:
    found = forecast(history(lambda ago: 10, known), NOW, UNTIL, spent_usd=SPENT)

    assert (None if found is None else found.is_rough) is is_rough


amounts = st.lists(st.decimals(0, 10_000, places=4), min_size=7, max_size=70)


@given(amounts, st.integers(0, 40), st.integers(1, 1000))
def test_the_interval_holds_the_forecast_and_all_of_it_scales(
    costs: list[Decimal], horizon: int, factor: int
) -> None:
    until = NOW.date() + timedelta(days=horizon)
    days = dict(zip(history(lambda ago: 0, len(costs)), costs, strict=True))
    found = forecast(days, NOW, until, spent_usd=SPENT)
    if found is None:
        return
    assert SPENT <= found.low_usd <= found.expected_usd <= found.high_usd
    larger = on_course({day: cost * factor for day, cost in days.items()}, NOW, until)
    assert float(larger.expected_usd - SPENT) == pytest.approx(
        factor * float(found.expected_usd - SPENT), rel=1e-6, abs=factor * 1e-4
    )


@pytest.mark.parametrize(
    ("limit", "day"),
    [("100", 17), ("105", 17), ("115", 18), ("235", 30), ("241", None)],
)
def test_a_limit_is_reached_on_the_day_that_uses_up_what_is_left(limit: str, day: int | None) -> None:
    found = reached_on(STEADY, NOW, UNTIL, spent_usd=SPENT, limit_usd=Decimal(limit))

    assert found == (None if day is None else date(2026, 6, day))
    assert reached_on({}, NOW, UNTIL, spent_usd=SPENT, limit_usd=Decimal(101)) is None


@pytest.mark.parametrize(
    ("days", "balance", "left"),
    [
        pytest.param(STEADY, "55", 5, id="ten dollars a day"),
        pytest.param(history(lambda ago: 10 if ago < 15 else 99), "55", 5, id="the last two weeks alone"),
        pytest.param(history(lambda ago: 500 if ago == 3 else 10), "55", 5, id="one dear day does not count"),
        pytest.param(history(lambda ago: 10, 7), "55", 5, id="seven days are enough"),
        pytest.param(history(lambda ago: 10, 6), "55", None, id="six are not"),
        pytest.param(history(lambda ago: 0), "55", None, id="for ever"),
        pytest.param(history(lambda ago: 0.001), "55", None, id="or as good as"),
        pytest.param(STEADY, "-3", 0, id="it is used up"),
    ],
)
def test_a_balance_lasts_at_the_pace_of_two_weeks(
    days: dict[date, Decimal], balance: str, left: int | None
) -> None:
    found = lasts(days, NOW, Decimal(balance))

    assert (None if found is None else (found.days, found.until)) == (
        None if left is None else (left, NOW.date() + timedelta(days=left))
    )


def test_it_is_better_than_so_much_a_day_so_far() -> None:
    figures = {kind: measure_kind(kind, range(FIRST_SEED, FIRST_SEED + 60)) for kind in KINDS}

    for kind, found in figures.items():
        assert found.error_usd <= found.plain_error_usd * GOAL_OF_A_KIND, kind
    together = mean([*figures.values()])
    assert together.error_usd < together.plain_error_usd * GOAL
    assert 0.7 <= together.inside <= 0.9
