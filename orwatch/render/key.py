"""The list of keys as a table and JSON, and one key as lines and JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.keys import KeyKind, StoredKey
from orwatch.domain.layers import FreeQuota
from orwatch.domain.money import sum_known_usd
from orwatch.jobs.key.result import (
    WINDOW_DAYS,
    AccountDetails,
    KeyDetails,
    KeyFlag,
    KeyListResult,
    KeyOverview,
)
from orwatch.render import numbers
from orwatch.render.allowances import BOUND, CAN_SPEND, LIMIT, amount_text, can_spend_columns
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Merged, Shape
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

_BAR_WIDTH = 8


@as_view
def list_view(screen: Screen, result: KeyListResult) -> Parts:
    """All keys, a row each."""
    if not result.keys:
        return [Text("No keys yet. Add one: `orwatch key add NAME`.")]
    table = make_table(
        _columns(result, screen.ascii_only),
        screen.width,
        row_styles=["" if _is_usable(each, result.now) else "dim" for each in result.keys],
    )
    return [table, *_remarks(result)]


def _columns(result: KeyListResult, ascii_only: bool) -> list[Column]:
    found, now = result.keys, result.now
    keys = [each.key for each in found]
    has_total = len(found) > 1
    spent = sum_known_usd(each.spent_30_days_usd for each in found)
    month = sum_known_usd(each.spent_month_usd for each in found)
    columns = [
        Column("Key", [key.name for key in keys], "Total" if has_total else "", is_name=True),
        Column("State", [_state_and_flags(each, result.now) for each in found], is_word=True),
        Column(
            "Share",
            [_share(each.share_30_days, each.spent_30_days_usd, result) for each in found],
            _share(result.known_days, spent, result) if has_total else "",
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
        columns.append(Column("Limit used", bars, is_word=True, dispensable=3))
    spendable = [None if _cannot_spend(each) else each.allowance.can_spend for each in found]
    columns += can_spend_columns([_amount(each) for each in found], spendable, is_shortened=True)
    if any(key.facts.expires_at for key in keys):
        expiries = [_expiry(each, result) for each in found]
        columns.append(Column("Expires", expiries, dispensable=5))
    if any(key.listing and key.listing.workspace for key in keys):
        workspaces = [(key.listing.workspace if key.listing else None) or numbers.UNKNOWN for key in keys]
        columns.append(Column("Workspace", workspaces, is_name=True, dispensable=7))
    return [
        *columns,
        Column("Hint", [key.hint for key in keys], is_word=True, dispensable=8),
        Column("Kind", [kind_text(key) for key in keys], is_word=True, dispensable=6),
        Column("Source", [key.source or numbers.UNKNOWN for key in keys], is_word=True, dispensable=9),
        Column("Last sync", [numbers.age(key.last_synced_at, now) for key in keys], dispensable=4),
        Column("Validated", [numbers.age(key.last_validated_at, now) for key in keys], dispensable=10),
    ]


def _share(known: Decimal | int | None, spent: Decimal | None, result: KeyListResult) -> str:
    """A part of all; unknown where that cannot be compared. Exact: little is not nothing."""
    return numbers.UNKNOWN if known is None else numbers.share(spent, result.spent_30_days_usd)


def _remarks(result: KeyListResult) -> list[RenderableType]:
    remarks = []
    if result.spent_30_days_usd:
        spent, known = numbers.usd(result.spent_30_days_usd), result.known_days
        if known is None:
            remarks.append("Share: unknown; of the last 30 days not the same ones are known for all keys.")
        else:
            rest = "" if known >= WINDOW_DAYS else f", {known} of which {'is' if known == 1 else 'are'} known"
            remarks.append(f"Share: of {spent} in the last 30 days{rest}.")
    owners = [each.key.name for each in result.keys if each.key.is_management and each.spent_30_days_usd]
    if owners:
        remarks.append(f"{printable(', '.join(owners))}: usage of the account without a listed key.")
    return [Text(), *(Text(remark) for remark in remarks)] if remarks else []


def _is_usable(overview: KeyOverview, now: datetime) -> bool:
    key = overview.key
    is_over = key.is_expired(now) or {KeyFlag.DISABLED, KeyFlag.DELETED} & set(overview.flags)
    return key.is_active and not is_over


def _state_and_flags(overview: KeyOverview, now: datetime) -> str:
    """The state, and of the flags what no other column says."""
    word = overview.state
    return f"{word}, dormant" if KeyFlag.DORMANT in overview.flags else word


def kind_text(key: StoredKey) -> str:
    """``inference`` or ``management``."""
    return numbers.UNKNOWN if key.facts.kind is KeyKind.UNKNOWN else key.facts.kind.value


def _cannot_spend(overview: KeyOverview) -> bool:
    return overview.key.is_management or KeyFlag.DELETED in overview.flags


def _limit_bar(overview: KeyOverview, ascii_only: bool) -> str:
    limit = overview.own_limit
    if _cannot_spend(overview) or KeyFlag.UNLIMITED in overview.flags:
        return ""
    part = (
        None if limit is None or limit.is_at_most else numbers.used_part(limit.limit_usd, limit.remaining_usd)
    )
    if part is None:
        return numbers.UNKNOWN
    bar = numbers.bar(part, Decimal(1), _BAR_WIDTH, ascii_only=ascii_only)
    return f"{bar.ljust(_BAR_WIDTH)} {numbers.whole_percent(part):>4}"


def _amount(overview: KeyOverview) -> str:
    if _cannot_spend(overview):
        return ""
    if overview.allowance.can_spend is None:
        return "unlimited" if KeyFlag.UNLIMITED in overview.flags else numbers.UNKNOWN
    return amount_text(overview.allowance.can_spend)


def _expiry(overview: KeyOverview, result: KeyListResult) -> str:
    key = overview.key
    if KeyFlag.DELETED in overview.flags:
        return ""
    if key.facts.expires_at is None:
        return numbers.UNKNOWN if key.facts_read_at is None else "never"
    return numbers.age(key.facts.expires_at, result.now)


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
    Member(
        "share_30_days",
        "Its part of what all keys spent in the last 30 days, 0 to 1; null where not the same ones are known "
        "for all.",
    ),
    Member("spent_30_days", "What it cost in the last 30 days, in US dollars.", "spent_30_days_usd"),
    Member("known_days", "Of how many of these days that is."),
    Member("spent_this_month", "What it cost this month (UTC), in US dollars.", "spent_month_usd"),
    Merged("key.facts", LIMIT),
    Member(
        "can_spend",
        "What can still be spent with it; null: nothing limits it as far as is known, or it cannot spend.",
        "allowance.can_spend",
        CAN_SPEND,
    ),
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
    Member(
        "known_days",
        "Of how many of these days that is; null: of none, or not of the same ones for all keys.",
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
    Member("is_byok_limited", "Whether BYOK counts against its limit.", "facts.is_byok_limited"),
    Member("layers_read_at", "When OpenRouter last told of budgets of workspaces, members and guardrails."),
    Member(
        "free_requests",
        "Its account's requests to free models on the day of that reading.",
        "facts.free_quota",
        Shape(
            FreeQuota,
            Member("limit", "How many there are a day."),
            Member("used", "How many are used."),
            Member("remaining", "How many are left."),
        ),
    ),
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
    Member("bounds", "All that limits what it can spend.", "overview.allowance.bounds", BOUND),
    Member("replaced_hints", "The secrets that it had before, abbreviated, the last one first."),
    Member("account", "The account of a management key; null for other keys.", shape=_ACCOUNT),
)
SHOW = Shape(KeyDetails, Member("key", "The key.", "", _DETAILS))
