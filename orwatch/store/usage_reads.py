"""Reads of the ledger for reports: sums by days, keys, models and providers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Column, ColumnElement, Connection, FromClause, case, func, select

from orwatch.models import Totals, from_nano
from orwatch.store.schema import (
    from_day_number,
    models,
    providers,
    to_day_number,
    usage_days,
    usage_months,
    usage_spans,
    usage_stats,
)


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which rows count. None: all; ``model_ids`` and ``key_ids`` empty: none."""

    since: date
    until: date
    key_ids: tuple[int, ...] | None = None
    model_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class UsageSum:
    """One group's sums. What was not grouped by is None; for monthly totals ``day`` is the month's first."""

    day: date | None
    key_id: int | None
    model_id: int | None
    provider_id: int | None
    totals: Totals


@dataclass(frozen=True, slots=True)
class Grouping:
    """What to group by."""

    by_day: bool = False
    by_key: bool = False
    by_model: bool = False
    by_provider: bool = False


def sum_usage(connection: Connection, grouping: Grouping, wanted: UsageFilter) -> list[UsageSum]:
    """Sums of the ledger."""
    return _sum(connection, usage_stats, usage_stats.c.date, grouping, wanted)


def sum_months(connection: Connection, grouping: Grouping, wanted: UsageFilter) -> list[UsageSum]:
    """Sums of the monthly totals whose month begins within ``wanted``."""
    return _sum(connection, usage_months, usage_months.c.month, grouping, wanted)


def _sum(
    connection: Connection,
    table: FromClause,
    time: ColumnElement[int],
    grouping: Grouping,
    wanted: UsageFilter,
) -> list[UsageSum]:
    groups: list[tuple[str, ColumnElement[int], bool]] = [
        ("day", time, grouping.by_day),
        ("key_id", table.c.api_key_id, grouping.by_key),
        ("model_id", table.c.model_id, grouping.by_model),
        ("provider_id", table.c.provider_id, grouping.by_provider),
    ]
    columns = [column.label(name) for name, column, is_used in groups if is_used]
    query = select(
        *columns,
        func.sum(table.c.requests).label("requests"),
        func.sum(table.c.tokens_input).label("tokens_input"),
        func.sum(table.c.tokens_output).label("tokens_output"),
        func.sum(table.c.cost_nano).label("cost_nano"),
        func.sum(table.c.byok_cost_nano).label("byok_cost_nano"),
        func.sum(case((table.c.requests.is_not(None), table.c.cost_nano))).label("counted_nano"),
    ).where(time.between(to_day_number(wanted.since), to_day_number(wanted.until)))
    if wanted.key_ids is not None:
        query = query.where(table.c.api_key_id.in_(wanted.key_ids))
    if wanted.model_ids is not None:
        query = query.where(table.c.model_id.in_(wanted.model_ids))
    if columns:
        query = query.group_by(*(column for _, column, is_used in groups if is_used))
    return [
        UsageSum(
            day=from_day_number(row["day"]) if grouping.by_day else None,
            key_id=row["key_id"] if grouping.by_key else None,
            model_id=row["model_id"] if grouping.by_model else None,
            provider_id=row["provider_id"] if grouping.by_provider else None,
            totals=Totals(
                requests=row["requests"],
                tokens_input=row["tokens_input"],
                tokens_output=row["tokens_output"],
                cost_usd=from_nano(row["cost_nano"]),
                cost_with_requests_usd=_usd(row["counted_nano"]),
                byok_cost_usd=_usd(row["byok_cost_nano"]),
            ),
        )
        for row in connection.execute(query).mappings()
        if row["cost_nano"] is not None
    ]


def _usd(amount_nano: int | None) -> Decimal | None:
    return None if amount_nano is None else from_nano(amount_nano)


def covered_days(connection: Connection, wanted: UsageFilter) -> set[date]:
    """The days that a sync has read for at least one of the wanted keys."""
    query = (
        select(usage_days.c.date)
        .where(usage_days.c.date.between(to_day_number(wanted.since), to_day_number(wanted.until)))
        .distinct()
    )
    if wanted.key_ids is not None:
        query = query.where(usage_days.c.api_key_id.in_(wanted.key_ids))
    return {from_day_number(number) for number in connection.execute(query).scalars()}


def covered_spans(connection: Connection, since: date, until: date) -> dict[int, tuple[date, date]]:
    """By key, the first and the last of the days ``since``..``until`` that a sync has read."""
    day = usage_days.c.date
    query = (
        select(usage_days.c.api_key_id, func.min(day), func.max(day))
        .where(day.between(to_day_number(since), to_day_number(until)))
        .group_by(usage_days.c.api_key_id)
    )
    return {
        key_id: (from_day_number(first), from_day_number(last))
        for key_id, first, last in connection.execute(query)
    }


def first_known_day(connection: Connection) -> date | None:
    """The first day of which anything is known, spans and monthly totals included."""
    earliest: Sequence[date | int | None] = [
        connection.execute(select(func.min(column))).scalar()
        for column in (usage_stats.c.date, usage_days.c.date, usage_months.c.month, usage_spans.c.first_day)
    ]
    days = [from_day_number(day) if isinstance(day, int) else day for day in earliest if day is not None]
    return min(days, default=None)


def has_months(connection: Connection) -> bool:
    """Whether cleanup has moved anything to the monthly totals yet."""
    return connection.execute(select(usage_months.c.month).limit(1)).first() is not None


def model_names(connection: Connection) -> dict[int, str | None]:
    """Model names by id."""
    return _names(connection, models.c.id, models.c.name)


def provider_names(connection: Connection) -> dict[int, str | None]:
    """Provider names by id."""
    return _names(connection, providers.c.id, providers.c.name)


def _names(connection: Connection, number: Column[int], name: Column[str]) -> dict[int, str | None]:
    return {row[0]: row[1] for row in connection.execute(select(number, name))}


@dataclass(frozen=True, slots=True)
class LedgerExtent:
    """How much there is."""

    rows: int
    first_day: date | None
    last_day: date | None


def ledger_extent(connection: Connection) -> LedgerExtent:
    """The ledger's size and its first and last day."""
    rows, first, last = connection.execute(
        select(func.count(), func.min(usage_stats.c.date), func.max(usage_stats.c.date))
    ).one()
    return LedgerExtent(
        rows,
        None if first is None else from_day_number(first),
        None if last is None else from_day_number(last),
    )
