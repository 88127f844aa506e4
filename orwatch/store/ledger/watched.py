"""Of which keys the beginning of a window is not known, and what their counters say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Integer, select, type_coerce

from orwatch.store.schema import api_keys, to_day_number, to_seconds


def known_too_late(connection: Connection, first_day: date) -> set[int]:
    """The rows of keys of whose usage on ``first_day`` nothing is known.

    Of a listed key without use no day is recorded: its account was read back, or it was not there yet. From
    the first day that was read each sync goes on where the last one ended.
    """
    day = to_day_number(first_day)
    found = connection.exec_driver_sql(
        "SELECT k.id FROM api_keys k LEFT JOIN accounts a ON a.api_key_id = k.account_key_id "
        "WHERE k.kind <> 'management' AND NOT (k.account_key_id IS NOT NULL "
        "AND COALESCE(k.source, '') <> 'counters' AND (k.activity_read_at IS NOT NULL "
        f"OR COALESCE(a.backfilled_from <= {day}, FALSE) "
        f"OR COALESCE(k.listed_created_at >= {day * 86_400}, FALSE))) "
        f"AND NOT EXISTS (SELECT 1 FROM usage_days d WHERE d.date = {day} AND d.api_key_id = k.id)"
    )
    return {row_id for (row_id,) in found.all()}


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
