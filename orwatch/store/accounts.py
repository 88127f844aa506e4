"""What management keys tell of their accounts: the keys they list, how far they were read, credits."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, case, func, select

from orwatch.models import (
    AccountState,
    Credits,
    KeyFacts,
    ListedKey,
    StoredKey,
    UsageRow,
    UsageSource,
    from_nano,
)
from orwatch.store.keys import fact_values, list_keys
from orwatch.store.schema import (
    account_credits,
    accounts,
    api_keys,
    from_day_number,
    models,
    providers,
    to_day_number,
    usage_by_key,
    usage_days,
    usage_stats,
)
from orwatch.store.spans import list_spans
from orwatch.text import printable

_MAX_NAME_LENGTH = 100
_SHORT_HASH = 6

# A management key that follows another one reads this far back itself.
_TAKEN_OVER_WITHIN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ListingChanges:
    """What a list of keys has told anew, by the keys' names in orwatch; ``renamed`` are (before, now)."""

    discovered: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def merge_listing(
    connection: Connection, owner: StoredKey, listed: Iterable[ListedKey], now: datetime
) -> ListingChanges:
    """Store a whole list of an account's keys under the management key that told it.

    New keys are stored without a secret; a hash that is known is the known key. A key that is not listed any
    more counts as deleted, and keeps its history. Names stay unique in orwatch: a key that has its name from
    the list follows it, with a piece of its hash behind it where another key has that name already.
    """
    listed = list(listed)
    _mark_listed(connection, owner, {key.key_hash for key in listed})
    by_hash = {key.key_hash: key for key in list_keys(connection, with_removed=True)}
    in_order = sorted(listed, key=lambda key: (key.created_at is None, key.created_at or now, key.key_hash))
    deleted = _mark_deleted(connection, owner, {key.key_hash for key in in_order}, now)
    discovered, renamed, disabled, enabled = [], [], [], []
    for key in in_order:
        known = by_hash.get(key.key_hash)
        if known is None:
            discovered.append(_insert(connection, owner, key, now))
            continue
        name = _followed_name(connection, known, key)
        if name != known.name:
            renamed.append((known.name, name))
        was_disabled = known.listing is not None and known.listing.is_disabled
        if key.is_disabled and not was_disabled:
            disabled.append(name)
        elif was_disabled and not key.is_disabled:
            enabled.append(name)
        kind = known.facts.kind if known.is_management else key.facts.kind
        values = {
            "name": name,
            "removed_at": None,
            **_listing_values(owner, key),
            **fact_values(replace(key.facts, kind=kind), now),
        }
        if known.removed_at is not None:
            values |= {"is_active": True, "inactive_reason": None, "inactive_since": None}
        _update_key(connection, known.id, values)
    return ListingChanges(tuple(discovered), tuple(renamed), tuple(disabled), tuple(enabled), deleted)


def _mark_deleted(
    connection: Connection, owner: StoredKey, listed: Collection[str], now: datetime
) -> tuple[str, ...]:
    gone = [
        key
        for key in members(connection, owner.id)
        if key.key_hash not in listed and not key.is_management
        if key.listing is not None and key.listing.deleted_at is None
    ]
    for key in gone:
        _update_key(connection, key.id, {"deleted_at": now})
    return tuple(key.name for key in gone)


def _mark_listed(connection: Connection, owner: StoredKey, hashes: Collection[str]) -> None:
    """Keys that are back are no longer deleted, before any name is given away."""
    for key in members(connection, owner.id):
        if key.key_hash in hashes and key.listing is not None and key.listing.deleted_at is not None:
            _update_key(connection, key.id, {"deleted_at": None})


def _insert(connection: Connection, owner: StoredKey, key: ListedKey, now: datetime) -> str:
    name = _free_name(connection, key, None)
    connection.execute(
        api_keys.insert().values(
            name=name,
            key_hash=key.key_hash,
            hint=_hint(key.facts, key.key_hash),
            is_active=True,
            created_at=now,
            **_listing_values(owner, key),
            **fact_values(key.facts, now),
        )
    )
    return name


