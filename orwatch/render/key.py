"""The list of keys as a table and JSON, and one key as lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.keys import KeyFacts, KeyKind, Listing, StoredKey
from orwatch.domain.money import add_known_usd
from orwatch.domain.sources import UsageSource
from orwatch.jobs.key.result import AccountDetails, KeyDetails, KeyFlag, KeyListResult, KeyOverview
from orwatch.render import numbers
from orwatch.render.console import View
from orwatch.render.json_text import Member, Merged, Shape
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

_BAR_WIDTH = 8
_ONE = Decimal(1)
_OWN_SOURCES = {UsageSource.USAGE, UsageSource.COUNTERS}


def list_view(result: KeyListResult) -> View:
    """All keys, a row each."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if not result.keys:
            return [Text("No keys yet. Add one: `orwatch key add NAME`.")]
        table = make_table(
            _columns(result, ascii_only),
            width,
            row_styles=["" if _is_usable(each, result.now) else "dim" for each in result.keys],
        )
        return [table, *_remarks(result)]

    return parts


def _columns(result: KeyListResult, ascii_only: bool) -> list[Column]:
    found, now = result.keys, result.now
    keys = [each.key for each in found]
    has_total = len(found) > 1
    spent = _sum([each.spent_30_days_usd for each in found])
    month = _sum([each.spent_month_usd for each in found])
    columns = [
        Column("Key", [key.name for key in keys], "Total" if has_total else "", is_name=True),
        Column("State", [_state_and_flags(each, result.now) for each in found], is_word=True),
        Column(
            "Share",
            [numbers.share(each.spent_30_days_usd, result.spent_30_days_usd) for each in found],
            numbers.share(spent, result.spent_30_days_usd) if has_total else "",
        ),
        Column(
            "This month",
            [numbers.usd(each.spent_month_usd) for each in found],
            numbers.usd(month) if has_total else "",
            dispensable=1,
        ),
    ]
    if any(key.facts.limit_usd is not None for key in keys):
        bars = [_limit_bar(each, ascii_only) for each in found]
        columns.append(Column("Limit used", bars, is_word=True, dispensable=2))
    columns.append(Column("Remaining", [_remaining(each) for each in found]))
    if any(key.facts.limit_reset for key in keys):
        columns.append(Column("Resets", [_reset(each) for each in found], is_name=True, dispensable=3))
    if any(key.facts.expires_at for key in keys):
        expiries = [_expiry(each, result) for each in found]
        columns.append(Column("Expires", expiries, dispensable=5))
    if any(key.listing and key.listing.workspace for key in keys):
        workspaces = [(key.listing.workspace if key.listing else None) or numbers.UNKNOWN for key in keys]
        columns.append(Column("Workspace", workspaces, is_name=True, dispensable=7))
    return [
        *columns,
        Column("Hint", [key.hint for key in keys], is_word=True, dispensable=8),
        Column("Kind", [_kind(key) for key in keys], is_word=True, dispensable=6),
        Column("Source", [_source(key) for key in keys], is_word=True, dispensable=9),
        Column("Last sync", [numbers.age(key.last_synced_at, now) for key in keys], dispensable=4),
        Column("Validated", [numbers.age(key.last_validated_at, now) for key in keys], dispensable=10),
    ]


def _remarks(result: KeyListResult) -> list[RenderableType]:
    remarks = []
    if result.spent_30_days_usd:
        remarks.append(f"Share: of {numbers.usd(result.spent_30_days_usd)} in the last 30 days.")
    owners = [each.key.name for each in result.keys if each.key.is_management and each.spent_30_days_usd]
    if owners:
        remarks.append(f"{printable(', '.join(owners))}: usage of the account without a listed key.")
    return [Text(), *(Text(remark) for remark in remarks)] if remarks else []


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    total = None
    for amount in amounts:
        total = add_known_usd(total, amount)
    return total


def _is_usable(overview: KeyOverview, now: datetime) -> bool:
    key = overview.key
    is_over = key.is_expired(now) or {KeyFlag.DISABLED, KeyFlag.DELETED} & set(overview.flags)
    return key.is_active and not is_over


