"""What the tests of rendered keys share: lists and single keys in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from orwatch.domain.can_spend import KeyAllowance, bounds_of, can_spend
from orwatch.domain.keys import KeyFacts, KeyKind, Listing, StoredKey
from orwatch.jobs.key.result import AccountDetails, KeyDetails, KeyListResult, KeyOverview
from orwatch.render import key as render
from orwatch.render import key_details
from orwatch.render.console import View
from tests.render.support import rendered, stored_key
from tests.support import NOW

FACTS = KeyFacts(
    KeyKind.INFERENCE,
    label="sk-or-v1-012...a29f",
    usage_usd=Decimal("25.1234567891"),
    usage_daily_usd=Decimal("0"),
    usage_weekly_usd=Decimal("3"),
    usage_monthly_usd=Decimal("4.5"),
    byok_usage_usd=Decimal("0.1"),
    limit_usd=Decimal("100"),
    limit_remaining_usd=Decimal("-0.25"),
    limit_reset="monthly",
    is_free_tier=False,
    expires_at=datetime(2026, 11, 23, 12, 30, tzinfo=UTC),
)


def overview(key: StoredKey, **known: Any) -> KeyOverview:
    """The key with what limits it, unless told otherwise: its own limit and its layers."""
    bounds = bounds_of(key, NOW)
    known.setdefault("allowance", KeyAllowance(bounds, can_spend(bounds)))
    # All days are.
    return KeyOverview(key, key.state(NOW), **{"known_days": 30, **known})


def list_view(
    found: Sequence[StoredKey | KeyOverview], spent: str | None = None, known_days: int | None = 30
) -> View:
    overviews = tuple(each if isinstance(each, KeyOverview) else overview(each) for each in found)
    spent_usd = None if spent is None else Decimal(spent)
    return render.list_view(KeyListResult(NOW, overviews, spent_usd, known_days))


def list_json(
    found: Sequence[StoredKey | KeyOverview], spent: str | None = None, known_days: int | None = 30
) -> str:
    overviews = tuple(each if isinstance(each, KeyOverview) else overview(each) for each in found)
    spent_usd = None if spent is None else Decimal(spent)
    return render.LIST.document(KeyListResult(NOW, overviews, spent_usd, known_days))


def show_json(key: StoredKey, account: AccountDetails | None = None, **known: Any) -> str:
    return render.SHOW.document(KeyDetails(NOW, overview(key, **known), account))


def show_view(key: StoredKey, account: AccountDetails | None = None, **known: Any) -> View:
    return key_details.show_view(KeyDetails(NOW, overview(key, **known), account))


def shown(key: StoredKey, account: AccountDetails | None = None, **known: Any) -> dict[str, str]:
    """The lines of ``key show`` by their labels, which end where two blanks begin."""
    text = rendered(show_view(key, account, **known), 200)
    lines = (line.split("  ", 1) for line in text.splitlines())
    return {label: value.strip() for label, value in lines}


def rows(view: View, width: int = 200) -> list[str]:
    """The rows of a list, without head and total."""
    lines = rendered(view, width).splitlines()
    end = next((index for index, line in enumerate(lines[2:], 2) if line.startswith("─") or not line), None)
    return lines[2:end]


def listing(**changes: Any) -> Listing:
    values: dict[str, Any] = {
        "account_key_id": 9,
        "name": "production",
        "workspace": "Default",
        "is_disabled": False,
        "created_at": NOW - timedelta(days=200),
        "deleted_at": None,
    }
    return Listing(**{**values, **changes})


def discovered(name: str = "production", **changes: Any) -> StoredKey:
    values: dict[str, Any] = {"secret_encrypted": None, "listing": listing(), "facts": FACTS}
    return stored_key(name, **{**values, **changes})


def with_facts(**changes: Any) -> StoredKey:
    return stored_key(facts=replace(FACTS, **changes))