def _listing_values(owner: StoredKey, key: ListedKey) -> dict[str, Any]:
    return {
        "account_key_id": owner.id,
        "listed_name": key.name,
        "workspace": key.workspace,
        "is_listed_disabled": key.is_disabled,
        "listed_created_at": key.created_at,
        "deleted_at": None,
    }


def _followed_name(connection: Connection, known: StoredKey, key: ListedKey) -> str:
    """The name in orwatch: its own where a person gave it one, otherwise the list's."""
    before = known.listing
    if before is not None and before.name != key.name:
        base = _base_name(before.name, known.key_hash)
        if known.name in {base, _numbered(base, known.key_hash)}:
            return _free_name(connection, key, known)
    # A key that was removed gave its name back: another one may have it by now.
    is_taken = known.removed_at is not None and any(
        other.name == known.name for other in list_keys(connection)
    )
    return _free_name(connection, key, known) if is_taken else known.name


def _free_name(connection: Connection, key: ListedKey, known: StoredKey | None) -> str:
    base = _base_name(key.name, key.key_hash)
    holder = next(
        (other for other in list_keys(connection) if other.name == base and other.key_hash != key.key_hash),
        None,
    )
    if holder is None:
        return base
    if holder.listing is not None and holder.listing.deleted_at is not None:
        # The dead give their names to the living.
        _update_key(connection, holder.id, {"name": _numbered(base, holder.key_hash)})
        return base
    return _numbered(base, key.key_hash)


def _base_name(name: str, key_hash: str) -> str:
    return printable(name.strip())[:_MAX_NAME_LENGTH].strip() or f"key {key_hash[:_SHORT_HASH]}"


def _numbered(base: str, key_hash: str) -> str:
    return f"{base} ({key_hash[:_SHORT_HASH]})"


def _hint(facts: KeyFacts, key_hash: str) -> str:
    """How the list abbreviates the secret (``sk-or-v1-0e6...1c96``), as orwatch does."""
    start, dots, end = (facts.label or "").partition("...")
    if dots and start.startswith("sk-") and end.isalnum() and len(end) <= _SHORT_HASH:
        return f"sk-or-…{end}"
    return f"#{key_hash[:_SHORT_HASH]}"


def members(connection: Connection, owner_id: int) -> list[StoredKey]:
    """The keys of an account, deleted ones included, by id."""
    keys = list_keys(connection, with_removed=True)
    return [key for key in keys if key.listing is not None and key.listing.account_key_id == owner_id]


def find_twin(
    connection: Connection, owner: StoredKey, account_id: str | None, hashes: Collection[str]
) -> StoredKey | None:
    """Another management key, stored before, that is watched and that belongs to the same account."""
    keys = list_keys(connection)
    owners = {key.listing.account_key_id for key in keys if key.listing and key.key_hash in hashes}
    for key in keys:
        if key.id >= owner.id or not key.is_management or not key.is_active:
            continue
        if key.id in owners:
            return key
        if account_id is not None and account_state(connection, key.id).account_id == account_id:
            return key
    return None


def take_over(
    connection: Connection, owner: StoredKey, account_id: str | None, hashes: Collection[str], today: date
) -> None:
    """Make the other management keys of the account, and their members, the owner's.

    What was kept under them then counts as a part of the account, and nothing is counted twice.
    """
    keys = list_keys(connection, with_removed=True)
    listers = {key.listing.account_key_id for key in keys if key.listing and key.key_hash in hashes}
    for key in keys:
        if not key.is_management or key.id == owner.id:
            continue
        before = account_state(connection, key.id)
        if key.id not in listers and (account_id is None or before.account_id != account_id):
            continue
        connection.execute(
            api_keys.update().where(api_keys.c.account_key_id == key.id).values(account_key_id=owner.id)
        )
        if key.listing is not None and key.listing.account_key_id == owner.id:
            continue
        _update_key(connection, key.id, {"account_key_id": owner.id, "listed_name": key.name})
        # Days that nobody has read since are read with the rest of the past.
        if key.synced_through is not None and key.synced_through >= today - _TAKEN_OVER_WITHIN:
            state = account_state(connection, owner.id)
            update_account(
                connection,
                owner.id,
                backfill_from=_earlier(state.backfill_from, before.backfill_from),
                backfilled_from=_earlier(state.backfilled_from, before.backfilled_from),
            )


