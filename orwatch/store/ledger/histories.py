"""What is stored of each key: sums, days that were read, and spans."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache

from sqlalchemy import Connection, Integer, func, select, type_coerce

from orwatch.domain.contradictions import StoredDay
from orwatch.domain.money import ZERO, add_exactly, from_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.conditions import among, among_days
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans
from orwatch.store.schema import from_day_number, to_day_number, usage_by_key, usage_days, usage_spans


@dataclass(frozen=True, slots=True)
class KeySum:
    """What a key cost. ``byok_usd``: as far as the sources report it."""

    cost_usd: Decimal = ZERO
    byok_usd: Decimal = ZERO

    def __add__(self, other: KeySum) -> KeySum:
        return KeySum(add_exactly(self.cost_usd, other.cost_usd), add_exactly(self.byok_usd, other.byok_usd))

    def __sub__(self, other: KeySum) -> KeySum:
        return self + KeySum(-other.cost_usd, -other.byok_usd)


NOTHING = KeySum()


def sums_by_key(connection: Connection, since: date, until: date) -> dict[int, KeySum]:
    """What each key has cost on the days ``since``..``until`` of the ledger, without sums of several days."""
    return _by_key(usage_reads.sum_usage(connection, Grouping(by_key=True), UsageFilter(since, until)))


def month_sums_by_key(connection: Connection, since: date, until: date) -> dict[int, KeySum]:
    """What each key has cost in the months that begin within ``since``..``until``, as above.

    Days that cleanup has removed are in it.
    """
    return _by_key(usage_reads.sum_months(connection, Grouping(by_key=True), UsageFilter(since, until)))


def _by_key(sums: list[usage_reads.UsageSum]) -> dict[int, KeySum]:
    return {
        row.key_id: KeySum(row.totals.cost_usd or ZERO, row.totals.byok_cost_usd or ZERO)
        for row in sums
        if row.key_id is not None
    }


def stored_days(
    connection: Connection, key_ids: Collection[int], since: date, until: date
) -> dict[int, dict[date, StoredDay]]:
    """By key, the days that have any usage: what they cost, and by which source."""
    # Each day by its number: with a key's it is a place in the table, however many other keys there are.
    query = (
        "SELECT k.api_key_id, k.date, k.cost_nano, d.source FROM usage_by_key k "
        "LEFT JOIN usage_days d ON d.date = k.date AND d.api_key_id = k.api_key_id "
        f"WHERE {among_days('k.date', since, until)} AND {among('k.api_key_id', key_ids)}"
    )
    found: dict[int, dict[date, StoredDay]] = {}
    for key_id, day, cost_nano, source in connection.exec_driver_sql(query):
        stored = StoredDay(from_nano(cost_nano), None if source is None else UsageSource(source))
        found.setdefault(key_id, {})[from_day_number(day)] = stored
    return found


@dataclass(frozen=True, slots=True)
class ReadDay:
    """From where a day was read, and whether it can still change."""

    source: UsageSource
    is_settled: bool


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """Which days of a key are known. ``first_day`` None: not one; ``first_month``: of those cleanup cut."""

    first_day: date | None = None
    first_month: date | None = None
    days: dict[date, ReadDay] = field(default_factory=dict)
    spans: tuple[UsageSpan, ...] = ()


def histories(connection: Connection, since: date, until: date) -> dict[int, KeyHistory]:
    """By key, the days and spans of ``since``..``until``, and where its whole history begins."""
    first_days: dict[int, date] = {}
    for table, column in ((usage_by_key, "date"), (usage_days, "date"), (usage_spans, "first_day")):
        number = type_coerce(func.min(table.c[column]), Integer)
        for key_id, first in connection.execute(
            select(table.c.api_key_id, number).group_by(table.c.api_key_id)
        ):
            day = from_day_number(first)
            first_days[key_id] = min(day, first_days.get(key_id, day))
    first_months: dict[int, date] = {}
    for month, key_ids in usage_reads.removed_months(connection, UsageFilter(date.min, until)).items():
        for key_id in key_ids:
            first_months[key_id] = min(month, first_months.get(key_id, month))
    days = _read_days(connection, since, until)
    spans = _spans(connection, since, until)
    return {
        key_id: KeyHistory(
            first_days.get(key_id), first_months.get(key_id), days.get(key_id, {}), spans.get(key_id, ())
        )
        for key_id in {*first_days, *first_months}
    }


def _read_days(connection: Connection, since: date, until: date) -> dict[int, dict[date, ReadDay]]:
    day = usage_days.c.date
    query = select(usage_days.c.api_key_id, day, usage_days.c.source, usage_days.c.is_settled).where(
        day.between(to_day_number(since), to_day_number(until))
    )
    # Thousands of keys have a million days: their rows come bit by bit, and what is alike is one object.
    to_day, read_day = cache(from_day_number), cache(ReadDay)
    found: dict[int, dict[date, ReadDay]] = {}
    for key_id, number, source, is_settled in connection.execute(
        query, execution_options={"stream_results": True}
    ):
        found.setdefault(key_id, {})[to_day(number)] = read_day(UsageSource(source), bool(is_settled))
    return found


def _spans(connection: Connection, since: date, until: date) -> dict[int, tuple[UsageSpan, ...]]:
    found: dict[int, tuple[UsageSpan, ...]] = {}
    for each in list_spans(connection, since, until):
        found[each.key_id] = (*found.get(each.key_id, ()), each.span)
    return found
