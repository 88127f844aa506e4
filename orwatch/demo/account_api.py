"""What a management key is answered about its account: workspaces, keys, completed days and credits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeAlias

from orwatch.demo.account import FakeAccount, credits_used_usd, users_of
from orwatch.demo.catalog import MODELS, Endpoint, Model, split
from orwatch.demo.ledger import Ledger
from orwatch.demo.server import Json, Request, Response, error_response, json_response
from orwatch.demo.usage import FakeKey
from orwatch.domain.money import from_nano

PAGE_SIZE = 100
ACTIVITY_DAYS = 30
CREATOR = "user_demo"

# Workspace (None: they are not told apart), day, model and place among the model's endpoints.
_ActivityGroup: TypeAlias = tuple[str | None, date, str, str]


@dataclass(frozen=True, slots=True)
class AccountState:
    """The account as it is now: ``keys`` are all that it ever had, deleted ones included."""

    account: FakeAccount
    keys: tuple[FakeKey, ...]
    ledger: Ledger
    today: date

    @property
    def users(self) -> tuple[FakeKey, ...]:
        """The keys, and the chat room where there is one."""
        return users_of(self.account, self.keys)


@dataclass(slots=True)
class _ActivityRow:
    """The sums of one row of ``/activity``; costs in nano-dollars."""

    model: Model
    endpoint: Endpoint
    requests: int = 0
    byok_requests: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_reasoning: int = 0
    tokens_cached: int = 0
    cost_nano: int = 0
    byok_cost_nano: int = 0


def answer_models() -> Response:
    """``GET /models``: public, whatever the key."""
    return json_response(
        {
            "data": [
                {
                    "id": model.slug,
                    "canonical_slug": model.permaslug,
                    "name": model.slug.partition("/")[2],
                    "pricing": {
                        "prompt": f"{model.price.input_usd.scaleb(-6):f}",
                        "completion": f"{model.price.output_usd.scaleb(-6):f}",
                    },
                }
                for model in MODELS.values()
            ]
        }
    )


def answer_workspaces(_request: Request, state: AccountState) -> Response:
    """``GET /workspaces``."""
    workspaces = state.account.workspaces
    return json_response(
        {
            "data": [
                {"id": workspace.id, "name": workspace.name, "slug": workspace.slug}
                for workspace in workspaces
            ],
            "total_count": len(workspaces),
        }
    )


def answer_credits(_request: Request, state: AccountState) -> Response:
    """``GET /credits``: the whole account's, deleted keys and the chat room included."""
    used_usd = credits_used_usd(state.account, state.keys, state.ledger, state.today)
    return json_response(
        {"data": {"total_credits": state.account.total_credits_usd, "total_usage": used_usd}}
    )


def answer_keys(request: Request, state: AccountState) -> Response:
    """``GET /keys``: a page of one workspace's keys; deleted ones are never listed."""
    offset = request.query.get("offset", "0")
    if not (offset.isascii() and offset.isdigit()):
        return error_response(400, "offset must be a whole number that is not negative")
    account = state.account
    workspace_id = request.query.get("workspace_id", account.workspaces[0].id)
    with_disabled = request.query.get("include_disabled") == "true"
    listed = [
        key
        for key in state.keys
        if account.workspace_id_of(key) == workspace_id
        and not is_deleted(key, state.today)
        and (with_disabled or not (key.is_disabled or key.is_revoked))
    ]
    page = listed[int(offset) :][:PAGE_SIZE]
    return json_response({"data": [_key_item(key, state) for key in page]})


def answer_activity(request: Request, state: AccountState) -> Response:
    """``GET /activity``: the completed days of the last 30, a row per endpoint."""
    first_day, last_day = state.today - timedelta(days=ACTIVITY_DAYS), state.today - timedelta(days=1)
    if "date" in request.query:
        day = parse_day(request.query["date"])
        if day is None:
            return error_response(400, "date must be a date as YYYY-MM-DD")
        if not first_day <= day <= last_day:
            return error_response(400, f"Date must be within the last {ACTIVITY_DAYS} (completed) UTC days")
        first_day = last_day = day
    group_by = request.query.get("group_by")
    if group_by not in {None, "workspace"}:
        return error_response(400, "group_by must be workspace")
    tells_workspace = group_by == "workspace" or "workspace_id" in request.query
    rows: dict[_ActivityGroup, _ActivityRow] = {}
    for user in state.users:
        if _is_asked_for(user, request.query, state.account):
            workspace_id = state.account.workspace_id_of(user) if tells_workspace else None
            _add_activity(rows, user, workspace_id, state.ledger, (first_day, last_day))
    ordered = sorted(rows.items(), key=lambda item: (item[0][1], item[0][2], item[0][0] or "", item[0][3]))
    return json_response(
        {"data": [_activity_item(number, group, row) for number, (group, row) in enumerate(ordered)]}
    )


