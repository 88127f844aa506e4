"""Of which keys the beginning of a window is not known, and what their counters say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Integer, and_, exists, func, or_, select, type_coerce

from orwatch.domain.keys import KeyKind
from orwatch.domain.sources import UsageSource
from orwatch.store.ledger.write import kept_from
from orwatch.store.schema import accounts, api_keys, to_day_number, to_seconds, usage_days


def known_too_late(connection: Connection, first_day: date) -> set[int]:
    """The rows of keys of whose usage on ``first_day`` nothing is known.

    Of a listed key without use no day is recorded: its account was read back, or it was not there yet. From
    the first day that was read each sync goes on where the last one ended.
    """
    day = max(first_day, kept_from(connection) or date.min)
    columns = api_keys.c
    began = datetime(day.year, day.month, day.day, tzinfo=UTC)
    is_recorded = exists().where(
        usage_days.c.date == to_day_number(day), usage_days.c.api_key_id == columns.id
    )
    is_listed = and_(
        columns.account_key_id.is_not(None),
        func.coalesce(columns.source, "") != UsageSource.COUNTERS.value,
        or_(
            columns.activity_read_at.is_not(None),
            accounts.c.backfilled_from <= day,
            columns.listed_created_at >= began,
        ),
    )
    query = (
        select(columns.id)
        .join(accounts, accounts.c.api_key_id == columns.account_key_id, isouter=True)
        .where(
            columns.kind != KeyKind.MANAGEMENT.value,
            ~func.coalesce(is_listed, False),
            ~is_recorded,
        )
    )
    return set(connection.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class CountedKey:
    """What OpenRouter's counters say that a key has spent in the running window, in nano-dollars."""

    cost_nano: int
    byok_nano: int | None


def counted_since(connection: Connection, column: str, since: datetime) -> dict[int, CountedKey]:
    """By row, the counters that were read since then.

    ``column``: ``usage_daily``, ``usage_weekly`` or ``usage_monthly``. The one of BYOK by week is not stored.
    """
    counter: Any = api_keys.c[f"{column}_nano"]
    byok: Any = api_keys.c.get(f"byok_{column}_nano")
    query = select(
        api_keys.c.id,
        type_coerce(counter, Integer),
        *(() if byok is None else (type_coerce(byok, Integer),)),
    ).where(type_coerce(api_keys.c.facts_read_at, Integer) >= max(0, to_seconds(since)), counter.is_not(None))
    return {row[0]: CountedKey(row[1], row[2] if len(row) > 2 else None) for row in connection.execute(query)}
