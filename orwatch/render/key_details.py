"""One key as lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.keys import KeyFacts, Listing, StoredKey, state
from orwatch.domain.sources import UsageSource
from orwatch.jobs.key.result import AccountDetails, KeyDetails, KeyFlag, KeyOverview
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.key import kind, overview_members
from orwatch.text import printable

_ONE = Decimal(1)
_OWN_SOURCES = {UsageSource.USAGE, UsageSource.COUNTERS}


def show_view(details: KeyDetails) -> View:
    """Everything that is known of one key."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        lines = _lines(details)
        label_width = max(len(label) for label, _ in lines) + 2
        return [Text(f"{label.ljust(label_width)}{printable(value)}") for label, value in lines]

    return parts


def _lines(details: KeyDetails) -> list[tuple[str, str]]:
    key, now = details.overview.key, details.now
    lines = [
        ("Name", key.name),
        ("Hint", key.hint),
        ("State", _state(details.overview, now)),
        ("Kind", kind(key)),
        *_listing_lines(key.listing, details.overview.listed_by, now),
        ("Source", _source_and_why(key, details.overview.listed_by)),
        ("Added", f"{numbers.moment(key.created_at)} UTC"),
        ("Last sync", _time(key.last_synced_at, now)),
        ("Synced through", key.synced_through.isoformat() if key.synced_through else numbers.UNKNOWN),
        ("Last validate", _time(key.last_validated_at, now)),
        ("SHA-256", key.key_hash),
    ]
    if key.last_sync_error:
        lines.append(("Last problem", key.last_sync_error))
    lines.append(("Last 30 days", _spent(details.overview)))
    if details.account is not None:
        lines += _account_lines(details.account, now)
    if key.facts_read_at is None:
        return [*lines, ("Facts", "not known: `orwatch validate` asks OpenRouter for them")]
    return [*lines, *_fact_lines(key, now)]


def _state(overview: KeyOverview, now: datetime) -> str:
    key = overview.key
    text = state(key)
    if key.listing is not None and key.listing.deleted_at is not None:
        return f"{text} at OpenRouter, seen {_time(key.listing.deleted_at, now)}"
    if key.listing is not None and key.listing.is_disabled:
        return f"{text} at OpenRouter"
    if key.inactive_since is not None:
        text = f"{text} since {numbers.moment(key.inactive_since)} UTC"
    return f"{text}, dormant: no use for 30 days" if KeyFlag.DORMANT in overview.flags else text


def _listing_lines(listing: Listing | None, listed_by: str | None, now: datetime) -> list[tuple[str, str]]:
    if listing is None:
        return []
    return [
        ("Listed by", listed_by or numbers.UNKNOWN),
        ("Listed as", listing.name or numbers.UNKNOWN),
        ("Workspace", listing.workspace or numbers.UNKNOWN),
        ("Created", _time(listing.created_at, now) if listing.created_at else numbers.UNKNOWN),
    ]


def _source_and_why(key: StoredKey, listed_by: str | None) -> str:
    source = key.source_setting or key.source
    if source is None:
        return f"{numbers.UNKNOWN} (the first sync finds out)"
    reasons = ["set with --source"] if key.source_setting is not None else []
    is_own = key.source_setting in _OWN_SOURCES and key.secret_encrypted is not None
    if key.is_management:
        reasons.append(_why_of_account(source, is_set=key.source_setting is not None))
    elif listed_by is not None and not is_own:
        if source is UsageSource.COUNTERS:
            reasons.append(f"of the list of {listed_by!r}; this server has no analytics")
        else:
            reasons.append(f"through the management key {listed_by!r}")
    elif source in {UsageSource.ACTIVITY, UsageSource.ANALYTICS}:
        reasons.append("needs a management key of its account, and none is here")
    elif key.source_setting is None:
        reasons.append(
            "GET /usage answers"
            if source is UsageSource.USAGE
            else "this server has no /usage: days and dollars from GET /key, no models or tokens"
        )
    return f"{source.value} ({'; '.join(reasons)})"


def _why_of_account(source: UsageSource, *, is_set: bool) -> str:
    if source is UsageSource.COUNTERS:
        return "of its keys' list" if is_set else "of its keys' list; this server has no analytics"
    return "of the whole account"


