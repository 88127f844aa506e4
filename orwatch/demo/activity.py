"""``GET /activity``: the account's completed days, a row per endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

from orwatch.demo.account import FakeAccount
from orwatch.demo.catalog import Endpoint, Model, split
from orwatch.demo.ledger import Ledger
from orwatch.demo.server import Json, Request, Response, error_response, json_response
from orwatch.demo.state import CREATOR, FakeAccountState, has_hash_in, parse_day
from orwatch.demo.usage import FakeKey
from orwatch.domain.money import from_nano

ACTIVITY_DAYS = 30

# Workspace (None: they are not told apart), day, model and place among the model's endpoints.
_ActivityGroup: TypeAlias = tuple[str | None, date, str, str]


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


def answer_activity(request: Request, state: FakeAccountState) -> Response:
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
    rows: dict[_ActivityGroup, _ActivityRow] = {}
    for user in state.users:
        if _is_asked_for(user, request.query, state.account):
            workspace_id = state.account.workspace_id_of(user) if group_by == "workspace" else None
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
        "cached_tokens": row.tokens_cached,
    }
    if row.byok_requests:
        item["byok_requests"] = row.byok_requests
    if workspace_id is not None:
        item["workspace_id"] = workspace_id
    return item