def _is_asked_for(user: FakeKey, query: Mapping[str, str], account: FakeAccount) -> bool:
    return (
        has_hash_in(user, [query["api_key_hash"]] if "api_key_hash" in query else None)
        and query.get("user_id", CREATOR) == CREATOR
        and query.get("workspace_id", account.workspace_id_of(user)) == account.workspace_id_of(user)
    )


def _add_activity(
    rows: dict[_ActivityGroup, _ActivityRow],
    user: FakeKey,
    workspace_id: str | None,
    ledger: Ledger,
    days: tuple[date, date],
) -> None:
    for day, model, counts in ledger.rows(user, *days):
        for endpoint, part in split(model, counts):
            row = rows.setdefault((workspace_id, day, model.slug, endpoint.id), _ActivityRow(model, endpoint))
            row.requests += part.requests
            row.tokens_input += part.tokens_input
            row.tokens_output += part.tokens_output
            row.tokens_reasoning += part.tokens_reasoning
            row.tokens_cached += part.tokens_cached
            if user.is_byok:
                row.byok_requests += part.requests
                row.byok_cost_nano += part.cost_nano
            else:
                row.cost_nano += part.cost_nano


def _activity_item(number: int, group: _ActivityGroup, row: _ActivityRow) -> dict[str, Json]:
    workspace_id, day, *_ = group
    item: dict[str, Json] = {
        # Both forms are seen, even in one answer.
        "date": f"{day} 00:00:00" if number % 2 else f"{day}",
        "model": row.model.slug,
        "model_permaslug": row.model.permaslug,
        "endpoint_id": row.endpoint.id,
        "provider_name": row.endpoint.provider,
        "usage": from_nano(row.cost_nano),
        "byok_usage_inference": from_nano(row.byok_cost_nano),
        "requests": row.requests,
        "prompt_tokens": row.tokens_input,
        "completion_tokens": row.tokens_output,
        "reasoning_tokens": row.tokens_reasoning,
    }
    if row.byok_requests:
        item["byok_requests"] = row.byok_requests
    if row.tokens_cached:
        item["cached_tokens"] = row.tokens_cached
    if workspace_id is not None:
        item["workspace_id"] = workspace_id
    return item


def _key_item(key: FakeKey, state: AccountState) -> dict[str, Json]:
    created_at = datetime.combine(state.ledger.begin_of(key), time(9), UTC)
    return {
        "hash": key.key_hash,
        "name": key.name,
        "disabled": key.is_disabled or key.is_revoked,
        "workspace_id": state.account.workspace_id_of(key),
        "creator_user_id": CREATOR,
        "created_at": time_text(created_at),
        "updated_at": None,
        **key_facts(key, state.ledger, state.today),
    }


def has_hash_in(user: FakeKey, hashes: Collection[str] | None) -> bool:
    """Whether the user is a key with one of these hashes; None asks for all, the chat room included."""
    return hashes is None or (bool(user.secret) and user.key_hash in hashes)


def key_facts(key: FakeKey, ledger: Ledger, today: date) -> dict[str, Json]:
    """The label, counters and limits of a key, as ``/key`` and ``/keys`` tell them."""
    periods = {
        "lifetime": date.min,
        "daily": today,
        "weekly": today - timedelta(days=today.weekday()),
        "monthly": today.replace(day=1),
    }
    cost_nano = {period: ledger.cost_nano(key, since, today) for period, since in periods.items()}
    usage = {period: from_nano(0 if key.is_byok else nano) for period, nano in cost_nano.items()}
    byok_usage = {period: from_nano(nano if key.is_byok else 0) for period, nano in cost_nano.items()}
    remaining = None if key.limit_usd is None else key.limit_usd - usage[key.limit_reset or "lifetime"]
    return {
        "label": f"{key.secret[:12]}...{key.secret[-3:]}",
        "usage": usage["lifetime"],
        "usage_daily": usage["daily"],
        "usage_weekly": usage["weekly"],
        "usage_monthly": usage["monthly"],
        "byok_usage": byok_usage["lifetime"],
        "byok_usage_daily": byok_usage["daily"],
        "byok_usage_weekly": byok_usage["weekly"],
        "byok_usage_monthly": byok_usage["monthly"],
        "limit": key.limit_usd,
        "limit_remaining": remaining,
        "limit_reset": key.limit_reset,
        "include_byok_in_limit": False,
        "expires_at": None if key.expires_at is None else time_text(key.expires_at),
    }


def is_deleted(key: FakeKey, today: date) -> bool:
    """Whether the key is gone by that day."""
    return key.deleted_on is not None and key.deleted_on <= today


def time_text(moment: datetime) -> str:
    """A time as the API writes it: ``2026-11-20T12:00:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_day(text: str) -> date | None:
    """A day in the one form that the API takes; Python would read ``20261120`` and ``2026-W47-5``, too."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None
