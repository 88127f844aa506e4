"""One key as lines: everything that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from orwatch.domain.can_spend import OWN_LIMIT
from orwatch.domain.keys import Listing, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.jobs.key.result import WINDOW_DAYS, AccountDetails, KeyDetails, KeyFlag, KeyOverview
from orwatch.render import numbers
from orwatch.render.allowances import bound_text, can_spend_text
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.key import kind_text
from orwatch.render.tables import labelled

_ONE = Decimal(1)
_OWN_SOURCES = {UsageSource.USAGE, UsageSource.COUNTERS}


@as_view
def show_view(screen: Screen, details: KeyDetails) -> Parts:
    """Everything that is known of one key."""
    return labelled(_lines(details), screen.width)


def _lines(details: KeyDetails) -> list[tuple[str, str]]:
    key, now = details.overview.key, details.now
    lines = [
        ("Name", key.name),
        ("Hint", key.hint),
        ("State", _state_and_since(details.overview, now)),
        ("Kind", kind_text(key)),
        *_listing_lines(key.listing, details.overview.listed_by, now),
        ("Source", _source_and_why(key, details.overview.listed_by)),
        ("Added", f"{numbers.moment(key.created_at)} UTC"),
        *_replaced_lines(details.replaced),
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
        return [*lines, ("Limits", "unknown; `orwatch validate` asks OpenRouter")]
    return [*lines, *_fact_lines(details.overview, now)]


def _replaced_lines(replaced: Sequence[StoredKey]) -> list[tuple[str, str]]:
    hints = [
        f"{row.hint} (still asked)" if row.secret_encrypted is not None else row.hint for row in replaced
    ]
    return [("Secrets before", ", ".join(hints))] if hints else []


def _state_and_since(overview: KeyOverview, now: datetime) -> str:
    key = overview.key
    text = overview.state
    if key.removed_at is not None:
        return f"{text}, {_time(key.removed_at, now)}"
    if key.listing is not None and key.listing.deleted_at is not None:
        return f"{text} at OpenRouter, seen {_time(key.listing.deleted_at, now)}"
    if key.is_listed_disabled:
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
        return f"{numbers.UNKNOWN} (found out by the first sync)"
    reasons = ["set with --source"] if key.source_setting is not None else []
    is_own = key.source_setting in _OWN_SOURCES and key.secret_encrypted is not None
    if key.is_management:
        reasons.append(_why_of_account(source, is_set=key.source_setting is not None))
    elif listed_by is not None and not is_own:
        if source is UsageSource.COUNTERS:
            reasons.append(f"from the key list of {listed_by!r}; this server has no analytics")
        else:
            reasons.append(f"through the management key {listed_by!r}")
    elif source in {UsageSource.ACTIVITY, UsageSource.ANALYTICS}:
        reasons.append("needs a management key of its account; none is stored")
    elif key.source_setting is None:
        reasons.append(
            "GET /usage answers"
            if source is UsageSource.USAGE
            else "this server has no /usage: days and dollars from GET /key, no models or tokens"
        )
    return f"{source.value} ({'; '.join(reasons)})"


def _why_of_account(source: UsageSource, *, is_set: bool) -> str:
    if source is UsageSource.COUNTERS:
        return "from its key list" if is_set else "from its key list; this server has no analytics"
    return "of the whole account"


def _spent(overview: KeyOverview) -> str:
    said = []
    if overview.known_days < WINDOW_DAYS and overview.spent_30_days_usd is not None:
        said.append(f"{overview.known_days} of {WINDOW_DAYS} days known")
    if overview.share_30_days is not None:
        said.append(f"{numbers.share(overview.share_30_days, _ONE)} of all keys")
    spent = numbers.exact_usd(overview.spent_30_days_usd)
    return f"{spent} ({', '.join(said)})" if said else spent


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


def _fact_lines(overview: KeyOverview, now: datetime) -> list[tuple[str, str]]:
    key, facts = overview.key, overview.key.facts
    lines = [
        ("Label", facts.label or numbers.UNKNOWN),
        ("Free tier", {True: "yes", False: "no", None: numbers.UNKNOWN}[facts.is_free_tier]),
        ("Expires", _time(facts.expires_at, now) if facts.expires_at else "never"),
    ]
    if not key.is_management:
        limit = "none (unlimited)" if facts.limit_usd is None else numbers.exact_usd(facts.limit_usd)
        if facts.limit_usd is not None and facts.limit_reset:
            limit = f"{limit}, reset {facts.limit_reset}"
        if facts.limit_usd is not None and facts.is_byok_limited:
            limit = f"{limit}, BYOK counts"
        lines += [
            ("Limit", limit),
            ("Remaining", _remaining(overview)),
            *_layer_lines(overview, now),
            ("Spent today", numbers.exact_usd(facts.usage_daily_usd)),
            ("This week", numbers.exact_usd(facts.usage_weekly_usd)),
            ("This month", numbers.exact_usd(facts.usage_monthly_usd)),
            ("Lifetime", numbers.exact_usd(facts.usage_usd)),
        ]
        if facts.byok_usage_usd is not None:
            lines += [
                ("BYOK today", numbers.exact_usd(facts.byok_usage_daily_usd)),
                ("BYOK month", numbers.exact_usd(facts.byok_usage_monthly_usd)),
                ("BYOK lifetime", numbers.exact_usd(facts.byok_usage_usd)),
            ]
    return [*lines, ("As of", _time(key.facts_read_at, now))]


def _remaining(overview: KeyOverview) -> str:
    limit = overview.own_limit
    if limit is None:
        return "unlimited"
    if overview.key.facts.limit_remaining_usd is None:
        return numbers.UNKNOWN
    remaining = numbers.exact_usd(limit.remaining_usd)
    return f"at most {remaining}" if limit.is_at_most else remaining


def _layer_lines(overview: KeyOverview, now: datetime) -> list[tuple[str, str]]:
    """What else limits the key, what can be spent with all of that, and the account's free requests."""
    allowance, facts, read_at = overview.allowance, overview.key.facts, overview.key.layers_read_at
    others = [each for each in allowance.limits if each.layer != OWN_LIMIT]
    lines = [(each.layer.capitalize(), bound_text(each, now)) for each in others]
    if allowance.can_spend is not None and KeyFlag.DELETED not in overview.flags:
        lines.append(("Can spend", can_spend_text(allowance.can_spend)))
    if facts.free_quota is not None and read_at is not None and read_at.date() == now.date():
        used, limit = facts.free_quota.used, facts.free_quota.limit
        lines.append(("Free requests", f"{numbers.count(used)} of {numbers.count(limit)} used today"))
    return lines


def _time(value: datetime | None, now: datetime) -> str:
    if value is None:
        return "never"
    return f"{numbers.moment(value)} UTC ({numbers.age(value, now)})"
