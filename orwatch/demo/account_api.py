"""What a management key is answered about its account: workspaces, their budgets, keys and credits."""

from __future__ import annotations

from datetime import UTC, datetime, time
from uuid import NAMESPACE_URL, uuid5

from orwatch.demo.account import FakeWorkspace, credits_used_usd
from orwatch.demo.key_api import key_facts
from orwatch.demo.server import Json, Request, Response, error_response, json_response
from orwatch.demo.state import CREATOR, FakeAccountState, is_expired, time_text
from orwatch.demo.usage import FakeKey
from orwatch.domain.days import midnight

KEYS_A_PAGE = 100
WORKSPACES_A_PAGE = 50
MAX_WORKSPACES_A_PAGE = 100


def answer_workspaces(request: Request, state: FakeAccountState) -> Response:
    """``GET /workspaces``: a page of them."""
    offset, limit = _number(request, "offset", 0), _number(request, "limit", WORKSPACES_A_PAGE)
    if offset is None:
        return error_response(400, "offset must be a whole number that is not negative")
    if limit is None or not 1 <= limit <= MAX_WORKSPACES_A_PAGE:
        return error_response(400, f"limit must be a whole number from 1 to {MAX_WORKSPACES_A_PAGE}")
    workspaces = state.account.workspaces
    page = [_workspace_item(workspace, state) for workspace in workspaces[offset : offset + limit]]
    return json_response({"data": page, "total_count": len(workspaces)})


def answer_workspace_budgets(request: Request, state: FakeAccountState) -> Response:
    """``GET /workspaces/{id}/budgets``; the workspace may be named by its slug, too."""
    wanted = _id_in_path(request)
    workspace = next((each for each in state.account.workspaces if wanted in (each.id, each.slug)), None)
    if workspace is None:
        return error_response(404, "Workspace not found")
    budget = workspace.budget
    since = _beginning(state)
    item: dict[str, Json] = (
        {}
        if budget is None
        else {
            "id": budget.id,
            "workspace_id": workspace.id,
            "limit_usd": budget.limit_usd,
            "reset_interval": budget.reset,
            "created_at": since,
            "updated_at": since,
        }
    )
    return json_response({"data": [item] if item else [], "include_byok_in_budgets": False})


def answer_credits(_request: Request, state: FakeAccountState) -> Response:
    """``GET /credits``: the whole account's, deleted keys and the chat room included."""
    used_usd = credits_used_usd(state.account, state.keys, state.ledger, state.today)
    return json_response(
        {"data": {"total_credits": state.account.total_credits_usd, "total_usage": used_usd}}
    )


def answer_keys(request: Request, state: FakeAccountState) -> Response:
    """``GET /keys``: a page of one workspace's keys; deleted ones are never listed."""
    offset = _number(request, "offset", 0)
    if offset is None:
        return error_response(400, "offset must be a whole number that is not negative")
    workspace_id = request.query.get("workspace_id", state.account.workspaces[0].id)
    with_disabled, with_expired = (
        request.query.get(name) == "true" for name in ("include_disabled", "include_expired")
    )
    listed = [
        key
        for key in state.keys_in(workspace_id)
        if (with_disabled or not (key.is_disabled or key.is_revoked))
        and (with_expired or not is_expired(key, state.today))
    ]
    return json_response({"data": [_key_item(key, state) for key in listed[offset:][:KEYS_A_PAGE]]})


def answer_listed_key(request: Request, state: FakeAccountState) -> Response:
    """``GET /keys/{hash}``: one key, whatever its workspace, disabled or expired."""
    for workspace in state.account.workspaces:
        for key in state.keys_in(workspace.id):
            if key.key_hash == _id_in_path(request):
                return json_response({"data": _key_item(key, state)})
    return error_response(404, "API key not found")


def _id_in_path(request: Request) -> str:
    return request.path.split("/")[2]


def _number(request: Request, name: str, default: int) -> int | None:
    """A whole number of the query; None for anything else."""
    text = request.query.get(name, str(default))
    return int(text) if text.isascii() and text.isdigit() else None


def _workspace_item(workspace: FakeWorkspace, state: FakeAccountState) -> dict[str, Json]:
    return {
        "id": workspace.id,
        "name": workspace.name,
        "slug": workspace.slug,
        "description": None,
        "created_at": _beginning(state),
        "created_by": CREATOR,
        "updated_at": None,
        "default_guardrail_id": str(uuid5(NAMESPACE_URL, f"guardrail of {workspace.id}")),
        "default_image_model": None,
        "default_provider_sort": None,
        "default_text_model": None,
        "include_byok_in_budgets": False,
        "io_logging_api_key_ids": None,
        "io_logging_sampling_rate": 1,
        "is_data_discount_logging_enabled": False,
        "is_observability_broadcast_enabled": False,
        "is_observability_io_logging_enabled": False,
    }


def _key_item(key: FakeKey, state: FakeAccountState) -> dict[str, Json]:
    last_used = state.ledger.last_used(key, state.today)
    return {
        "hash": key.key_hash,
        "name": key.name,
        "disabled": key.is_disabled or key.is_revoked,
        "workspace_id": state.account.workspace_id_of(key),
        "external_user": None,
        "created_at": time_text(datetime.combine(state.ledger.begin_of(key), time(9), UTC)),
        "updated_at": None,
        # All use of a day is there when it begins.
        "last_used_at": None if last_used is None else time_text(midnight(last_used)),
        **key_facts(key, state),
    }


def _beginning(state: FakeAccountState) -> str:
    return time_text(midnight(state.ledger.first_day))