def _state_and_flags(overview: KeyOverview, now: datetime) -> str:
    """The state, and of the flags what no other column says."""
    word = overview.state
    return f"{word}, dormant" if KeyFlag.DORMANT in overview.flags else word


def _kind(key: StoredKey) -> str:
    """``inference`` or ``management``."""
    return numbers.UNKNOWN if key.facts.kind is KeyKind.UNKNOWN else key.facts.kind.value


def _source(key: StoredKey) -> str:
    return numbers.UNKNOWN if key.source is None else key.source.value


def _cannot_spend(overview: KeyOverview) -> bool:
    return overview.key.is_management or KeyFlag.DELETED in overview.flags


def _limit_bar(overview: KeyOverview, ascii_only: bool) -> str:
    facts = overview.key.facts
    if _cannot_spend(overview) or KeyFlag.UNLIMITED in overview.flags:
        return ""
    part = numbers.used_part(facts.limit_usd, facts.limit_remaining_usd)
    if part is None:
        return numbers.UNKNOWN
    bar = numbers.bar(part, Decimal(1), _BAR_WIDTH, ascii_only=ascii_only)
    return f"{bar.ljust(_BAR_WIDTH)} {numbers.whole_percent(part):>4}"


def _remaining(overview: KeyOverview) -> str:
    if _cannot_spend(overview):
        return ""
    if KeyFlag.UNLIMITED in overview.flags:
        return "unlimited"
    return numbers.usd(overview.key.facts.limit_remaining_usd)


def _reset(overview: KeyOverview) -> str:
    facts = overview.key.facts
    if _cannot_spend(overview) or KeyFlag.UNLIMITED in overview.flags:
        return ""
    if overview.key.facts_read_at is None or facts.limit_usd is None:
        return numbers.UNKNOWN
    return facts.limit_reset or "never"


def _expiry(overview: KeyOverview, result: KeyListResult) -> str:
    key = overview.key
    if KeyFlag.DELETED in overview.flags:
        return ""
    if key.facts.expires_at is None:
        return numbers.UNKNOWN if key.facts_read_at is None else "never"
    return numbers.age(key.facts.expires_at, result.now)


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
        ("State", _state_and_since(details.overview, now)),
        ("Kind", _kind(key)),
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
    return [*lines, *_fact_lines(key, now)]


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
    spent = numbers.exact_usd(overview.spent_30_days_usd)
    if overview.share_30_days is None:
        return spent
    return f"{spent} ({numbers.share(overview.share_30_days, _ONE)} of all keys)"


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
            ("Remaining", _exact_remaining(facts)),
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


def _exact_remaining(facts: KeyFacts) -> str:
    if facts.limit_usd is None and facts.limit_remaining_usd is None:
        return "unlimited"
    return numbers.exact_usd(facts.limit_remaining_usd)


def _time(value: datetime | None, now: datetime) -> str:
    if value is None:
        return "never"
    return f"{numbers.moment(value)} UTC ({numbers.age(value, now)})"


