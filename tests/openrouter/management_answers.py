"""Answers of the management endpoints: a whole item of each, and how they are parsed."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from orwatch.domain.keys import ListedKey
from orwatch.openrouter.parse_account import (
    Activity,
    Analytics,
    parse_activity,
    parse_analytics,
    parse_keys,
)

SINCE, UNTIL = date(2026, 2, 14), date(2026, 2, 20)
MODEL, PERMASLUG = "openai/gpt-4.1", "openai/gpt-4.1-2025-04-14"
LIMIT = 1000
ACTIVITY_ROW = {
    "date": "2026-02-20",
    "model": MODEL,
    "model_permaslug": PERMASLUG,
    "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
    "provider_name": "OpenAI",
    "usage": 0.015,
    "byok_usage_inference": 0.012,
    "requests": 5,
    "prompt_tokens": 50,
    "completion_tokens": 125,
    "reasoning_tokens": 25,
}
ANALYTICS_ROW = {
    "date__day": "2026-02-20",
    "model": PERMASLUG,
    "api_key_id": "laptop",
    "request_count": "5",
    "tokens_prompt": "50",
    "tokens_completion": "125",
    "reasoning_tokens": "25",
    "cached_tokens": "10",
    "credits_usage": 0.015,
    "byok_usage": 0.012,
}
HASH = "0123456789abcdef" * 4
LISTED_KEY = {
    "hash": HASH,
    "name": "laptop",
    "label": "sk-or-v1-012...a29f",
    "disabled": False,
    "workspace_id": "w1",
    "created_at": "2026-01-02T03:04:05.678Z",
    "expires_at": None,
    "usage": 25.5,
    "usage_daily": 1.25,
    "usage_weekly": 5,
    "usage_monthly": 12.75,
    "byok_usage": 0.5,
    "byok_usage_daily": 0,
    "byok_usage_weekly": 0,
    "byok_usage_monthly": 0.25,
    "limit": 100,
    "limit_remaining": 74.5,
    "limit_reset": "monthly",
}


def without(row: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in fields}


def exact_json(value: object) -> bytes:
    """JSON whose ``Decimal``s are written as exact numbers, some of them like 1.5E-7."""
    text = json.dumps(value, default=lambda amount: f"<{amount}>")
    return text.replace('"<', "").replace('>"', "").encode()


def activity(*rows: object) -> Activity:
    return parse_activity(exact_json({"data": rows}), SINCE, UNTIL)


def analytics_body(*rows: object, **metadata: object) -> bytes:
    told = {"query_time_ms": 12, "row_count": len(rows), "truncated": False} | metadata
    return exact_json({"data": {"data": rows, "metadata": told, "cachedAt": 1771545600}})


def analytics(*rows: object) -> Analytics:
    return parse_analytics(analytics_body(*rows), SINCE, UNTIL, LIMIT)


def only(rows: tuple[Any, ...]) -> Any:
    (row,) = rows
    return row


def keys(*items: object, **workspaces: str) -> list[ListedKey]:
    return parse_keys(exact_json({"data": items}), workspaces)
