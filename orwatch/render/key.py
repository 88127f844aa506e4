"""The list of keys as a table and JSON, and what it shares with other views of keys."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.keys import KeyKind, StoredKey, is_discovered, state
from orwatch.domain.money import add_known_usd
from orwatch.jobs.key.result import KeyFlag, KeyListResult, KeyOverview
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

_BAR_WIDTH = 8


def list_view(result: KeyListResult) -> View:
    """All keys, a row each."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if not result.keys:
            return [Text("No keys yet. `orwatch key add NAME` stores one.")]
        table = make_table(
            _columns(result, ascii_only),
            width,
            row_styles=["" if _is_usable(each) else "dim" for each in result.keys],
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
        Column("State", [_state_and_flags(each) for each in found], is_word=True),
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
        Column("Kind", [kind(key) for key in keys], is_word=True, dispensable=6),
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
        remarks.append(f"{printable(', '.join(owners))}: what the account used without a listed key.")
    return [Text(), *(Text(remark) for remark in remarks)] if remarks else []


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    total = None
    for amount in amounts:
        total = add_known_usd(total, amount)
    return total


def _is_usable(overview: KeyOverview) -> bool:
    return overview.key.is_active and not {KeyFlag.DISABLED, KeyFlag.DELETED} & set(overview.flags)


def _state_and_flags(overview: KeyOverview) -> str:
    """The state, and of the flags what no other column says."""
    word = state(overview.key)
    return f"{word}, dormant" if KeyFlag.DORMANT in overview.flags else word


def kind(key: StoredKey) -> str:
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


def list_json(result: KeyListResult) -> str:
    """``{"schema_version", "keys": […], "spent_30_days"}``."""
    return json_text.document(
        {
            "keys": [overview_members(each) for each in result.keys],
            "spent_30_days": result.spent_30_days_usd,
        }
    )


def overview_members(overview: KeyOverview) -> dict[str, JsonValue]:
    """What every JSON about keys tells of each."""
    key, listing, facts = overview.key, overview.key.listing, overview.key.facts
    return {
        "id": key.id,
        "name": key.name,
        "kind": facts.kind.value,
        "hint": key.hint,
        "state": state(key),
        "is_active": key.is_active,
        "inactive_reason": key.inactive_reason.value if key.inactive_reason else None,
        "source": key.source.value if key.source else None,
        "last_synced_at": key.last_synced_at,
        "last_validated_at": key.last_validated_at,
        "share_30_days": overview.share_30_days,
        "spent_30_days": overview.spent_30_days_usd,
        "spent_this_month": overview.spent_month_usd,
        "limit": facts.limit_usd,
        "limit_remaining": facts.limit_remaining_usd,
        "limit_reset": facts.limit_reset,
        "expires_at": facts.expires_at,
        "facts_read_at": key.facts_read_at,
        "flags": [flag.value for flag in overview.flags],
        "is_discovered": is_discovered(key),
        "listed_by": overview.listed_by,
        "listed_name": listing.name if listing else None,
        "workspace": listing.workspace if listing else None,
        "disabled": listing.is_disabled if listing else None,
        "deleted_at": listing.deleted_at if listing else None,
    }
