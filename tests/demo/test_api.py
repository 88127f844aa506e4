"""The fake server: what OpenRouter answers to ordinary keys, with counters that are exactly their rows."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from freezegun import freeze_time

from orwatch.demo.api import FakeOpenRouter, demo_keys, utc_today
from orwatch.demo.server import Request, Response
from orwatch.demo.usage import CI, PRODUCTION, FakeKey, LimitReset, usage_of
from orwatch.domain.keys import KeyKind
from orwatch.openrouter.parse import parse_error, parse_key, parse_usage
from tests.support import SECRET, TODAY

KEY = FakeKey("production", SECRET, PRODUCTION)
FIRST_DAY = TODAY - timedelta(days=29)
MANAGEMENT_ENDPOINTS = [
    ("GET", "/activity"),
    ("GET", "/credits"),
    ("GET", "/keys"),
    ("GET", "/workspaces"),
    ("POST", "/analytics/query"),
]


def api_of(*keys: FakeKey, today: date = TODAY) -> FakeOpenRouter:
    return FakeOpenRouter(keys or (KEY,), today=lambda: today)


def get(api: FakeOpenRouter, path: str, secret: str | None = SECRET, **query: str) -> Response:
    return api.answer(Request("GET", path, query, secret))


def data_of(response: Response) -> Any:
    assert response.status == 200
    # Every number as the decimal that it is in the text, whole ones included.
    return json.loads(response.body, parse_float=Decimal, parse_int=Decimal)["data"]


def rows_of(api: FakeOpenRouter, since: date, until: date, secret: str = SECRET) -> Any:
    return data_of(get(api, "/usage", secret, start_date=f"{since}", end_date=f"{until}"))


def cost_since(rows: Any, since: date) -> Decimal:
    return sum((row["cost"] for row in rows if row["date"] >= since.isoformat()), Decimal(0))


def assert_error(response: Response, status: int, message: str) -> None:
    assert response.status == status
    assert json.loads(response.body) == {"error": {"code": status, "message": message}}
    assert parse_error(response.body) == message


@pytest.mark.parametrize("path", ["/key", "/auth/key"])
def test_key_answers_every_documented_field_at_both_its_addresses(path: str) -> None:
    assert set(data_of(get(api_of(), path))) == {
        *("label", "usage", "usage_daily", "usage_weekly", "usage_monthly"),
        *("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"),
        *("limit", "limit_remaining", "limit_reset", "include_byok_in_limit", "expires_at"),
        *("is_free_tier", "is_management_key", "is_provisioning_key", "creator_user_id", "rate_limit"),
        *("organization_id", "workspace_id", "allowed_data_regions"),
        *("budgets", "effective_budget", "free_model_daily_requests"),
    }


@pytest.mark.parametrize("today", [TODAY, date(2026, 11, 16), date(2026, 11, 1), date(2026, 12, 31)])
@pytest.mark.parametrize("key", demo_keys(TODAY + timedelta(days=60)), ids=lambda key: key.name)
def test_counters_equal_the_sums_of_the_rows_exactly(key: FakeKey, today: date) -> None:
    api = api_of(key, today=today)
    rows = rows_of(api, today - timedelta(days=400), today, key.secret)
    counters = data_of(get(api, "/key", key.secret))
    assert counters["usage"] == cost_since(rows, date.min)
    assert counters["usage_daily"] == cost_since(rows, today)
    assert counters["usage_weekly"] == cost_since(rows, today - timedelta(days=today.weekday()))
    assert counters["usage_monthly"] == cost_since(rows, today.replace(day=1))


@pytest.mark.parametrize(
    ("limit_reset", "counter"),
    [("daily", "usage_daily"), ("weekly", "usage_weekly"), ("monthly", "usage_monthly"), (None, "usage")],
)
def test_what_remains_of_a_limit_counts_from_its_last_reset(
    limit_reset: LimitReset | None, counter: str
) -> None:
    key = FakeKey("production", SECRET, PRODUCTION, limit_usd=Decimal("20.5"), limit_reset=limit_reset)
    facts = data_of(get(api_of(key), "/key"))
    assert (facts["limit"], facts["limit_reset"]) == (Decimal("20.5"), limit_reset)
    assert facts["limit_remaining"] == Decimal("20.5") - facts[counter]


def test_what_remains_of_a_limit_may_be_negative() -> None:
    key = FakeKey("production", SECRET, PRODUCTION, limit_usd=Decimal(1))
    assert data_of(get(api_of(key), "/key"))["limit_remaining"] < 0


def test_a_key_without_a_limit_has_null_limits_and_no_expiry() -> None:
    facts = data_of(get(api_of(), "/key"))
    assert [facts[name] for name in ("limit", "limit_remaining", "limit_reset", "expires_at")] == [None] * 4


def test_the_products_own_parser_reads_the_key() -> None:
    expires_at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    key = FakeKey("ci", SECRET, CI, Decimal(5), "weekly", expires_at, is_free_tier=True)
    answer = get(api_of(key), "/key")
    facts = parse_key(answer.body)
    assert (facts.kind, facts.limit_usd, facts.limit_reset) == (KeyKind.INFERENCE, Decimal(5), "weekly")
    assert (facts.expires_at, facts.is_free_tier) == (expires_at, True)
    assert b'"expires_at": "2026-11-25T12:00:00Z"' in answer.body


def test_the_label_shows_only_the_ends_of_the_secret() -> None:
    answer = get(api_of(), "/key")
    assert data_of(answer)["label"] == "sk-or-v1-012...29f"
    assert SECRET.encode() not in answer.body


def test_usage_gives_the_rows_of_the_days_asked_for_both_inclusive() -> None:
    since, until = TODAY - timedelta(days=3), TODAY - timedelta(days=1)
    rows = rows_of(api_of(), since, until)
    expected = [row for count in range(3) for row in usage_of(KEY, since + timedelta(days=count))]
    assert rows == [
        {
            "date": row.day.isoformat(),
            "model": row.model,
            "requests_count": row.requests,
            "tokens_input": row.tokens_input,
            "tokens_output": row.tokens_output,
            "cost": row.cost_usd,
        }
        for row in expected
    ]


def test_the_products_own_parser_believes_every_row_of_usage() -> None:
    body = get(api_of(), "/usage", start_date=f"{FIRST_DAY}", end_date=f"{TODAY}").body
    answer = parse_usage(body, FIRST_DAY, TODAY)
    assert len(answer.rows) == 150
    assert answer.rejected == ()


def test_costs_are_json_numbers_with_all_their_digits() -> None:
    key = FakeKey("ci", SECRET, CI)
    body = get(api_of(key), "/usage", start_date=f"{TODAY}", end_date=f"{TODAY}").body
    costs = re.findall(rb'"cost": ([^}]+)}', body)
    assert costs == [f"{row.cost_usd:f}".encode() for row in usage_of(key, TODAY)]


def test_days_outside_of_the_history_and_in_the_future_are_absent() -> None:
    rows = rows_of(api_of(), TODAY - timedelta(days=100), TODAY + timedelta(days=100))
    assert (rows[0]["date"], rows[-1]["date"]) == (FIRST_DAY.isoformat(), TODAY.isoformat())


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (FIRST_DAY - timedelta(days=9), FIRST_DAY - timedelta(days=1)),
        (TODAY + timedelta(days=1), TODAY + timedelta(days=9)),
    ],
    ids=["before", "future"],
)
def test_a_window_without_any_history_is_an_empty_list(since: date, until: date) -> None:
    assert rows_of(api_of(), since, until) == []


def test_the_history_is_as_long_as_asked_for() -> None:
    api = FakeOpenRouter([KEY], today=lambda: TODAY, history_days=1)
    assert {row["date"] for row in rows_of(api, FIRST_DAY, TODAY)} == {TODAY.isoformat()}
    facts = data_of(get(api, "/key"))
    assert facts["usage"] == facts["usage_daily"]


def test_the_history_goes_on_as_days_pass_and_loses_nothing() -> None:
    today = TODAY
    api = FakeOpenRouter([KEY], today=lambda: today)
    before = data_of(get(api, "/key"))
    today += timedelta(days=3)
    rows = rows_of(api, FIRST_DAY, today)
    assert (rows[0]["date"], rows[-1]["date"]) == (FIRST_DAY.isoformat(), today.isoformat())
    after = data_of(get(api, "/key"))
    spent_between = sum(
        row.cost_usd for count in range(3) for row in usage_of(KEY, TODAY + timedelta(days=count))
    )
    assert (after["usage"] - after["usage_daily"]) - (
        before["usage"] - before["usage_daily"]
    ) == spent_between


@pytest.mark.parametrize("wrong", ["", "yesterday", "2026-11-31", "20261120", "2026-W47-5", "2026-11-20T00"])
@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_a_malformed_date_gets_400(name: str, wrong: str) -> None:
    query = {"start_date": f"{TODAY}", "end_date": f"{TODAY}", name: wrong}
    assert_error(get(api_of(), "/usage", **query), 400, f"{name} must be a date as YYYY-MM-DD")


@pytest.mark.parametrize(("given", "missing"), [("start_date", "end_date"), ("end_date", "start_date")])
def test_a_missing_date_gets_400(given: str, missing: str) -> None:
    answer = get(api_of(), "/usage", **{given: f"{TODAY}"})
    assert_error(answer, 400, f"{missing} must be a date as YYYY-MM-DD")


def test_a_window_that_ends_before_it_starts_gets_400() -> None:
    answer = get(api_of(), "/usage", start_date=f"{TODAY}", end_date=f"{FIRST_DAY}")
    assert_error(answer, 400, "start_date must not be after end_date")


@pytest.mark.parametrize("path", ["/key", "/auth/key", "/usage", "/keys"])
def test_a_request_without_a_key_gets_401(path: str) -> None:
    assert_error(get(api_of(), path, None), 401, "No auth credentials found")


@pytest.mark.parametrize("path", ["/key", "/auth/key", "/usage", "/keys"])
def test_an_unknown_key_gets_401(path: str) -> None:
    assert_error(get(api_of(), path, "sk-or-v1-unknown"), 401, "User not found.")


def test_a_revoked_key_gets_401_and_the_others_go_on() -> None:
    other = FakeKey("ci", "sk-or-v1-other", CI)
    api = api_of(KEY, other)
    assert get(api, "/key", other.secret).status == 200
    api.revoke("ci")
    assert_error(get(api, "/key", other.secret), 401, "User not found.")
    assert get(api, "/key").status == 200


def test_a_key_can_be_revoked_from_the_start() -> None:
    api = api_of(FakeKey("old", SECRET, CI, is_revoked=True))
    assert_error(get(api, "/key"), 401, "User not found.")


def test_revoking_a_name_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(LookupError, match="there is no key named 'typo'"):
        api_of().revoke("typo")


@pytest.mark.parametrize(("day", "status"), [(TODAY, 200), (TODAY - timedelta(days=1), 401)])
def test_a_key_is_good_through_the_day_on_which_it_expires(day: date, status: int) -> None:
    expires_at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert get(api_of(FakeKey("ci", SECRET, CI, expires_at=expires_at)), "/key").status == status


@pytest.mark.parametrize(("method", "path"), MANAGEMENT_ENDPOINTS)
def test_an_ordinary_key_gets_403_from_management_endpoints(method: str, path: str) -> None:
    answer = api_of().answer(Request(method, path, secret=SECRET))
    assert_error(answer, 403, "Only management keys can perform this operation")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/generation"), ("POST", "/key"), ("GET", "/analytics/query")]
)
def test_anything_else_gets_404(method: str, path: str) -> None:
    assert_error(api_of().answer(Request(method, path, secret=SECRET)), 404, "Not Found")


def test_keys_can_be_revoked_while_others_ask() -> None:
    keys = [FakeKey(f"key {number}", f"sk-or-v1-{number}", CI) for number in range(20)]
    api = api_of(*keys)
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(get(api, "/key", key.secret).status for key in keys)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for key in keys:
        api.revoke(key.name)
    for thread in threads:
        thread.join()
    assert len(statuses) == 80
    assert set(statuses) <= {200, 401}
    assert {get(api, "/key", key.secret).status for key in keys} == {401}


def test_without_a_today_of_its_own_it_takes_the_utc_day() -> None:
    with freeze_time("2026-11-20 23:59:59"):
        assert utc_today() == TODAY
        assert rows_of(FakeOpenRouter([KEY]), FIRST_DAY, TODAY + timedelta(days=1))[-1]["date"] == f"{TODAY}"


def test_the_demo_has_three_keys_with_secrets_that_look_real() -> None:
    keys = demo_keys(TODAY)
    assert [key.name for key in keys] == ["production", "ci", "old-laptop"]
    assert all(re.fullmatch("sk-or-v1-[0-9a-f]{64}", key.secret) for key in keys)
    assert len({key.secret for key in keys}) == 3
    assert keys == demo_keys(TODAY)


def test_the_demos_production_key_has_a_monthly_limit_that_is_not_used_up() -> None:
    production, _, _ = demo_keys(TODAY)
    facts = data_of(get(api_of(production), "/key", production.secret))
    assert facts["limit_reset"] == "monthly"
    assert 0 < facts["limit_remaining"] < facts["limit"]


def test_the_demos_ci_key_expires_five_days_from_today() -> None:
    _, ci, old_laptop = demo_keys(TODAY)
    assert ci.expires_at == datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert old_laptop.expires_at is None
