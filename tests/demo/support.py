"""An account for the tests of the fake server, and what is asked about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from orwatch.demo.account import FakeAccount, FakeWorkspace
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Request, Response
from orwatch.demo.usage import CHAT_ROOM, CI, OLD_LAPTOP, PRODUCTION, RESEARCH, FakeKey, usage_of
from orwatch.openrouter.parse import parse_error
from tests.support import TODAY

MANAGEMENT = "sk-or-v1-management"
HISTORY_DAYS = 90
FIRST_DAY = TODAY - timedelta(days=HISTORY_DAYS - 1)
LAB = FakeWorkspace("7d3c", "Laboratory", "laboratory")
ACCOUNT = FakeAccount(
    MANAGEMENT,
    keys=(
        FakeKey("production", "sk-or-v1-production", PRODUCTION, Decimal(300), "monthly"),
        FakeKey("ci", "sk-or-v1-ci", CI),
        FakeKey("ci", "sk-or-v1-ci-lab", CI, workspace_id=LAB.id),
        FakeKey("research", "sk-or-v1-research", RESEARCH, workspace_id=LAB.id, is_byok=True),
        FakeKey("newcomer", "sk-or-v1-newcomer", CI, created_on=TODAY - timedelta(days=5)),
        FakeKey("leaver", "sk-or-v1-leaver", OLD_LAPTOP, deleted_on=TODAY - timedelta(days=10)),
        FakeKey("idle", "sk-or-v1-idle", OLD_LAPTOP, is_disabled=True),
    ),
    workspaces=(FakeWorkspace("0a1b", "Default", "default"), LAB),
    chat=CHAT_ROOM,
    total_credits_usd=Decimal(1000),
)
PRODUCTION_KEY, CI_KEY, CI_LAB_KEY, RESEARCH_KEY, NEWCOMER, LEAVER, IDLE = ACCOUNT.keys
PERMASLUG = "openai/gpt-4.1-2025-04-14"


class Today:
    """A day that moves when told to."""

    def __init__(self, day: date = TODAY) -> None:
        self.day = day

    def __call__(self) -> date:
        return self.day


def api_of(account: FakeAccount = ACCOUNT, **others: Any) -> FakeOpenRouter:
    settings: dict[str, Any] = {"today": Today(), "history_days": HISTORY_DAYS, **others}
    return FakeOpenRouter((), account=account, **settings)


def with_keys(*keys: FakeKey) -> FakeAccount:
    return replace(ACCOUNT, keys=keys)


def get(api: FakeOpenRouter, path: str, secret: str | None = MANAGEMENT, **query: str) -> Response:
    return api.answer(Request("GET", path, query, secret))


def data_of(response: Response) -> Any:
    """The answer's data; every number is the decimal that it is in the text, and a text remains one."""
    assert response.status == 200, response.body
    return json.loads(response.body, parse_float=Decimal, parse_int=Decimal)["data"]


def query_body(**changes: object) -> dict[str, object]:
    """A valid analytics query for the month before tomorrow; None takes a part out."""
    body: dict[str, object] = {
        "metrics": ["request_count", "total_usage"],
        "dimensions": ["model"],
        "granularity": "day",
        "time_range": time_range(TODAY - timedelta(days=30), TODAY),
        "limit": 10_000,
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def time_range(since: date, until: date) -> dict[str, str]:
    """Both days inclusive."""
    return {"start": f"{since}T00:00:00Z", "end": f"{until + timedelta(days=1)}T00:00:00Z"}


def by_key(operator: str, value: object) -> list[dict[str, object]]:
    return [{"field": "api_key_id", "operator": operator, "value": value}]


def post(api: FakeOpenRouter, body: object, secret: str | None = MANAGEMENT) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.answer(Request("POST", "/analytics/query", secret=secret, body=text))


def analytics(api: FakeOpenRouter, **changes: object) -> Any:
    data = data_of(post(api, query_body(**changes)))
    assert data["metadata"]["truncated"] is False
    return data["data"]


def summed(rows: Iterable[Any], *fields: str) -> dict[str, Decimal]:
    """The fields added up over the rows; texts that are numbers count, null and what is missing do not."""
    return {field: sum((Decimal(row.get(field) or 0) for row in rows), Decimal(0)) for field in fields}


def grouped(rows: Iterable[Any], columns: tuple[str, ...], *fields: str) -> dict[Any, Counter[str]]:
    """The fields added up for each value of the columns, of which only days keep their first ten letters."""
    groups: dict[Any, Counter[str]] = {}
    for row in rows:
        place = tuple(row[column][:10] if "date" in column else row[column] for column in columns)
        groups.setdefault(place, Counter()).update(summed([row], *fields))
    return groups


def listed(api: FakeOpenRouter) -> dict[str, Any]:
    """The listed keys of all workspaces by their hash."""
    return {
        item["hash"]: item
        for workspace in data_of(get(api, "/workspaces"))
        for item in data_of(get(api, "/keys", workspace_id=workspace["id"], include_disabled="true"))
    }


def used(key: FakeKey, since: date, until: date) -> list[Any]:
    """``usage_of`` of these days, both inclusive, none of which precedes the history."""
    since = max(since, FIRST_DAY)
    return [
        row
        for count in range((until - since).days + 1)
        for row in usage_of(key, since + timedelta(days=count))
    ]


def assert_error(response: Response, status: int, part_of_message: str) -> None:
    message = parse_error(response.body)
    assert message is not None
    assert part_of_message in message
    assert (response.status, json.loads(response.body)) == (
        status,
        {"error": {"code": status, "message": message}},
    )
