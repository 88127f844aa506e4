"""JSON to models, without trust in what came.

Numbers stay exact (``Decimal`` straight from the JSON text). An implausible row is rejected and
the rest kept; an answer that is not the promised shape is an ``UnexpectedAnswerError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.columns import Column, Item, costs_of, counts_of, models_of
from orwatch.openrouter.rows import read_rows
from orwatch.openrouter.values import (
    Json,
    data_of,
    kind_of,
    list_of,
    load_json,
    optional_count,
    optional_flag,
    optional_label,
    optional_text,
    optional_time,
    optional_usd,
)
from orwatch.text import printable

MAX_LAYERS = 50  # of one key

_LONGEST_ERROR_BYTES = 64 * 1024


def parse_usage(body: bytes, since: date, until: date) -> UsageAnswer:
    """An answer of ``GET /usage`` for the days ``since`` to ``until``, both inclusive.

    Rows of one (date, model) are added up. Raises ``UnexpectedAnswerError``.
    """
    rows, rejected = read_rows(list_of(data_of(body)), since, until, _usage_columns)
    return UsageAnswer(UsageSource.USAGE, since, until, tuple(rows.get(None, ())), rejected)


def _usage_columns(items: Sequence[Item]) -> tuple[Column, ...]:
    nothing: Column = [None] * len(items)
    return (
        nothing,
        models_of(items),
        nothing,
        counts_of(items, "requests_count"),
        counts_of(items, "tokens_input"),
        counts_of(items, "tokens_output"),
        costs_of(items, "cost"),
        nothing,
        nothing,
        nothing,
    )


def parse_key(body: bytes) -> KeyFacts:
    """An answer of ``GET /key``. A fact that is missing or implausible is None.

    Raises ``UnexpectedAnswerError``.
    """
    data = data_of(body)
    if not isinstance(data, dict):
        raise UnexpectedAnswerError(f"the answer's data is {kind_of(data)}, not an object")
    return key_facts(data)


def key_facts(data: dict[str, Json]) -> KeyFacts:
    """What an object says about a key; ``GET /keys`` reports of each what ``GET /key`` does of one."""
    flags = [data.get(name) for name in ("is_management_key", "is_provisioning_key")]
    is_management = next((value for value in flags if isinstance(value, bool)), False)
    return KeyFacts(
        kind=KeyKind.MANAGEMENT if is_management else KeyKind.INFERENCE,
        label=optional_label(data.get("label")),
        usage_usd=optional_usd(data.get("usage")),
        usage_daily_usd=optional_usd(data.get("usage_daily")),
        usage_weekly_usd=optional_usd(data.get("usage_weekly")),
        usage_monthly_usd=optional_usd(data.get("usage_monthly")),
        byok_usage_usd=optional_usd(data.get("byok_usage")),
        byok_usage_daily_usd=optional_usd(data.get("byok_usage_daily")),
        byok_usage_monthly_usd=optional_usd(data.get("byok_usage_monthly")),
        limit_usd=optional_usd(data.get("limit")),
        limit_remaining_usd=optional_usd(data.get("limit_remaining"), may_be_negative=True),
        limit_reset=optional_text(data.get("limit_reset")),
        is_free_tier=optional_flag(data.get("is_free_tier")),
        expires_at=optional_time(data.get("expires_at")),
        is_byok_limited=optional_flag(data.get("include_byok_in_limit")),
        layers=_layers(data),
        free_quota=_free_quota(data.get("free_model_daily_requests")),
        account_id=optional_text(data.get("organization_id")) or optional_text(data.get("creator_user_id")),
    )


def _layers(data: dict[str, Json]) -> tuple[Layer, ...] | None:
    """Every budget that is enforced; None where the answer has no list of them.

    The one that blocks first is kept, too, where the list does not reach that far.
    """
    budgets, effective = data.get("budgets"), data.get("effective_budget")
    if not isinstance(budgets, list):
        return (_layer(effective),) if isinstance(effective, dict) else None
    layers = [_layer(item) for item in budgets[:MAX_LAYERS]]
    if isinstance(effective, dict) and (blocking := _layer(effective)) not in layers:
        layers.append(blocking)
    return tuple(layers)


def _layer(item: Json) -> Layer:
    """One that is not understood is kept all the same: something limits the key."""
    found: dict[str, Json] = item if isinstance(item, dict) else {}
    return Layer(
        scope=_printable_label(found.get("scope")) or "unknown",
        limit_usd=optional_usd(found.get("limit_usd")),
        spent_usd=optional_usd(found.get("spend_usd")),
        remaining_usd=optional_usd(found.get("remaining_usd"), may_be_negative=True),
        reset_interval=_printable_label(found.get("reset_interval")),
        resets_at=optional_time(found.get("resets_at")),
        include_byok=optional_flag(found.get("include_byok")),
        budget_id=_printable_label(found.get("budget_id")),
        guardrail_id=_printable_label(found.get("guardrail_id")),
    )


def _printable_label(value: Json) -> str | None:
    label = optional_label(value)
    return None if label is None else printable(label)


def _free_quota(value: Json) -> FreeQuota | None:
    found: dict[str, Json] = value if isinstance(value, dict) else {}
    limit, used, remaining = (optional_count(found.get(name)) for name in ("limit", "used", "remaining"))
    if limit is None or used is None:
        return None
    return FreeQuota(limit, used, max(0, limit - used) if remaining is None else remaining)


def parse_error(body: bytes) -> str | None:
    """The message of ``{"error": {"message": …}}``, made printable; None for anything else."""
    if len(body) > _LONGEST_ERROR_BYTES:  # no message of a server's is so long
        return None
    try:
        message = load_json(body)["error"]["message"]
    except (UnexpectedAnswerError, KeyError, TypeError):
        return None
    return printable(" ".join(message.split())) or None if isinstance(message, str) else None


def error_code(body: bytes) -> int | None:
    """The code, as an HTTP status, of an error, whatever the status that it came with; None where it is none.

    0: it is an error without a code.
    """
    try:
        error = load_json(body)["error"]
    except (UnexpectedAnswerError, KeyError, TypeError):
        return None
    code = error.get("code") if isinstance(error, dict) else 0
    return (code if type(code) is int else 0) if error else None
