"""The made-up usage: deterministic, priced to the nano-dollar, and with the habits that its keys promise."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.demo.usage import (
    CI,
    OLD_LAPTOP,
    PRICES,
    PRODUCTION,
    RUNAWAY_EVERY_DAYS,
    FakeKey,
    FakeUsage,
    Price,
    UsageProfile,
    usage_of,
)
from orwatch.domain.money import from_nano, to_nano

MONDAY = date(2026, 11, 16)
MONTH = tuple(MONDAY - timedelta(days=count) for count in range(30))
WORKING_DAYS = tuple(day for day in MONTH if day.weekday() < 5)
WEEKEND_DAYS = tuple(day for day in MONTH if day.weekday() >= 5)

PRODUCTION_KEY = FakeKey("production", "secret", PRODUCTION)
CI_KEY = FakeKey("ci", "secret", CI)
OLD_LAPTOP_KEY = FakeKey("old-laptop", "secret", OLD_LAPTOP)
KEYS = (PRODUCTION_KEY, CI_KEY, OLD_LAPTOP_KEY)


def month_of(key: FakeKey) -> list[FakeUsage]:
    return [row for day in MONTH for row in usage_of(key, day)]


def cost_of_day(key: FakeKey, day: date) -> Decimal:
    return sum((row.cost_usd for row in usage_of(key, day)), Decimal(0))


def test_a_known_key_and_day_give_these_rows_for_ever() -> None:
    assert usage_of(CI_KEY, MONDAY)[-1] == FakeUsage(
        MONDAY, "openai/gpt-oss-120b", 64, 81284, 18424, Decimal("0.011011168")
    )


def test_another_process_makes_up_the_same_rows() -> None:
    script = (
        "from datetime import date; from orwatch.demo.usage import *;"
        "print(usage_of(FakeKey('production', 'secret', PRODUCTION), date(2026, 11, 16)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == repr(usage_of(PRODUCTION_KEY, MONDAY))


def test_the_secret_and_the_limits_of_a_key_do_not_change_its_usage() -> None:
    other = FakeKey("production", "another secret", PRODUCTION, Decimal(1), "daily", is_revoked=True)
    assert usage_of(other, MONDAY) == usage_of(PRODUCTION_KEY, MONDAY)


def test_keys_of_one_profile_differ_by_their_names() -> None:
    assert usage_of(FakeKey("staging", "secret", PRODUCTION), MONDAY) != usage_of(PRODUCTION_KEY, MONDAY)


def test_days_differ() -> None:
    assert len({tuple(row.requests for row in usage_of(PRODUCTION_KEY, day)) for day in MONTH}) == len(MONTH)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_cost_is_what_its_tokens_cost_in_whole_nano_dollars(key: FakeKey) -> None:
    for row in month_of(key):
        price = PRICES[row.model]
        million = Decimal(1_000_000)
        assert row.cost_usd * million == (
            row.tokens_input * price.input_usd + row.tokens_output * price.output_usd
        )
        assert from_nano(to_nano(row.cost_usd)) == row.cost_usd


def test_some_costs_need_all_nine_decimals() -> None:
    assert any(row.cost_usd.normalize().as_tuple().exponent == -9 for row in month_of(CI_KEY))


def test_a_price_is_per_million_tokens() -> None:
    assert Price(Decimal("2"), Decimal("8")).cost_usd(1_500_000, 125) == Decimal("3.001")


def test_free_models_are_used_and_cost_nothing() -> None:
    costs = {row.cost_usd for row in month_of(PRODUCTION_KEY) if row.model.endswith(":free")}
    assert costs == {Decimal(0)}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_row_has_requests_and_tokens_and_a_model_of_its_own(key: FakeKey) -> None:
    rows = month_of(key)
    assert all(row.requests > 0 and row.tokens_input > 0 and row.tokens_output > 0 for row in rows)
    assert len({(row.day, row.model) for row in rows}) == len(rows)


def test_all_keys_together_spend_tens_to_a_few_hundred_dollars_a_month() -> None:
    assert 50 < sum(row.cost_usd for key in KEYS for row in month_of(key)) < 400


def test_production_is_the_heavy_key() -> None:
    production, ci, old_laptop = (sum(row.cost_usd for row in month_of(key)) for key in KEYS)
    assert production > 10 * ci > 10 * old_laptop > 0


def test_production_works_every_day_and_less_on_weekends() -> None:
    assert all(usage_of(PRODUCTION_KEY, day) for day in MONTH)
    busiest_weekend_day = max(cost_of_day(PRODUCTION_KEY, day) for day in WEEKEND_DAYS)
    assert busiest_weekend_day < min(cost_of_day(PRODUCTION_KEY, day) for day in WORKING_DAYS)


def test_ci_rests_on_weekends() -> None:
    assert all(usage_of(CI_KEY, day) for day in WORKING_DAYS)
    assert not any(usage_of(CI_KEY, day) for day in WEEKEND_DAYS)


def test_the_old_laptop_is_used_now_and_then() -> None:
    assert 3 <= sum(bool(usage_of(OLD_LAPTOP_KEY, day)) for day in MONTH) <= 20


@pytest.mark.parametrize("shift_days", range(0, RUNAWAY_EVERY_DAYS, 3))
def test_any_thirty_days_have_exactly_one_day_that_stands_out(shift_days: int) -> None:
    costs = sorted(cost_of_day(PRODUCTION_KEY, day + timedelta(days=shift_days)) for day in MONTH)
    assert costs[-1] > 2 * costs[-2]
    assert costs[-2] < 2 * costs[len(costs) // 2]


def test_a_job_gone_wild_knows_no_weekend() -> None:
    saturday = date(2027, 1, 10) - timedelta(days=1)
    runaway_days = [date(2026, 11, 11) + timedelta(days=30 * count) for count in range(8)]
    weekend = [day for day in runaway_days if day.weekday() >= 5]
    assert saturday.weekday() == 5
    assert weekend
    assert all(
        cost_of_day(PRODUCTION_KEY, day) > 4 * cost_of_day(PRODUCTION_KEY, saturday) for day in weekend
    )


def test_a_profile_without_models_uses_nothing() -> None:
    idle = FakeKey("idle", "secret", UsageProfile((), weekend_factor=1.0))
    assert usage_of(idle, MONDAY) == ()


def test_a_key_does_not_show_its_secret() -> None:
    assert "sk-or-hidden" not in repr(FakeKey("ci", "sk-or-hidden", CI))