def _earlier(first: date | None, second: date | None) -> date | None:
    return min((day for day in (first, second) if day is not None), default=None)


def account_state(connection: Connection, key_id: int) -> AccountState:
    """How far the account of a management key was read."""
    row = connection.execute(select(accounts).where(accounts.c.api_key_id == key_id)).mappings().first()
    if row is None:
        return AccountState()
    return AccountState(**{name: row[name] for name in AccountState.__dataclass_fields__})


def account_states(connection: Connection) -> dict[int, AccountState]:
    """How far each account was read, by the id of its management key."""
    return {
        row["api_key_id"]: AccountState(**{name: row[name] for name in AccountState.__dataclass_fields__})
        for row in connection.execute(select(accounts)).mappings()
    }


def update_account(connection: Connection, key_id: int, **values: object) -> None:
    """Store what is told of an account; members of ``AccountState``, the rest stays as it is."""
    if connection.execute(accounts.update().where(accounts.c.api_key_id == key_id).values(values)).rowcount:
        return
    connection.execute(accounts.insert().values(api_key_id=key_id, **values))


def record_activity_read(connection: Connection, key_id: int, facts: KeyFacts, now: datetime) -> None:
    """Store that ``GET /activity`` was asked about a key, and with which counters."""
    before, byok_before = spent_before_today(facts)
    _update_key(
        connection,
        key_id,
        {
            "activity_read_at": now,
            "activity_before_nano": before,
            "activity_byok_before_nano": byok_before,
        },
    )


def spent_before_today(facts: KeyFacts) -> tuple[Decimal | None, Decimal | None]:
    """What the counters say had been spent when their day began, and the same of BYOK."""
    return (
        _difference(facts.usage_usd, facts.usage_daily_usd),
        _difference(facts.byok_usage_usd, facts.byok_usage_daily_usd),
    )


def _difference(whole: Decimal | None, part: Decimal | None) -> Decimal | None:
    return None if whole is None or part is None else whole - part


def unsettled_days(
    connection: Connection, key_ids: Collection[int], since: date, until: date
) -> dict[int, set[date]]:
    """By key, the days of which there is usage that may still change or become more exact."""
    query = (
        select(usage_by_key.c.api_key_id, usage_by_key.c.date)
        .join(
            usage_days,
            (usage_days.c.date == usage_by_key.c.date)
            & (usage_days.c.api_key_id == usage_by_key.c.api_key_id),
            isouter=True,
        )
        .where(
            usage_by_key.c.date.between(to_day_number(since), to_day_number(until)),
            usage_days.c.is_settled.is_not(True) | (usage_days.c.source != UsageSource.ACTIVITY),
        )
    )
    found: dict[int, set[date]] = {}
    for row in connection.execute(query):
        if row.api_key_id in key_ids:
            found.setdefault(row.api_key_id, set()).add(from_day_number(row.date))
    return found


def keys_used_on(connection: Connection, key_ids: Collection[int], days: Collection[date]) -> set[int]:
    """The keys that have usage on one of these days."""
    query = (
        select(usage_by_key.c.api_key_id)
        .distinct()
        .where(usage_by_key.c.date.in_([to_day_number(day) for day in days]))
    )
    return {key_id for key_id in connection.execute(query).scalars() if key_id in key_ids}


