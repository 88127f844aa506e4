"""What is known of the keys: what they spent, what stands out, and which management key lists them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from orwatch.domain.can_spend import KeyAllowance
from orwatch.domain.keys import InactiveReason, StoredKey
from orwatch.jobs.key.allowances import Allowances, read_allowances
from orwatch.jobs.key.result import (
    WINDOW_DAYS,
    AccountDetails,
    KeyDetails,
    KeyFlag,
    KeyListResult,
    KeyOverview,
)
from orwatch.jobs.key.selection import find_known_key
from orwatch.jobs.key.spending import Spending, read_spending
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import current_members

_SHARE_DIGITS = Decimal("0.000001")


def list_overviews(store: Store, now: datetime) -> KeyListResult:
    """All keys but the removed ones, in the order they came; those that were deleted at the end."""
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
        spending = read_spending(connection, now)
        allowances = read_allowances(connection, keys, now)
    overviews, known_days = _overviews(keys, spending, allowances, now)
    found = tuple(sorted(overviews, key=lambda each: KeyFlag.DELETED in each.flags))
    return KeyListResult(now, found, spending.spent_30_days_usd, known_days)


def describe(store: Store, name: str, now: datetime) -> KeyDetails:
    """All that is known of the key of that name, removed or not. Raises ``UsageError``."""
    with store.read() as connection:
        keys = stored_keys.list_keys(connection, with_removed=True)
        key = find_known_key(keys, name)
        spending = read_spending(connection, now)
        allowances = read_allowances(connection, keys, now)
        account = _account(connection, key, spending) if key.is_management else None
    overviews, _ = _overviews(keys, spending, allowances, now)
    overview = next(each for each in overviews if each.key.id == key.id)
    return KeyDetails(now, overview, account, tuple(reversed(spending.replaced.get(key.id, ()))))


def _overviews(
    keys: Sequence[StoredKey], spending: Spending, allowances: Allowances, now: datetime
) -> tuple[list[KeyOverview], int | None]:
    """An overview of each key, and of how many days their shares are; None: there are no shares."""
    names = {key.id: key.name for key in keys if not key.is_removed}
    read = {key.id: spending.read_days_of(key) for key in keys}
    known = {key.id: read[key.id] and read[key.id] | spending.days_before(key) for key in keys}
    watched = [key.id for key in keys if key.is_active and not key.is_deleted and read[key.id]]
    days = set().union(*(read[key_id] for key_id in watched))
    # Sums of different days cannot be compared. Today goes on, and is read when each key is.
    whole_days = days - {spending.today}
    is_comparable = bool(days) and all(whole_days <= known[key_id] for key_id in watched)
    whole = spending.spent_30_days_usd if is_comparable else None
    found = []
    for key in keys:
        spent, share = spending.spent_30_days_by(key), None
        if spent is not None and whole and known[key.id] and whole_days <= known[key.id]:
            share = (spent / whole).quantize(_SHARE_DIGITS)
        found.append(
            KeyOverview(
                key,
                key.state(now),
                listed_by=names.get(key.listing.account_key_id) if key.listing else None,
                spent_30_days_usd=spent,
                known_days=len(known[key.id]),
                share_30_days=share,
                spent_month_usd=spending.spent_month_by(key),
                flags=tuple(_flags(key, spending)),
                allowance=allowances.keys.get(key.id, KeyAllowance()),
            )
        )
    return found, len(days) if is_comparable else None


def _flags(key: StoredKey, spending: Spending) -> list[KeyFlag]:
    if key.is_deleted:
        return [KeyFlag.DELETED]
    flags = []
    if is_unlimited(key):
        flags.append(KeyFlag.UNLIMITED)
    if _is_dormant(key, spending):
        flags.append(KeyFlag.DORMANT)
    if key.inactive_reason is InactiveReason.DISABLED or key.is_listed_disabled:
        flags.append(KeyFlag.DISABLED)
    return flags


def is_unlimited(key: StoredKey) -> bool:
    """Whether OpenRouter reported a key without a limit; management keys cannot spend."""
    facts = key.facts
    is_read = key.facts_read_at is not None and not key.is_management
    return is_read and facts.limit_usd is None and facts.limit_remaining_usd is None


def _is_dormant(key: StoredKey, spending: Spending) -> bool:
    if key.is_management or not key.is_active or key.is_listed_disabled:
        return False
    listing, created_at = key.listing, key.created_at
    if listing is not None and listing.created_at is not None:
        created_at = min(created_at, listing.created_at)
    return spending.now - created_at >= timedelta(days=WINDOW_DAYS) and spending.is_unused(key)


def _account(connection: Connection, key: StoredKey, spending: Spending) -> AccountDetails:
    found = current_members(connection, key.id)
    state = spending.accounts.get(key.id)
    reading = accounts.latest_credits(connection, key.id)
    living = [each for each in found.discovered + found.with_secret if not each.is_deleted]
    return AccountDetails(
        key_count=len(living),
        backfilled_from=None if state is None else state.backfilled_from,
        credits=None if reading is None else reading.credits,
        credits_read_at=None if reading is None else reading.read_at,
    )
