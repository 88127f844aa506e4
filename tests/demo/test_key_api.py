"""What is listed of keys and workspaces, and the budgets, limits and quotas of a key."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.demo.account import FakeBudget, FakeWorkspace
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.usage import CI, NO_USE, PRODUCTION, FakeKey, LimitReset, usage_of
from orwatch.secrets import hash_secret
from tests.demo.support import (
    ACCOUNT,
    CI_KEY,
    CI_LAB_KEY,
    IDLE,
    LAB,
    LEAVER,
    MANAGEMENT,
    PRODUCTION_KEY,
    RESEARCH_KEY,
    api_of,
    assert_error,
    data_of,
    get,
    listed,
    used,
    with_keys,
)
from tests.support import SECRET, TODAY

DEFAULT = ACCOUNT.workspaces[0]
BUDGET = FakeBudget("b1", Decimal("2.5"), "weekly")
BUDGETED = replace(ACCOUNT, workspaces=(replace(DEFAULT, budget=BUDGET), LAB))


def names_of(api: FakeOpenRouter, **query: str) -> list[str]:
    return [item["name"] for item in data_of(get(api, "/keys", **query))]


def test_workspaces_come_fifty_a_page_unless_up_to_a_hundred_are_asked_for() -> None:
    spaces = tuple(FakeWorkspace(f"w{number}", f"Space {number}", f"w{number}") for number in range(120))
    api = api_of(replace(ACCOUNT, workspaces=spaces))

    def page(**query: str) -> list[str]:
        answer = get(api, "/workspaces", **query)
        assert json.loads(answer.body)["total_count"] == 120
        return [item["id"] for item in data_of(answer)]

    ids = [space.id for space in spaces]
    assert page() == ids[:50]
    assert page(offset="50") + page(offset="100") == ids[50:]
    assert page(limit="100") == ids[:100]
    assert page(offset="120") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"offset": "-1"}, "offset must be"),
        ({"limit": "0"}, "limit must be"),
        ({"limit": "101"}, "limit must be"),
    ],
)
def test_a_page_of_workspaces_that_does_not_exist_gets_400(query: dict[str, str], message: str) -> None:
    assert_error(get(api_of(), "/workspaces", **query), 400, message)


def test_expired_keys_are_listed_only_on_request() -> None:
    expired = FakeKey("expired", SECRET, CI, expires_at=datetime(2026, 11, 19, 12, tzinfo=UTC))
    last_day = FakeKey("last day", f"{SECRET}0", CI, expires_at=datetime(2026, 11, 20, 12, tzinfo=UTC))
    api = api_of(with_keys(expired, last_day))
    assert names_of(api, include_disabled="true") == ["last day"]
    assert names_of(api, include_expired="true") == ["expired", "last day"]


def test_one_key_is_found_by_its_hash_wherever_it_is() -> None:
    api = api_of()
    for key in (PRODUCTION_KEY, RESEARCH_KEY, IDLE):
        assert data_of(get(api, f"/keys/{key.key_hash}")) == listed(api)[key.key_hash]
    for key_hash in (LEAVER.key_hash, "0" * 64, hash_secret(MANAGEMENT)):
        assert_error(get(api, f"/keys/{key_hash}"), 404, "API key not found")


def test_a_key_was_last_used_on_its_last_day_with_a_request() -> None:
    api = api_of()
    api.add(FakeKey("unused", SECRET, NO_USE))
    items = listed(api)
    last = date.fromisoformat(items[RESEARCH_KEY.key_hash]["last_used_at"][:10])
    assert usage_of(RESEARCH_KEY, last)
    assert used(RESEARCH_KEY, last + timedelta(days=1), TODAY) == []
    assert items[PRODUCTION_KEY.key_hash]["last_used_at"] == f"{TODAY}T00:00:00Z"
    assert items[hash_secret(SECRET)]["last_used_at"] is None


def test_a_key_that_is_yet_to_be_created_was_never_used() -> None:
    tomorrow = replace(PRODUCTION_KEY, created_on=TODAY + timedelta(days=1))
    assert listed(api_of(with_keys(tomorrow)))[tomorrow.key_hash]["last_used_at"] is None


def test_the_budget_of_a_workspace_is_what_all_in_it_spend_but_by_byok() -> None:
    facts = data_of(get(api_of(BUDGETED), "/key", PRODUCTION_KEY.secret))
    by_workspace, own = facts["budgets"]
    chat_room = ACCOUNT.chat_room
    assert chat_room is not None
    users = [*(key for key in ACCOUNT.keys if key.workspace_id != LAB.id), chat_room]
    spent = sum(row.cost_usd for user in users for row in used(user, date(2026, 11, 16), TODAY))
    assert by_workspace == {
        "scope": "workspace",
        "budget_id": "b1",
        "guardrail_id": None,
        "include_byok": False,
        "limit_usd": Decimal("2.5"),
        "spend_usd": spent,
        "remaining_usd": Decimal("2.5") - spent,
        "reset_interval": "weekly",
        "resets_at": "2026-11-23T00:00:00Z",
    }
    assert (own["scope"], own["budget_id"], own["resets_at"]) == ("key_limit", None, "2026-12-01T00:00:00Z")
    assert (own["limit_usd"], own["remaining_usd"]) == (facts["limit"], facts["limit_remaining"])
    assert own["spend_usd"] == facts["usage_monthly"]


@pytest.mark.parametrize(
    ("limit", "budget", "scope"),
    [
        ("1", "1", "workspace"),
        ("1", "100000", "key_limit"),
        ("100000", "90000", "workspace"),
        ("10000", "90000", "key_limit"),
    ],
)
def test_the_first_budget_that_is_spent_blocks_or_else_the_one_with_the_least_left(
    limit: str, budget: str, scope: str
) -> None:
    key = replace(PRODUCTION_KEY, limit_usd=Decimal(limit), limit_reset=None)
    space = replace(DEFAULT, budget=replace(BUDGET, limit_usd=Decimal(budget)))
    api = api_of(replace(ACCOUNT, keys=(key,), workspaces=(space,)))
    assert data_of(get(api, "/key", key.secret))["effective_budget"]["scope"] == scope


@pytest.mark.parametrize("secret", [CI_LAB_KEY.secret, MANAGEMENT])
def test_where_nothing_is_budgeted_nothing_blocks(secret: str) -> None:
    facts = data_of(get(api_of(BUDGETED), "/key", secret))
    assert (facts["budgets"], facts["effective_budget"]) == ([], None)


@pytest.mark.parametrize(
    ("reset", "resets_at"),
    [("daily", "2026-11-21T00:00:00Z"), ("monthly", "2026-12-01T00:00:00Z"), (None, None)],
)
def test_a_limit_resets_when_its_next_window_begins(reset: LimitReset | None, resets_at: str | None) -> None:
    key = replace(PRODUCTION_KEY, limit_reset=reset)
    (budget,) = data_of(get(api_of(with_keys(key)), "/key", key.secret))["budgets"]
    assert (budget["reset_interval"], budget["resets_at"]) == (reset, resets_at)


def test_a_key_of_somebody_elses_is_in_an_account_of_its_own() -> None:
    stranger = FakeKey("stranger", SECRET, PRODUCTION)
    facts = data_of(get(FakeOpenRouter([stranger], account=BUDGETED, today=lambda: TODAY), "/key", SECRET))
    assert facts["budgets"] == []
    free = sum(row.requests for row in used(stranger, TODAY, TODAY) if row.model.endswith(":free"))
    assert facts["free_model_daily_requests"]["used"] == free > 0


def test_the_budgets_of_a_workspace_are_listed() -> None:
    api = api_of(BUDGETED)
    assert data_of(get(api, f"/workspaces/{LAB.id}/budgets")) == []
    (item,) = data_of(get(api, f"/workspaces/{DEFAULT.id}/budgets"))
    assert data_of(get(api, f"/workspaces/{DEFAULT.slug}/budgets")) == [item]
    assert (item["id"], item["workspace_id"]) == ("b1", DEFAULT.id)
    assert (item["limit_usd"], item["reset_interval"]) == (Decimal("2.5"), "weekly")
    assert_error(get(api, "/workspaces/unknown/budgets"), 404, "Workspace not found")


@pytest.mark.parametrize(("bought", "limit"), [("0", 50), ("9.99", 50), ("10", 1000)])
def test_requests_to_free_models_are_the_accounts_and_more_once_it_has_paid(bought: str, limit: int) -> None:
    api = api_of(replace(ACCOUNT, total_credits_usd=Decimal(bought)))
    rows = [row for key in ACCOUNT.keys for row in used(key, TODAY, TODAY)]
    free = sum(row.requests for row in rows if row.model.endswith(":free"))
    assert free > 0
    for secret in (CI_KEY.secret, MANAGEMENT):
        quota = data_of(get(api, "/key", secret))["free_model_daily_requests"]
        assert quota == {"limit": limit, "used": free, "remaining": max(0, limit - free)}