def days_in_spans(connection: Connection, key_ids: Collection[int], since: date, until: date) -> set[date]:
    """The days that one of these keys has used something on that is known as a sum of days only."""
    found: set[date] = set()
    for each in list_spans(connection, since, until, tuple(key_ids)):
        span = each.span
        if not span.cost_usd and not span.byok_cost_usd:
            continue
        first, last = max(span.first_day, since), min(span.last_day, until)
        told = select(usage_days.c.date).where(
            usage_days.c.api_key_id == each.key_id,
            usage_days.c.date.between(to_day_number(first), to_day_number(last)),
            usage_days.c.source != UsageSource.COUNTERS,
        )
        days = {first + timedelta(days=number) for number in range((last - first).days + 1)}
        found |= days - {from_day_number(number) for number in connection.execute(told).scalars()}
    return found


def stored_sums(connection: Connection, key_ids: Collection[int], since: date, until: date) -> list[UsageRow]:
    """What the ledger has of all these keys together, a row for each day, model and provider.

    A count that one of them does not tell is None.
    """
    table, read = usage_stats.c, usage_by_key.c
    counts = (
        table.requests,
        table.tokens_input,
        table.tokens_output,
        table.tokens_reasoning,
        table.tokens_cached,
    )
    query = (
        select(
            table.date,
            models.c.name.label("model"),
            providers.c.name.label("provider"),
            *(
                case((func.count() == func.count(column), func.sum(column))).label(column.name)
                for column in counts
            ),
            func.sum(table.cost_nano).label("cost_nano"),
            func.sum(table.byok_cost_nano).label("byok_cost_nano"),
        )
        .select_from(usage_by_key)
        .join(usage_stats, (table.date == read.date) & (table.api_key_id == read.api_key_id))
        .join(models, models.c.id == table.model_id)
        .join(providers, providers.c.id == table.provider_id)
        .where(read.date.between(to_day_number(since), to_day_number(until)), read.api_key_id.in_(key_ids))
        .group_by(table.date, models.c.id, providers.c.id)
    )
    return [
        UsageRow(
            from_day_number(row["date"]),
            row["model"],
            row["provider"],
            row["requests"],
            row["tokens_input"],
            row["tokens_output"],
            from_nano(row["cost_nano"]),
            row["tokens_reasoning"],
            row["tokens_cached"],
            None if row["byok_cost_nano"] is None else from_nano(row["byok_cost_nano"]),
        )
        for row in connection.execute(query).mappings()
    ]


def record_credits(connection: Connection, key_id: int, credits: Credits, now: datetime) -> None:
    """Store what an account has bought and spent: the last reading of each day stays."""
    day = now.date()
    connection.execute(
        account_credits.delete().where(account_credits.c.date == day, account_credits.c.api_key_id == key_id)
    )
    connection.execute(
        account_credits.insert().values(
            date=day,
            api_key_id=key_id,
            read_at=now,
            bought_nano=credits.bought_usd,
            spent_nano=credits.spent_usd,
        )
    )


@dataclass(frozen=True, slots=True)
class CreditsReading:
    """What an account had bought and spent at a time."""

    key_id: int
    read_at: datetime
    credits: Credits


def list_credits(connection: Connection, key_id: int) -> list[CreditsReading]:
    """All readings of an account's credits, oldest first."""
    query = select(account_credits).where(account_credits.c.api_key_id == key_id)
    return [
        CreditsReading(row["api_key_id"], row["read_at"], Credits(row["bought_nano"], row["spent_nano"]))
        for row in connection.execute(query.order_by(account_credits.c.date)).mappings()
    ]


def latest_credits(connection: Connection, key_id: int) -> CreditsReading | None:
    """The last reading of an account's credits."""
    readings = list_credits(connection, key_id)
    return readings[-1] if readings else None


def _update_key(connection: Connection, key_id: int, values: dict[str, Any]) -> None:
    connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(**values))