_KEY = Shape(
    KeyOverview,
    Member("id", "Its number in the database.", "key.id"),
    Member("name", "Its name.", "key.name"),
    Member("kind", "What it may do; `unknown` until OpenRouter has said it.", "key.facts.kind"),
    Member("hint", "The beginning and the end of its secret.", "key.hint"),
    Member("state", "`active`, `discovered`, `disabled`, `expired`, `deleted`, `invalid` or `removed`."),
    Member("is_active", "Whether it is synced and validated.", "key.is_active"),
    Member(
        "inactive_reason", "Why it is not active; `invalid`: validate found it so.", "key.inactive_reason"
    ),
    Member("source", "Where its usage comes from.", "key.source"),
    Member("last_synced_at", "When it was last synced.", "key.last_synced_at"),
    Member("last_validated_at", "When it was last validated.", "key.last_validated_at"),
    Member("share_30_days", "Its part of what all keys spent in the last 30 days, 0 to 1."),
    Member("spent_30_days", "What it cost in the last 30 days, in US dollars.", "spent_30_days_usd"),
    Member("spent_this_month", "What it cost this month (UTC), in US dollars.", "spent_month_usd"),
    Member("limit", "Its limit, in US dollars; null: unlimited or never read.", "key.facts.limit_usd"),
    Member(
        "limit_remaining",
        "What is left of its limit, in US dollars; may be negative.",
        "key.facts.limit_remaining_usd",
    ),
    Member("limit_reset", "When its limit starts anew, in OpenRouter's word.", "key.facts.limit_reset"),
    Member("expires_at", "When its time is over.", "key.facts.expires_at"),
    Member("facts_read_at", "When OpenRouter was last asked about it.", "key.facts_read_at"),
    Member("flags", "What stands out; `dormant`: no use for 30 days."),
    Member("is_discovered", "Whether only a management key lists it.", "key.is_discovered"),
    Member("listed_by", "The name of the management key that lists it."),
    Member("listed_name", "Its name at OpenRouter.", "key.listing.name"),
    Member("workspace", "Its workspace at OpenRouter.", "key.listing.workspace"),
    Member("disabled", "Whether it is disabled at OpenRouter.", "key.listing.is_disabled"),
    Member("deleted_at", "When it was found deleted at OpenRouter.", "key.listing.deleted_at"),
)
LIST = Shape(
    KeyListResult,
    Member("keys", "All keys but the removed ones.", shape=_KEY),
    Member(
        "spent_30_days",
        "What all keys spent in the last 30 days, in US dollars; removed ones too.",
        "spent_30_days_usd",
    ),
)
_MORE = Shape(
    StoredKey,
    Member("hash", "The SHA-256 of its secret.", "key_hash"),
    Member("created_at", "When it was stored."),
    Member("listed_created_at", "When it was made at OpenRouter.", "listing.created_at"),
    Member("inactive_since", "Since when it is not synced."),
    Member("synced_through", "The last day that was synced."),
    Member("last_sync_error", "Why its last sync failed."),
    Member("label", "Its label at OpenRouter.", "facts.label"),
    Member("is_free_tier", "Whether its account has never paid.", "facts.is_free_tier"),
    Member("usage", "OpenRouter's counter of its lifetime, in US dollars.", "facts.usage_usd"),
    Member("usage_daily", "OpenRouter's counter of the day, in US dollars.", "facts.usage_daily_usd"),
    Member("usage_weekly", "OpenRouter's counter of the week, in US dollars.", "facts.usage_weekly_usd"),
    Member("usage_monthly", "OpenRouter's counter of the month, in US dollars.", "facts.usage_monthly_usd"),
    Member("byok_usage", "Estimated cost of your own provider keys, in US dollars.", "facts.byok_usage_usd"),
    Member("byok_usage_daily", "The day's BYOK estimate, in US dollars.", "facts.byok_usage_daily_usd"),
    Member("byok_usage_monthly", "The month's BYOK estimate, in US dollars.", "facts.byok_usage_monthly_usd"),
    Member("source_setting", "The source that was chosen; null: the best that answers."),
)
_ACCOUNT = Shape(
    AccountDetails,
    Member("keys", "How many keys it has.", "key_count"),
    Member("backfilled_from", "The first day whose history was read."),
    Member("balance", "What is left, in US dollars; may be negative.", "credits.balance_usd"),
    Member("bought", "What was ever bought, in US dollars.", "credits.bought_usd"),
    Member("spent", "What was ever spent, in US dollars.", "credits.spent_usd"),
    Member("credits_read_at", "When the credits were read."),
)
_DETAILS = Shape(
    KeyDetails,
    Merged("overview", _KEY),
    Merged("overview.key", _MORE),
    Member("replaced_hints", "The secrets that it had before, abbreviated, the last one first."),
    Member("account", "The account of a management key; null for other keys.", shape=_ACCOUNT),
)
SHOW = Shape(KeyDetails, Member("key", "The key.", "", _DETAILS))


def list_json(result: KeyListResult) -> str:
    """The keys, and what all of them spent together."""
    return LIST.document(result)


def show_json(details: KeyDetails) -> str:
    """What the list has of the key, and what else is known."""
    return SHOW.document(details)
