"""What the tests of keys that a management key lists share: an account in a line."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from orwatch.domain.keys import Credits, KeyFacts, KeyKind, ListedKey, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts, listings
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import ListingChanges
from orwatch.store.ledger import write as ledger
from tests.jobs.support import add_key, days_ago
from tests.store.support import get_key
from tests.support import NOW, TODAY, secret_of, usage_row

MANAGEMENT = KeyFacts(KeyKind.MANAGEMENT)


def listed(
    name: str,
    *,
    is_disabled: bool = False,
    workspace: str | None = "Default",
    age_days: int = 200,
    **facts: Any,
) -> ListedKey:
    """A key as the list tells it; its secret is ``secret_of`` its name."""
    return ListedKey(
        hash_secret(secret_of(name)),
        name,
        workspace,
        is_disabled,
        NOW - timedelta(days=age_days),
        KeyFacts(KeyKind.INFERENCE, **facts),
    )


def add_owner(store: Store, name: str = "ops") -> StoredKey:
    """A management key."""
    return add_key(store, name, facts=MANAGEMENT)


def list_under(store: Store, owner: StoredKey, *keys: ListedKey, now: datetime = NOW) -> ListingChanges:
    """What a sync learns from the list of an account."""
    with store.write() as connection:
        return listings.merge_listing(connection, owner, keys, now)


def note_sync(
    store: Store,
    *names: str,
    now: datetime = NOW,
    source: UsageSource = UsageSource.ANALYTICS,
    error: str | None = None,
) -> None:
    """That the sync of these keys came through, a month back."""
    with store.write() as connection:
        for name in names:
            stored_keys.record_sync(
                connection,
                get_key(store, name),
                source=source,
                since=days_ago(30),
                until=TODAY,
                error=error,
                now=now,
            )


def note_spent(store: Store, name: str, cost: str, days: int = 0, requests: int = 5) -> None:
    """That a key spent that many days ago."""
    row = usage_row(days_ago(days), cost=cost, requests=requests)
    key_id = get_key(store, name).id
    with store.write() as connection:
        ledger.write_usage(
            connection, key_id, UsageAnswer(UsageSource.ANALYTICS, row.day, row.day, (row,)), NOW
        )


def note_credits(store: Store, owner: StoredKey, bought: str, spent: str, read_at: datetime = NOW) -> None:
    """That the credits of an account were read."""
    with store.write() as connection:
        credits = Credits(Decimal(bought), Decimal(spent))
        accounts.record_credits(connection, owner.id, credits, read_at)


def note_account(store: Store, owner: StoredKey, **values: object) -> None:
    """How far an account was read."""
    with store.write() as connection:
        accounts.update_account(connection, owner.id, **values)
