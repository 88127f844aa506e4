"""Keys as tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from orwatch.models import InactiveReason, KeyKind, StoredKey, UsageSource
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.tables import Column, make_table
from orwatch.text import printable


def list_view(keys: Sequence[StoredKey], now: datetime) -> View:
    """All keys, a row each."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if not keys:
            return [Text("No keys yet. `orwatch key add NAME` stores one.")]
        table = make_table(
            [
                Column("Key", [key.name for key in keys], is_name=True),
                Column("State", [state(key) for key in keys], is_word=True),
                Column("Hint", [key.hint for key in keys], is_word=True, dispensable=1),
                Column("Kind", [_kind(key) for key in keys], is_word=True, dispensable=4),
                Column("Source", [_source(key) for key in keys], is_word=True, dispensable=5),
                Column("Last sync", [numbers.age(key.last_synced_at, now) for key in keys], dispensable=2),
                Column("Validated", [numbers.age(key.last_validated_at, now) for key in keys], dispensable=3),
            ],
            width,
            row_styles=["" if key.is_active else "dim" for key in keys],
        )
        return [table]

    return parts


def state(key: StoredKey) -> str:
    """``active``, ``invalid`` or ``disabled``."""
    return "active" if key.is_active else (key.inactive_reason or InactiveReason.DISABLED).value


def _kind(key: StoredKey) -> str:
    return numbers.UNKNOWN if key.facts.kind is KeyKind.UNKNOWN else key.facts.kind.value


def _source(key: StoredKey) -> str:
    return numbers.UNKNOWN if key.source is None else key.source.value


def _source_and_why(key: StoredKey) -> str:
    if key.source_setting is not None:
        return f"{key.source_setting.value} (set with --source)"
    if key.source is UsageSource.COUNTERS:
        return "counters (this server has no /usage: days and dollars from GET /key, no models or tokens)"
    if key.source is UsageSource.USAGE:
        return "usage (GET /usage answers)"
    return f"{numbers.UNKNOWN} (the first sync finds out)"


def list_json(keys: Sequence[StoredKey]) -> str:
    """``{"schema_version", "keys": […]}``."""
    return json_text.document({"keys": [_members(key) for key in keys]})


def _members(key: StoredKey) -> dict[str, JsonValue]:
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.facts.kind.value,
        "hint": key.hint,
        "is_active": key.is_active,
        "inactive_reason": key.inactive_reason.value if key.inactive_reason else None,
        "source": key.source.value if key.source else None,
        "last_synced_at": key.last_synced_at,
        "last_validated_at": key.last_validated_at,
    }


def show_view(key: StoredKey, now: datetime) -> View:
    """Everything that is known of one key."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        lines = _lines(key, now)
        label_width = max(len(label) for label, _ in lines) + 2
        return [Text(f"{label.ljust(label_width)}{printable(value)}") for label, value in lines]

    return parts


def _lines(key: StoredKey, now: datetime) -> list[tuple[str, str]]:
    facts = key.facts
    limit = "none (unlimited)" if facts.limit_usd is None else numbers.exact_usd(facts.limit_usd)
    if facts.limit_usd is not None and facts.limit_reset:
        limit = f"{limit}, reset {facts.limit_reset}"
    inactive = f" since {numbers.moment(key.inactive_since)} UTC" if key.inactive_since else ""
    lines = [
        ("Name", key.name),
        ("Hint", key.hint),
        ("State", f"{state(key)}{inactive}"),
        ("Kind", _kind(key)),
        ("Source", _source_and_why(key)),
        ("Added", f"{numbers.moment(key.created_at)} UTC"),
        ("Last sync", _time(key.last_synced_at, now)),
        ("Synced through", key.synced_through.isoformat() if key.synced_through else numbers.UNKNOWN),
        ("Last validate", _time(key.last_validated_at, now)),
        ("SHA-256", key.key_hash),
    ]
    if key.last_sync_error:
        lines.append(("Last problem", key.last_sync_error))
    if key.facts_read_at is None:
        return [*lines, ("Facts", "not known: `orwatch validate` asks OpenRouter for them")]
    return [
        *lines,
        ("Label", facts.label or numbers.UNKNOWN),
        ("Free tier", {True: "yes", False: "no", None: numbers.UNKNOWN}[facts.is_free_tier]),
        ("Expires", _time(facts.expires_at, now) if facts.expires_at else "never"),
        ("Limit", limit),
        ("Remaining", _remaining(key)),
        ("Spent today", numbers.exact_usd(facts.usage_daily_usd)),
        ("This week", numbers.exact_usd(facts.usage_weekly_usd)),
        ("This month", numbers.exact_usd(facts.usage_monthly_usd)),
        ("Ever", numbers.exact_usd(facts.usage_usd)),
        ("As of", _time(key.facts_read_at, now)),
    ]


def _remaining(key: StoredKey) -> str:
    if key.facts.limit_usd is None and key.facts.limit_remaining_usd is None:
        return "unlimited"
    return numbers.exact_usd(key.facts.limit_remaining_usd)


def _time(value: datetime | None, now: datetime) -> str:
    if value is None:
        return "never"
    return f"{numbers.moment(value)} UTC ({numbers.age(value, now)})"


def show_json(key: StoredKey) -> str:
    """``{"schema_version", "key": {…}}``: the list's members and what ``GET /key`` told."""
    facts = key.facts
    return json_text.document(
        {
            "key": {
                **_members(key),
                "hash": key.key_hash,
                "created_at": key.created_at,
                "inactive_since": key.inactive_since,
                "synced_through": key.synced_through,
                "last_sync_error": key.last_sync_error,
                "facts_read_at": key.facts_read_at,
                "label": facts.label,
                "is_free_tier": facts.is_free_tier,
                "expires_at": facts.expires_at,
                "limit": facts.limit_usd,
                "limit_remaining": facts.limit_remaining_usd,
                "limit_reset": facts.limit_reset,
                "usage": facts.usage_usd,
                "usage_daily": facts.usage_daily_usd,
                "usage_weekly": facts.usage_weekly_usd,
                "usage_monthly": facts.usage_monthly_usd,
                "byok_usage": facts.byok_usage_usd,
                "byok_usage_daily": facts.byok_usage_daily_usd,
                "source_setting": key.source_setting.value if key.source_setting else None,
            }
        }
    )