def _spent(overview: KeyOverview) -> str:
    spent = numbers.exact_usd(overview.spent_30_days_usd)
    if overview.share_30_days is None:
        return spent
    return f"{spent} ({numbers.share(overview.share_30_days, _ONE)} of all keys together)"


def _account_lines(account: AccountDetails, now: datetime) -> list[tuple[str, str]]:
    balance = numbers.UNKNOWN
    if account.credits is not None:
        balance = numbers.exact_usd(account.credits.balance_usd)
        balance = f"{balance} as of {_time(account.credits_read_at, now)}"
    return [
        ("Keys", numbers.count(account.key_count)),
        ("Read back to", account.backfilled_from.isoformat() if account.backfilled_from else numbers.UNKNOWN),
        ("Balance", balance),
    ]


def _fact_lines(key: StoredKey, now: datetime) -> list[tuple[str, str]]:
    facts = key.facts
    lines = [
        ("Label", facts.label or numbers.UNKNOWN),
        ("Free tier", {True: "yes", False: "no", None: numbers.UNKNOWN}[facts.is_free_tier]),
        ("Expires", _time(facts.expires_at, now) if facts.expires_at else "never"),
    ]
    if not key.is_management:
        limit = "none (unlimited)" if facts.limit_usd is None else numbers.exact_usd(facts.limit_usd)
        if facts.limit_usd is not None and facts.limit_reset:
            limit = f"{limit}, reset {facts.limit_reset}"
        lines += [
            ("Limit", limit),
            ("Remaining", _remaining(facts)),
            ("Spent today", numbers.exact_usd(facts.usage_daily_usd)),
            ("This week", numbers.exact_usd(facts.usage_weekly_usd)),
            ("This month", numbers.exact_usd(facts.usage_monthly_usd)),
            ("Ever", numbers.exact_usd(facts.usage_usd)),
        ]
        if facts.byok_usage_usd is not None:
            lines += [
                ("BYOK today", numbers.exact_usd(facts.byok_usage_daily_usd)),
                ("BYOK month", numbers.exact_usd(facts.byok_usage_monthly_usd)),
                ("BYOK ever", numbers.exact_usd(facts.byok_usage_usd)),
            ]
    return [*lines, ("As of", _time(key.facts_read_at, now))]


def _remaining(facts: KeyFacts) -> str:
    if facts.limit_usd is None and facts.limit_remaining_usd is None:
        return "unlimited"
    return numbers.exact_usd(facts.limit_remaining_usd)


def _time(value: datetime | None, now: datetime) -> str:
    if value is None:
        return "never"
    return f"{numbers.moment(value)} UTC ({numbers.age(value, now)})"


def show_json(details: KeyDetails) -> str:
    """``{"schema_version", "key": {…}}``: the list's members and what else is known."""
    key, facts, listing = details.overview.key, details.overview.key.facts, details.overview.key.listing
    return json_text.document(
        {
            "key": {
                **overview_members(details.overview),
                "hash": key.key_hash,
                "created_at": key.created_at,
                "listed_created_at": listing.created_at if listing else None,
                "inactive_since": key.inactive_since,
                "synced_through": key.synced_through,
                "last_sync_error": key.last_sync_error,
                "label": facts.label,
                "is_free_tier": facts.is_free_tier,
                "usage": facts.usage_usd,
                "usage_daily": facts.usage_daily_usd,
                "usage_weekly": facts.usage_weekly_usd,
                "usage_monthly": facts.usage_monthly_usd,
                "byok_usage": facts.byok_usage_usd,
                "byok_usage_daily": facts.byok_usage_daily_usd,
                "byok_usage_monthly": facts.byok_usage_monthly_usd,
                "source_setting": key.source_setting.value if key.source_setting else None,
                "account": None if details.account is None else _account_members(details.account),
            }
        }
    )


def _account_members(account: AccountDetails) -> dict[str, JsonValue]:
    credits = account.credits
    return {
        "keys": account.key_count,
        "backfilled_from": account.backfilled_from,
        "balance": None if credits is None else credits.balance_usd,
        "bought": None if credits is None else credits.bought_usd,
        "spent": None if credits is None else credits.spent_usd,
        "credits_read_at": account.credits_read_at,
    }
