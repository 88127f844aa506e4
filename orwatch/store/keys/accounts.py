"""What is stored of the accounts of management keys: the keys they list, how far they were read, credits."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from orwatch.domain.keys import AccountState, Credits, KeyFacts, StoredKey
from orwatch.domain.layers import WorkspaceReading
from orwatch.domain.money import from_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageRow
from orwatch.store.keys.layers import dump_workspaces, load_workspaces
from orwatch.store.keys.table import list_keys, list_rows, update_key, update_keys
from orwatch.store.ledger.conditions import among, between
from orwatch.store.ledger.spans import list_spans
from orwatch.store.schema import (
    account_credits,
    accounts,
    api_keys,
    from_day_number,
    models,
    providers,
    to_day_number,
    to_seconds,
    usage_by_key,
    usage_days,
    usage_stats,
)

# A management key that follows another one reads this far back itself.
_TAKEN_OVER_WITHIN = timedelta(days=30)


def members(connection: Connection, owner_id: int) -> list[StoredKey]:
    """The keys of an account, deleted ones included, by id."""
    keys = list_rows(connection)
    return [key for key in keys if key.listing is not None and key.listing.account_key_id == owner_id]


def find_twin(
    connection: Connection,
    owner: StoredKey,
    account_id: str | None,
    hashes: Collection[str],
    credits: Credits | None = None,
) -> StoredKey | None:
    """Another management key, stored before, that is watched and that belongs to the same account.

    ``credits``: where nothing else tells the account, the same of them do, unless nothing was ever spent.
    """
    keys = list_keys(connection)
    owners = {key.listing.account_key_id for key in keys if key.listing and key.key_hash in hashes}
    for key in keys:
        if key.id >= owner.id or not key.is_management or not key.is_active:
            continue
        if key.id in owners:
            return key
        if account_id is not None and account_state(connection, key.id).account_id == account_id:
            return key
        latest = latest_credits(connection, key.id) if credits is not None and credits.spent_usd else None
        if latest is not None and latest.credits == credits:
            return key
    return None


def take_over(
    connection: Connection, owner: StoredKey, account_id: str | None, hashes: Collection[str], today: date
) -> None:
    """Make the other management keys of the account, and their members, the owner's.

    What was kept under them then counts as a part of the account, and nothing is counted twice.
    """
    keys = list_rows(connection)
    listers = {key.listing.account_key_id for key in keys if key.listing and key.key_hash in hashes}
    for key in keys:
        if not key.is_management or key.id == owner.id:
            continue
        is_same = account_id is not None and account_state(connection, key.id).account_id == account_id
        if key.id in listers or is_same:
            _take_over_from(connection, owner.id, key, today)


def _take_over_from(connection: Connection, owner_id: int, key: StoredKey, today: date) -> None:
    connection.execute(
        api_keys.update().where(api_keys.c.account_key_id == key.id).values(account_key_id=owner_id)
    )
    if key.listing is not None and key.listing.account_key_id == owner_id:
        return
    update_key(connection, key.id, {"account_key_id": owner_id, "listed_name": key.name})
    # Days that were not read since are read with the rest of the past.
    if key.synced_through is not None and key.synced_through >= today - _TAKEN_OVER_WITHIN:
        before, state = account_state(connection, key.id), account_state(connection, owner_id)
        update_account(
            connection,
            owner_id,
            backfill_from=_earlier(state.backfill_from, before.backfill_from),
            backfilled_from=_earlier(state.backfilled_from, before.backfilled_from),
        )


def hand_over(connection: Connection, old: StoredKey, new_id: int, today: date) -> None:
    """Make the account of a management key that of the one which replaces it, with its credits."""
    _take_over_from(connection, new_id, old, today)
    update_account(connection, new_id, account_id=account_state(connection, old.id).account_id)
    credits = account_credits.c
    known = select(credits.date).where(credits.api_key_id == new_id)
    connection.execute(
        account_credits.update()
        .where(credits.api_key_id == old.id, credits.date.not_in(known))
        .values(api_key_id=new_id)
    )


def _earlier(first: date | None, second: date | None) -> date | None:
    return min((day for day in (first, second) if day is not None), default=None)


def account_state(connection: Connection, key_id: int) -> AccountState:
    """How far the account of a management key was read."""
    return account_states(connection).get(key_id, AccountState())


def account_states(connection: Connection) -> dict[int, AccountState]:
    """How far each account was read, by the id of its management key."""
    return {
        row["api_key_id"]: AccountState(
            workspaces=load_workspaces(row["workspace_budgets"]),
            **{each.name: row[each.name] for each in fields(AccountState) if each.name != "workspaces"},
        )
        for row in connection.execute(select(accounts)).mappings()
    }


def update_account(connection: Connection, key_id: int, **values: object) -> None:
    """Store what was read of an account; members of ``AccountState``, the rest stays as it is."""
    if connection.execute(accounts.update().where(accounts.c.api_key_id == key_id).values(values)).rowcount:
        return
    connection.execute(accounts.insert().values(api_key_id=key_id, **values))


def record_workspaces(
    connection: Connection, key_id: int, workspaces: tuple[WorkspaceReading, ...], read_at: datetime | None
) -> None:
    """Store what each workspace of an account is budgeted, and when one was last asked about."""
    text = dump_workspaces(workspaces)
    update_account(connection, key_id, workspace_budgets=text, workspace_budgets_read_at=read_at)


def record_activity_read(connection: Connection, keys: Iterable[StoredKey], now: datetime) -> None:
    """Store that ``GET /activity`` was asked about these keys, and with which counters."""
    marks = ((key.id, spent_before_today(key.facts)) for key in keys)
    update_keys(
        connection,
        (
            (
                key_id,
                {
                    "activity_read_at": now,
                    "activity_before_nano": before,
                    "activity_byok_before_nano": byok_before,
                },
            )
            for key_id, (before, byok_before) in marks
        ),
    )


def spent_before_today(facts: KeyFacts) -> tuple[Decimal | None, Decimal | None]:
    """What the counters say had been spent when their day began, and the same of BYOK."""
    return (
        _difference(facts.usage_usd, facts.usage_daily_usd),
        _difference(facts.byok_usage_usd, facts.byok_usage_daily_usd),
    )


def _difference(whole: Decimal | None, part: Decimal | None) -> Decimal | None:
    return None if whole is None or part is None else whole - part


def is_read_since(
    connection: Connection,
    owner_id: int,
    key_ids: Collection[int],
    since: date,
    until: date,
    read_since: datetime,
) -> bool:
    """Whether all days with usage of these keys were read of the account since then, by ``GET /activity``.

    And none of a key after it: the account's remainder does not know of what that has changed.
    """
    days = between("date", since, until)
    of_account = (
        f"MAX(CASE WHEN api_key_id = {int(owner_id)} AND source = '{UsageSource.ACTIVITY}' THEN read_at END)"
    )
    is_read = (
        f"SELECT date FROM usage_days WHERE {days} AND {among('api_key_id', {owner_id, *key_ids})} "
        f"GROUP BY date HAVING {of_account} >= {to_seconds(read_since)} AND {of_account} = MAX(read_at)"
    )
    is_used = f"SELECT DISTINCT date FROM usage_by_key WHERE {days} AND {among('api_key_id', key_ids)}"
    read, used = ({*connection.exec_driver_sql(query).scalars()} for query in (is_read, is_used))
    return bool(read) and used <= read


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
        reported = select(usage_days.c.date).where(
            usage_days.c.api_key_id == each.key_id,
            usage_days.c.date.between(to_day_number(first), to_day_number(last)),
            usage_days.c.source != UsageSource.COUNTERS,
        )
        days = {first + timedelta(days=number) for number in range((last - first).days + 1)}
        found |= days - {from_day_number(number) for number in connection.execute(reported).scalars()}
    return found


def stored_sums(connection: Connection, key_ids: Collection[int], since: date, until: date) -> list[UsageRow]:
    """What the ledger has of all these keys together, a row for each day, model and provider.

    A count that is not known of one of them is None.
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
    return _credits(connection, query.order_by(account_credits.c.date))


def _credits(connection: Connection, query: Select[Any]) -> list[CreditsReading]:
    return [
        CreditsReading(row["api_key_id"], row["read_at"], Credits(row["bought_nano"], row["spent_nano"]))
        for row in connection.execute(query).mappings()
    ]


def latest_credits(connection: Connection, key_id: int) -> CreditsReading | None:
    """The last reading of an account's credits."""
    return latest_credits_by_account(connection).get(key_id)


def latest_credits_by_account(connection: Connection) -> dict[int, CreditsReading]:
    """The last reading of each account's credits, by the id of its management key."""
    last_day = select(account_credits.c.api_key_id, func.max(account_credits.c.date).label("day"))
    last = last_day.group_by(account_credits.c.api_key_id).subquery()
    is_last = (account_credits.c.api_key_id == last.c.api_key_id) & (account_credits.c.date == last.c.day)
    return {
        reading.key_id: reading
        for reading in _credits(connection, select(account_credits).join(last, is_last))
    }
