"""What the API answers about a key: its counters, its limit, and the budgets that are enforced for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

from orwatch.demo.server import Json, Response, json_response
from orwatch.demo.state import CREATOR, FakeAccountState, time_text
from orwatch.demo.usage import FakeKey, LimitReset
from orwatch.domain.days import midnight, month_start, next_month, week_start
from orwatch.domain.money import ZERO, from_nano

FREE_REQUESTS_A_DAY = 50
FREE_REQUESTS_A_DAY_ONCE_PAID = 1000
PAID_FROM_USD = 10

_COUNTERS: dict[str, LimitReset | None] = {
    "usage": None,
    "usage_daily": "daily",
    "usage_weekly": "weekly",
    "usage_monthly": "monthly",
}


def answer_key(key: FakeKey, state: FakeAccountState) -> Response:
    """``GET /key``. A management key spends in no workspace, so nothing is budgeted for it."""
    is_management = key.secret == state.account.management_secret
    budgets = [] if is_management else _budgets(key, state)
    data: dict[str, Json] = {
        **key_facts(key, state),
        "is_free_tier": key.is_free_tier,
        "is_management_key": is_management,
        "is_provisioning_key": is_management,
        "organization_id": None,
        "workspace_id": None if is_management else state.account.workspace_id_of(key),
        "allowed_data_regions": ["global"],
        "budgets": budgets,
        "effective_budget": _effective(budgets),
        "free_model_daily_requests": _free_requests(state),
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
    }
    return json_response({"data": data})


def key_facts(key: FakeKey, state: FakeAccountState) -> dict[str, Json]:
    """The label, counters and limits of a key, which ``/key`` and ``/keys`` report alike."""
    spent = {counter: _spent_usd([key], reset, state) for counter, reset in _COUNTERS.items()}
    unused = dict.fromkeys(spent, ZERO)
    credits_usd, byok_usd = (unused, spent) if key.is_byok else (spent, unused)
    used_usd = ZERO if key.is_byok else _spent_usd([key], key.limit_reset, state)
    return {
        "label": f"{key.secret[:12]}...{key.secret[-3:]}",
        **credits_usd,
        **{f"byok_{counter}": usd for counter, usd in byok_usd.items()},
        "limit": key.limit_usd,
        "limit_remaining": None if key.limit_usd is None else key.limit_usd - used_usd,
        "limit_reset": key.limit_reset,
        "include_byok_in_limit": False,
        "expires_at": None if key.expires_at is None else time_text(key.expires_at),
        "creator_user_id": CREATOR,
    }


def _budgets(key: FakeKey, state: FakeAccountState) -> list[dict[str, Any]]:
    """Every budget in the order in which it is enforced: the workspace's, then the key's own limit."""
    workspace_id = state.account.workspace_id_of(key)
    workspace = state.workspace(workspace_id)
    budgets = []
    if workspace is not None and workspace.budget is not None:
        users = [user for user in state.users if state.account.workspace_id_of(user) == workspace_id]
        budget = workspace.budget
        budgets.append(_budget("workspace", budget.limit_usd, budget.reset, users, state, budget.id))
    if key.limit_usd is not None:
        budgets.append(_budget("key_limit", key.limit_usd, key.limit_reset, [key], state))
    return budgets


def _budget(
    scope: str,
    limit_usd: Decimal,
    reset: LimitReset | None,
    users: Iterable[FakeKey],
    state: FakeAccountState,
    budget_id: str | None = None,
) -> dict[str, Any]:
    spent_usd = _spent_usd((user for user in users if not user.is_byok), reset, state)
    resets_on = _window(reset, state.today)[1]
    return {
        "scope": scope,
        "limit_usd": limit_usd,
        "spend_usd": spent_usd,
        "remaining_usd": limit_usd - spent_usd,
        "reset_interval": reset,
        "resets_at": None if resets_on is None else time_text(midnight(resets_on)),
        "include_byok": False,
        "guardrail_id": None,
        "budget_id": budget_id,
    }


def _effective(budgets: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The budget that blocks first: of those that are spent the first, or else that with the least left."""
    spent = [budget for budget in budgets if budget["remaining_usd"] <= 0]
    return spent[0] if spent else min(budgets, key=itemgetter("remaining_usd"), default=None)


def _free_requests(state: FakeAccountState) -> dict[str, Json]:
    """What is left today of the account's requests to ``:free`` models; BYOK requests do not count."""
    has_paid = state.account.total_credits_usd >= PAID_FROM_USD
    limit = FREE_REQUESTS_A_DAY_ONCE_PAID if has_paid else FREE_REQUESTS_A_DAY
    used = sum(
        counts[0]
        for user in state.users
        if not user.is_byok
        for _, model, counts in state.ledger.rows(user, state.today, state.today)
        if model.slug.endswith(":free")
    )
    return {"limit": limit, "used": used, "remaining": max(0, limit - used)}


def _spent_usd(users: Iterable[FakeKey], reset: LimitReset | None, state: FakeAccountState) -> Decimal:
    """What these have spent since the last reset (None: in their whole life), the BYOK estimate included."""
    since = _window(reset, state.today)[0]
    return from_nano(sum(state.ledger.cost_nano(user, since, state.today) for user in users))


def _window(reset: LimitReset | None, today: date) -> tuple[date, date | None]:
    """The first day of the current window, and the day on which the next begins."""
    if reset is None:
        return date.min, None
    if reset == "daily":
        return today, today + timedelta(days=1)
    if reset == "weekly":
        monday = week_start(today)
        return monday, monday + timedelta(days=7)
    return month_start(today), next_month(today)
