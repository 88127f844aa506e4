"""The management key's endpoints: each as documented, its quirks included."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.demo.account_api import KEYS_A_PAGE
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.catalog import MODELS
from orwatch.demo.server import Request
from orwatch.demo.usage import CI, NO_USE, PRODUCTION, FakeKey, usage_by_endpoint, usage_of
from orwatch.domain.days import next_month
from orwatch.domain.keys import KeyKind
from orwatch.openrouter.parse import parse_key
from orwatch.secrets import hash_secret
from tests.demo.support import (
    ACCOUNT,
    CI_KEY,
    CI_LAB_KEY,
    IDLE,
    LAB,
    LEAVER,
    MANAGEMENT,
    NEWCOMER,
    PERMASLUG,
    PRODUCTION_KEY,
    RESEARCH_KEY,
    api_of,
    assert_error,
    data_of,
    get,
    summed,
    used,
    with_keys,
)
from tests.support import SECRET, TODAY

YESTERDAY = TODAY - timedelta(days=1)
FIRST_ACTIVITY_DAY = TODAY - timedelta(days=30)
BYOK_DAY = next(day for count in range(1, 30) if usage_of(RESEARCH_KEY, day := TODAY - timedelta(count)))
MANAGEMENT_ENDPOINTS = [
    ("GET", "/activity"),
    ("GET", "/credits"),
    ("GET", "/keys"),
    ("GET", f"/keys/{PRODUCTION_KEY.key_hash}"),
    ("GET", "/workspaces"),
    ("GET", f"/workspaces/{LAB.id}/budgets"),
    ("GET", "/analytics/meta"),
    ("POST", "/analytics/query"),
]


def names_of(api: FakeOpenRouter, **query: str) -> list[str]:
    return [item["name"] for item in data_of(get(api, "/keys", **query))]


@pytest.mark.parametrize("path", ["/key", "/auth/key"])
def test_the_management_key_says_what_it_is_and_has_no_usage_and_no_limit(path: str) -> None:
    answer = get(api_of(), path)
    facts = data_of(answer)
    assert (facts["is_management_key"], facts["is_provisioning_key"]) == (True, True)
    assert {value for name, value in facts.items() if "usage" in name} == {Decimal(0)}
    assert (facts["limit"], facts["limit_remaining"]) == (None, None)
    assert parse_key(answer.body).kind is KeyKind.MANAGEMENT


def test_the_management_key_has_no_rows_of_usage() -> None:
    assert data_of(get(api_of(), "/usage", start_date=f"{YESTERDAY}", end_date=f"{TODAY}")) == []


@pytest.mark.parametrize("secret", [PRODUCTION_KEY.secret, SECRET])
@pytest.mark.parametrize(("method", "path"), MANAGEMENT_ENDPOINTS)
def test_an_ordinary_key_gets_403_with_an_account_too(method: str, path: str, secret: str) -> None:
    api = FakeOpenRouter([FakeKey("stranger", SECRET, CI)], account=ACCOUNT, today=lambda: TODAY)
    answer = api.answer(Request(method, path, secret=secret))
    assert_error(answer, 403, "Only management keys can perform this operation")


def test_an_accounts_key_answers_to_its_own_secret() -> None:
    api = api_of()
    rows = data_of(get(api, "/usage", CI_KEY.secret, start_date=f"{FIRST_ACTIVITY_DAY}", end_date=f"{TODAY}"))
    assert summed(rows, "cost")["cost"] == sum(
        row.cost_usd for row in used(CI_KEY, FIRST_ACTIVITY_DAY, TODAY)
    )
    assert data_of(get(api, "/key", CI_KEY.secret))["is_management_key"] is False


@pytest.mark.parametrize("key", [IDLE, LEAVER], ids=lambda key: key.name)
def test_a_disabled_or_deleted_key_gets_401(key: FakeKey) -> None:
    assert_error(get(api_of(), "/key", key.secret), 401, "User not found.")


def test_a_key_is_good_until_the_day_on_which_it_is_deleted() -> None:
    leaver = replace(LEAVER, deleted_on=TODAY + timedelta(days=1))
    api = api_of(with_keys(leaver))
    assert get(api, "/key", leaver.secret).status == 200
    assert names_of(api) == ["leaver"]


def test_openrouter_itself_does_not_serve_usage() -> None:
    api = api_of(serves_usage=False)
    query = {"start_date": f"{YESTERDAY}", "end_date": f"{TODAY}"}
    assert_error(get(api, "/usage", PRODUCTION_KEY.secret, **query), 404, "Not Found")
    assert get(api, "/key", PRODUCTION_KEY.secret).status == 200


def test_an_older_deployment_serves_neither_analytics_nor_workspaces() -> None:
    api = api_of(serves_analytics=False, serves_workspaces=False)
    query = Request("POST", "/analytics/query", secret=MANAGEMENT)
    assert_error(api.answer(query), 404, "Not Found")
    assert_error(get(api, "/workspaces"), 404, "Not Found")
    assert [get(api, path).status for path in ("/keys", "/activity", "/credits")] == [200] * 3


@pytest.mark.parametrize("secret", [None, "sk-or-v1-unknown", MANAGEMENT])
def test_models_are_public_and_tell_the_permaslug_of_each(secret: str | None) -> None:
    models = data_of(get(api_of(), "/models", secret))
    assert {model["id"]: model["canonical_slug"] for model in models} == {
        slug: model.permaslug for slug, model in MODELS.items()
    }
    assert {"id": "openai/gpt-4.1", "canonical_slug": PERMASLUG}.items() <= next(
        model.items() for model in models if model["id"] == "openai/gpt-4.1"
    )
    (retires_on,) = {model["expiration_date"] for model in models} - {None}
    assert retires_on == next_month(TODAY).isoformat()


def test_workspaces_are_listed_with_their_number() -> None:
    answer = get(api_of(), "/workspaces")
    assert [(item["id"], item["name"], item["slug"]) for item in data_of(answer)] == [
        ("0a1b", "Default", "default"),
        ("7d3c", "Laboratory", "laboratory"),
    ]
    assert b'"total_count": 2' in answer.body


def test_without_a_workspace_only_the_default_ones_keys_are_listed() -> None:
    assert names_of(api_of()) == ["production", "ci", "newcomer"]
    assert names_of(api_of(), workspace_id="0a1b") == ["production", "ci", "newcomer"]


def test_the_keys_of_another_workspace_are_listed_when_it_is_asked_for() -> None:
    assert names_of(api_of(), workspace_id=LAB.id) == ["ci", "research"]
    assert names_of(api_of(), workspace_id="unknown") == []


def test_disabled_keys_are_listed_only_on_request_and_deleted_and_management_keys_never() -> None:
    assert names_of(api_of(), include_disabled="true") == ["production", "ci", "newcomer", "idle"]
    assert names_of(api_of(), include_disabled="false") == ["production", "ci", "newcomer"]


def test_a_page_has_a_hundred_keys_and_an_offset_turns_it() -> None:
    keys = [FakeKey(f"key {number}", f"sk-or-v1-{number}", NO_USE) for number in range(250)]
    api = api_of(with_keys(*keys))
    pages = [names_of(api, offset=f"{offset}") for offset in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [KEYS_A_PAGE, KEYS_A_PAGE, 50, 0]
    assert [name for page in pages for name in page] == [key.name for key in keys]


@pytest.mark.parametrize("offset", ["-1", "", "ten", "1.5", "²"])
def test_an_offset_that_is_no_whole_number_gets_400(offset: str) -> None:
    assert_error(get(api_of(), "/keys", offset=offset), 400, "offset must be")


def test_a_listed_key_has_the_facts_that_it_tells_about_itself() -> None:
    api = api_of()
    for listed in data_of(get(api, "/keys")) + data_of(get(api, "/keys", workspace_id=LAB.id)):
        key = next(key for key in ACCOUNT.keys if hash_secret(key.secret) == listed["hash"])
        facts = data_of(get(api, "/key", key.secret))
        shared = listed.keys() & facts.keys()
        assert {name: listed[name] for name in shared} == {name: facts[name] for name in shared}
        assert set(listed) - shared == {
            "hash",
            "name",
            "disabled",
            "created_at",
            "updated_at",
            "last_used_at",
            "external_user",
        }
        assert {"label", "limit", "limit_remaining", "limit_reset", "usage", "byok_usage", "expires_at"} <= (
            shared
        )


def test_a_listed_key_says_where_it_is_and_since_when() -> None:
    ci, research = data_of(get(api_of(), "/keys", workspace_id=LAB.id))
    newcomer = data_of(get(api_of(), "/keys"))[-1]
    assert (ci["workspace_id"], research["disabled"]) == (LAB.id, False)
    assert newcomer["workspace_id"] == "0a1b"
    assert newcomer["created_at"] == "2026-11-15T09:00:00Z"
    assert data_of(get(api_of(), "/keys", include_disabled="true"))[-1]["disabled"] is True


def test_a_key_has_no_usage_before_the_day_on_which_it_was_created() -> None:
    facts = data_of(get(api_of(), "/key", NEWCOMER.secret))
    assert facts["usage"] == sum(
        row.cost_usd for row in used(replace(NEWCOMER, created_on=None), date(2026, 11, 15), TODAY)
    )


def test_a_byok_key_spends_no_credits_and_its_estimate_is_told_apart() -> None:
    facts = data_of(get(api_of(), "/key", RESEARCH_KEY.secret))
    assert {facts[name] for name in ("usage", "usage_daily", "usage_weekly", "usage_monthly")} == {0}
    assert facts["byok_usage"] > facts["byok_usage_monthly"] > facts["byok_usage_weekly"] > 0
    as_usual = usage_of(replace(RESEARCH_KEY, is_byok=False), BYOK_DAY)
    as_byok = usage_of(RESEARCH_KEY, BYOK_DAY)
    assert [row.byok_cost_usd for row in as_byok] == [row.cost_usd for row in as_usual]
    assert {row.cost_usd for row in as_byok} == {0}


def test_an_expired_key_has_no_usage_after_the_day_on_which_it_expires() -> None:
    expires_at = datetime(2026, 11, 12, 12, tzinfo=UTC)
    key = FakeKey("ci", SECRET, CI, expires_at=expires_at)
    api = api_of(with_keys(key))
    assert_error(get(api, "/key", SECRET), 401, "User not found.")
    days = {row["date"][:10] for row in data_of(get(api, "/activity", api_key_hash=key.key_hash))}
    assert max(days) == "2026-11-12"


def test_credits_are_what_all_keys_deleted_ones_and_the_chat_room_have_spent() -> None:
    users = [key for key in ACCOUNT.keys if not key.is_byok]
    assert ACCOUNT.chat_room is not None
    spent = [row.cost_usd for user in (*users, ACCOUNT.chat_room) for row in used(user, date.min, TODAY)]
    assert data_of(get(api_of(), "/credits")) == {"total_credits": 1000, "total_usage": sum(spent)}


def test_activity_covers_the_thirty_completed_days() -> None:
    days = {row["date"][:10] for row in data_of(get(api_of(), "/activity"))}
    assert (min(days), max(days)) == (f"{FIRST_ACTIVITY_DAY}", f"{YESTERDAY}")


def test_activity_of_one_day_is_that_day_of_the_whole() -> None:
    api = api_of()
    one_day = data_of(get(api, "/activity", date=f"{YESTERDAY}"))
    assert summed(one_day, "requests", "usage") == summed(
        [row for row in data_of(get(api, "/activity")) if row["date"][:10] == f"{YESTERDAY}"],
        "requests",
        "usage",
    )


@pytest.mark.parametrize("day", [TODAY, TODAY + timedelta(days=1), FIRST_ACTIVITY_DAY - timedelta(days=1)])
def test_activity_of_today_or_of_a_day_too_old_gets_400(day: date) -> None:
    assert_error(get(api_of(), "/activity", date=f"{day}"), 400, "within the last 30 (completed) UTC days")


@pytest.mark.parametrize("day", ["", "yesterday", "20261119", "2026-11-31"])
def test_activity_of_a_malformed_day_gets_400(day: str) -> None:
    assert_error(get(api_of(), "/activity", date=day), 400, "date must be a date")


def test_activity_has_every_documented_field_and_some_only_sometimes() -> None:
    rows = data_of(get(api_of(), "/activity"))
    always = {
        *("date", "model", "model_permaslug", "endpoint_id", "provider_name", "usage"),
        *("byok_usage_inference", "requests", "prompt_tokens", "completion_tokens", "reasoning_tokens"),
        "cached_tokens",
    }
    assert set.intersection(*(set(row) for row in rows)) == always
    assert set().union(*rows) == always | {"byok_requests"}


def test_activity_writes_a_day_now_with_a_time_and_now_without() -> None:
    forms = {re.sub(r"\d", "0", row["date"]) for row in data_of(get(api_of(), "/activity"))}
    assert forms == {"0000-00-00", "0000-00-00 00:00:00"}


def test_activity_gives_one_day_and_model_several_times_even_for_one_provider() -> None:
    rows = data_of(get(api_of(), "/activity", date=f"{YESTERDAY}", api_key_hash=PRODUCTION_KEY.key_hash))
    sonnet = [row for row in rows if row["model"] == "anthropic/claude-sonnet-4.5"]
    assert sorted(row["provider_name"] for row in sonnet) == [
        "Amazon Bedrock",
        "Anthropic",
        "Anthropic",
        "Google",
    ]
    assert len({row["endpoint_id"] for row in sonnet}) == 4


def test_activity_of_the_account_adds_its_keys_up_in_one_row_per_endpoint() -> None:
    rows = data_of(get(api_of(), "/activity"))
    assert len({(row["date"][:10], row["endpoint_id"]) for row in rows}) == len(rows)


def test_the_rows_of_a_day_and_model_add_up_to_the_nano_dollar() -> None:
    rows = data_of(get(api_of(), "/activity", api_key_hash=PRODUCTION_KEY.key_hash))
    for expected in used(PRODUCTION_KEY, FIRST_ACTIVITY_DAY, YESTERDAY):
        parts = [
            row
            for row in rows
            if (row["date"][:10], row["model"]) == (expected.day.isoformat(), expected.model)
        ]
        assert summed(
            parts,
            "requests",
            "prompt_tokens",
            "completion_tokens",
            "usage",
            "reasoning_tokens",
            "cached_tokens",
        ) == {
            "requests": expected.requests,
            "prompt_tokens": expected.tokens_input,
            "completion_tokens": expected.tokens_output,
            "usage": expected.cost_usd,
            "reasoning_tokens": expected.tokens_reasoning,
            "cached_tokens": expected.tokens_cached,
        }


def test_reasoning_tokens_are_part_of_the_output_and_cached_ones_of_the_input() -> None:
    rows = data_of(get(api_of(), "/activity"))
    assert all(row["reasoning_tokens"] <= row["completion_tokens"] for row in rows)
    assert all(row["cached_tokens"] <= row["prompt_tokens"] for row in rows)
    assert any(row["reasoning_tokens"] for row in rows)


def test_a_byok_row_has_its_cost_as_an_estimate_only() -> None:
    rows = data_of(get(api_of(), "/activity", api_key_hash=RESEARCH_KEY.key_hash))
    assert {row["usage"] for row in rows} == {0}
    assert all(row["byok_usage_inference"] > 0 and row["byok_requests"] == row["requests"] for row in rows)


def test_usage_by_endpoint_is_what_activity_tells() -> None:
    rows = data_of(get(api_of(), "/activity", date=f"{BYOK_DAY}", api_key_hash=RESEARCH_KEY.key_hash))
    parts = [part for row in usage_of(RESEARCH_KEY, BYOK_DAY) for part in usage_by_endpoint(row)]
    assert {
        (row["endpoint_id"], row["provider_name"], row["requests"], row["byok_usage_inference"])
        for row in rows
    } == {(part.endpoint_id, part.provider, part.requests, part.byok_cost_usd) for part in parts}
    assert len(parts) == len(rows) > 0


def test_activity_still_knows_a_deleted_key() -> None:
    days = {row["date"][:10] for row in data_of(get(api_of(), "/activity", api_key_hash=LEAVER.key_hash))}
    assert days
    assert max(days) < f"{LEAVER.deleted_on}"


@pytest.mark.parametrize("key_hash", ["0" * 64, "", hash_secret(""), hash_secret(MANAGEMENT)])
def test_activity_of_a_key_that_never_was_is_empty(key_hash: str) -> None:
    assert data_of(get(api_of(), "/activity", api_key_hash=key_hash)) == []


def test_activity_of_a_workspace_is_that_of_its_keys() -> None:
    api = api_of()
    rows = data_of(get(api, "/activity", workspace_id=LAB.id))
    of_keys = [
        row
        for key in (CI_LAB_KEY, RESEARCH_KEY)
        for row in data_of(get(api, "/activity", api_key_hash=key.key_hash))
    ]
    fields = ("requests", "usage", "byok_usage_inference")
    assert summed(rows, *fields) == summed(of_keys, *fields)
    assert not any("workspace_id" in row for row in rows)


def test_activity_by_workspace_tells_each_row_s_workspace() -> None:
    api = api_of()
    rows = data_of(get(api, "/activity", group_by="workspace"))
    assert {row["workspace_id"] for row in rows} == {"0a1b", LAB.id}
    assert summed(rows, "usage") == summed(data_of(get(api, "/activity")), "usage")
    assert_error(get(api, "/activity", group_by="model"), 400, "group_by must be workspace")


def test_the_chat_room_is_in_the_accounts_rows_and_in_no_keys() -> None:
    api = api_of(replace(ACCOUNT, keys=()))
    assert ACCOUNT.chat_room is not None
    rows = data_of(get(api, "/activity"))
    assert summed(rows, "usage")["usage"] == sum(
        row.cost_usd for row in used(ACCOUNT.chat_room, FIRST_ACTIVITY_DAY, YESTERDAY)
    )
    assert rows
    assert data_of(get(api, "/keys")) == []


def test_an_account_without_a_chat_room_has_only_its_keys() -> None:
    api = api_of(replace(with_keys(FakeKey("p", SECRET, PRODUCTION)), chat=None))
    assert data_of(get(api, "/credits"))["total_usage"] == data_of(get(api, "/key", SECRET))["usage"]


def test_a_single_request_goes_to_a_single_endpoint() -> None:
    row = replace(usage_of(PRODUCTION_KEY, YESTERDAY)[0], requests=1, tokens_input=7, tokens_output=3)
    (part,) = usage_by_endpoint(row)
    assert (part.requests, part.tokens_input, part.tokens_output) == (1, 7, 3)
