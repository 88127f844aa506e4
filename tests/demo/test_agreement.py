"""All endpoints of an account agree to the nano-dollar, whatever happens to its keys."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.demo.account import demo_account
from orwatch.demo.analytics import CHAT_ROOM_LABEL
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.usage import CI, FakeKey
from tests.demo.support import (
    CI_KEY,
    CI_LAB_KEY,
    HISTORY_DAYS,
    LAB,
    PRODUCTION_KEY,
    RESEARCH_KEY,
    Today,
    analytics,
    api_of,
    by_key,
    data_of,
    get,
    grouped,
    listed,
    post,
    query_body,
    summed,
    time_range,
)
from tests.support import SECRET, TODAY

# What /activity and /analytics/query call the same amounts.
AMOUNTS = {
    "requests": "request_count",
    "prompt_tokens": "tokens_prompt",
    "completion_tokens": "tokens_completion",
    "reasoning_tokens": "reasoning_tokens",
    "cached_tokens": "cached_tokens",
    "usage": "credits_usage",
    "byok_usage_inference": "byok_usage",
}
METRICS = list(AMOUNTS.values())


def same_names(groups: dict[Any, Any]) -> dict[Any, Any]:
    return {
        place: {AMOUNTS[field]: amount for field, amount in sums.items()} for place, sums in groups.items()
    }


def assert_everything_agrees(api: FakeOpenRouter, today: date) -> None:
    completed = time_range(today - timedelta(days=30), today - timedelta(days=1))
    life = time_range(today - timedelta(days=300), today)
    activity = data_of(get(api, "/activity"))

    by_day = grouped(activity, ("date", "model_permaslug"), *AMOUNTS)
    assert same_names(by_day) == grouped(
        analytics(api, metrics=METRICS, time_range=completed), ("date__day", "model"), *METRICS
    )
    by_provider = grouped(activity, ("provider_name", "model_permaslug"), *AMOUNTS)
    assert same_names(by_provider) == grouped(
        analytics(
            api, metrics=METRICS, dimensions=["provider", "model"], granularity=None, time_range=completed
        ),
        ("provider", "model"),
        *METRICS,
    )

    whole = summed(activity, *AMOUNTS)
    chat = summed(
        [
            row
            for row in analytics(api, metrics=METRICS, dimensions=["api_key_id"], time_range=completed)
            if row["api_key_id"] == CHAT_ROOM_LABEL
        ],
        *METRICS,
    )
    of_keys: dict[str, Decimal] = dict.fromkeys(AMOUNTS, Decimal(0))
    credits_used = byok_used = Decimal(0)
    for key in api.account_keys:
        rows = data_of(get(api, "/activity", api_key_hash=key.key_hash))
        filters = by_key("eq", key.key_hash)
        assert same_names(grouped(rows, ("date", "model_permaslug"), *AMOUNTS)) == grouped(
            analytics(api, metrics=METRICS, filters=filters, time_range=completed),
            ("date__day", "model"),
            *METRICS,
        )
        of_keys = {field: of_keys[field] + amount for field, amount in summed(rows, *AMOUNTS).items()}
        lifelong = summed(
            analytics(api, metrics=METRICS, dimensions=[], filters=filters, time_range=life), *METRICS
        )
        credits_used += lifelong["credits_usage"]
        byok_used += lifelong["byok_usage"]
    assert whole == {field: of_keys[field] + chat[AMOUNTS[field]] for field in AMOUNTS}

    chat_life = summed(
        [
            row
            for row in analytics(api, metrics=METRICS, dimensions=["api_key_id"], time_range=life)
            if row["api_key_id"] == CHAT_ROOM_LABEL
        ],
        *METRICS,
    )
    assert (
        data_of(get(api, "/credits"))["total_usage"]
        == credits_used + chat_life["credits_usage"]
        == summed(analytics(api, metrics=METRICS, time_range=life), *METRICS)["credits_usage"]
    )
    assert byok_used == summed(analytics(api, metrics=METRICS, time_range=life), *METRICS)["byok_usage"]

    for item in listed(api).values():
        assert_counters_agree(api, item, today)


def assert_counters_agree(api: FakeOpenRouter, item: Any, today: date) -> None:
    periods = {
        "usage": date.min,
        "usage_daily": today,
        "usage_weekly": today - timedelta(days=today.weekday()),
        "usage_monthly": today.replace(day=1),
    }
    for counter, since in periods.items():
        window = time_range(max(since, today - timedelta(days=300)), today)
        sums = summed(
            analytics(
                api,
                metrics=METRICS,
                dimensions=[],
                filters=by_key("eq", item["hash"]),
                time_range=window,
            ),
            *METRICS,
        )
        assert (item[counter], item[f"byok_{counter}"]) == (sums["credits_usage"], sums["byok_usage"])


@pytest.mark.parametrize("today", [TODAY, date(2026, 11, 1), date(2027, 1, 4)])
def test_activity_analytics_counters_and_credits_agree_exactly(today: date) -> None:
    assert_everything_agrees(api_of(today=lambda: today), today)


def test_they_still_agree_after_keys_were_changed_and_ran_wild_and_days_passed() -> None:
    today = Today()
    api = api_of(today=today)
    before = listed(api)[PRODUCTION_KEY.key_hash]["usage_daily"]
    api.run_wild(PRODUCTION_KEY.key_hash, "openai/gpt-4.1", (100, 2_000_000, 500_000))
    assert listed(api)[PRODUCTION_KEY.key_hash]["usage_daily"] == before + 8
    api.delete(CI_KEY.key_hash)
    api.rename(CI_LAB_KEY.key_hash, "integration")
    api.disable(RESEARCH_KEY.key_hash)
    api.add(FakeKey("ci", SECRET, CI, workspace_id=LAB.id))
    assert_everything_agrees(api, TODAY)
    today.day += timedelta(days=9)
    assert_everything_agrees(api, today.day)


def test_the_accounts_of_the_demo_agree_too() -> None:
    account = demo_account(TODAY, history_days=HISTORY_DAYS)
    api = FakeOpenRouter((), account=account, today=lambda: TODAY, history_days=HISTORY_DAYS)
    assert_everything_agrees_for_the_management_secret(api, account.management_secret)


def assert_everything_agrees_for_the_management_secret(api: FakeOpenRouter, secret: str) -> None:
    activity = data_of(get(api, "/activity", secret))
    completed = time_range(TODAY - timedelta(days=30), TODAY - timedelta(days=1))
    answer = data_of(post(api, query_body(metrics=METRICS, time_range=completed), secret))
    assert [summed(activity, field)[field] for field in AMOUNTS] == [
        summed(answer["data"], metric)[metric] for metric in METRICS
    ]


def test_the_difference_of_two_days_counters_is_what_was_used_between() -> None:
    today = Today()
    api = api_of(today=today)

    def before_today() -> Decimal:
        facts = data_of(get(api, "/key", PRODUCTION_KEY.secret))
        spent: Decimal = facts["usage"] - facts["usage_daily"]
        return spent

    spent_before = before_today()
    today.day += timedelta(days=3)
    rows = data_of(get(api, "/activity", api_key_hash=PRODUCTION_KEY.key_hash))
    between = [row for row in rows if row["date"][:10] >= f"{TODAY}"]
    assert before_today() - spent_before == summed(between, "usage")["usage"]
