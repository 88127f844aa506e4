"""Reads of the ledger and its totals for reports: sums by days, keys, models and providers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, FromClause, Table, case, func, null, select

from orwatch.domain.days import ONE_DAY, month_end, month_start, next_month
from orwatch.domain.money import from_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import Totals
from orwatch.store.ledger.write import kept_from
from orwatch.store.schema import (
    from_day_number,
    models,
    providers,
    reported_column,
    to_day_number,
    usage_by_key,
    usage_by_model,
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


class UsageSum(NamedTuple):
    """One group's sums over so many rows of the ledger. What was not grouped by is None.

    For sums by month ``day`` is the month's first.
    """

    day: date | None
    key_id: int | None
    model_id: int | None
    provider_id: int | None
    row_count: int
    totals: Totals


@dataclass(frozen=True, slots=True)
class Grouping:
    """What to group by. ``by_month``: by month at least; a month may come by its days.

    ``with_details``: all numbers of ``Totals``, of which the totals by day have only some.
    """

    by_day: bool = False
    by_month: bool = False
    by_key: bool = False
    by_model: bool = False
    by_provider: bool = False
    with_details: bool = False


def sum_usage(connection: Connection, grouping: Grouping, wanted: UsageFilter) -> list[UsageSum]:
    """Sums of the ledger, read from the smallest totals that have them.

    By month, a group may come in several parts.
    """
    if grouping.with_details:
        return _sum_days(connection, usage_stats, grouping, wanted)
    needs_key = grouping.by_key or wanted.key_ids is not None
    needs_model = grouping.by_model or grouping.by_provider or wanted.model_ids is not None
    if not needs_key:
        return _sum_days(connection, usage_by_model, grouping, wanted)
    if not needs_model:
        return _sum_days(connection, usage_by_key, grouping, wanted)
    months = None if grouping.by_day else _whole_months(connection, wanted)
    if months is None:
        return _sum_days(connection, usage_stats, grouping, wanted)
    before = replace(wanted, until=months.since - ONE_DAY)
    after = replace(wanted, since=next_month(months.until))
    return [
        *_sum_days(connection, usage_stats, grouping, before),
        *sum_months(connection, grouping, months),
        *_sum_days(connection, usage_stats, grouping, after),
    ]


def sum_months(connection: Connection, grouping: Grouping, wanted: UsageFilter) -> list[UsageSum]:
    """Sums of the months that begin within ``wanted``, what cleanup has removed of them included."""
    return _sum(connection, usage_months, usage_months, usage_months.c.month, grouping, wanted)


def removed_months(connection: Connection, wanted: UsageFilter) -> dict[date, set[int]]:
    """The months that begin within ``wanted`` of which cleanup has removed days, and of which keys."""
    watermark = kept_from(connection)
    if watermark is None:
        return {}
    cut = month_start(watermark)
    months = sum_months(
        connection, Grouping(by_month=True, by_key=True), replace(wanted, until=min(wanted.until, cut))
    )
    kept = sum_usage(connection, Grouping(by_key=True), replace(wanted, since=cut, until=month_end(cut)))
    kept_rows = {row.key_id: row.row_count for row in kept}
    found: dict[date, set[int]] = {}
    for row in months:
        if row.day is None or row.key_id is None:
            continue
        if row.row_count > (kept_rows.get(row.key_id, 0) if row.day == cut else 0):
            found.setdefault(row.day, set()).add(row.key_id)
    return found


def _whole_months(connection: Connection, wanted: UsageFilter) -> UsageFilter | None:
    """The months of which ``wanted`` has all that is stored, and cleanup has removed nothing."""
    first, last = extent_days(connection)
    if first is None or last is None:
        return None
    begin = max(month_start(first), _month_from(kept_from(connection) or date.min))
    if wanted.since > first:
        begin = max(begin, _month_from(wanted.since))
    end = month_start(min(wanted.until, last))
    if wanted.until < min(month_end(end), last):
        end = month_start(end - ONE_DAY)
    return replace(wanted, since=begin, until=end) if begin <= end else None


def _month_from(day: date) -> date:
    """The first day of the first month that begins on that day or later."""
    return day if day.day == 1 else next_month(day)


def extent_days(connection: Connection) -> tuple[date | None, date | None]:
    """The first and the last day that the ledger has a row of."""
    # One by one: then each is a single look at an end of the table.
    first, last = (
        connection.execute(select(end(usage_by_key.c.date))).scalar() for end in (func.min, func.max)
    )
    return None if first is None else from_day_number(first), None if last is None else from_day_number(last)


def _sum_days(
    connection: Connection, table: Table, grouping: Grouping, wanted: UsageFilter
) -> list[UsageSum]:
    source: FromClause = table
    if table is usage_stats and wanted.key_ids is not None:
        # The ledger is in the order of days: only those are visited on which the keys were used.
        source = usage_by_key.join(
            table, (table.c.date == usage_by_key.c.date) & (table.c.api_key_id == usage_by_key.c.api_key_id)
        )
        time, keys = usage_by_key.c.date, usage_by_key.c.api_key_id
        return _sum(connection, table, source, time, grouping, wanted, keys)
    return _sum(connection, table, source, table.c.date, grouping, wanted)


def _sum(
    connection: Connection,
    table: Table,
    source: FromClause,
    time: ColumnElement[int],
    grouping: Grouping,
    wanted: UsageFilter,
    keys: ColumnElement[int] | None = None,
) -> list[UsageSum]:
    key = keys if keys is not None else table.c.get("api_key_id")
    by_time = grouping.by_day or grouping.by_month
    groups: list[ColumnElement[int] | None] = [
        time if by_time else None,
        key if grouping.by_key else None,
        table.c.get("model_id") if grouping.by_model else None,
        table.c.get("provider_id") if grouping.by_provider else None,
    ]
    columns = [column for column in groups if column is not None]
    query = (
        select(*(null() if column is None else column for column in groups), *_measures(table, grouping))
        .select_from(source)
        .where(time.between(to_day_number(wanted.since), to_day_number(wanted.until)))
    )
    if wanted.key_ids is not None and key is not None:
        query = query.where(key.in_(wanted.key_ids))
    if wanted.model_ids is not None:
        query = query.where(table.c.model_id.in_(wanted.model_ids))
    if columns:
        query = query.group_by(*columns)
    # By their places: to look each number up by its name takes half of a large report's time.
    # Many at a time: one by one, the driver of PostgreSQL takes twice as long.
    found: Iterable[Any] = chain.from_iterable(connection.execute(query).partitions(_ROWS_AT_A_TIME))
    return [_usage_sum(*row) for row in found if row[_COST] is not None]


_ROWS_AT_A_TIME = 1000
# Where the sum of the cost stands in a row: after what the row is of.
_COST = 4
# The place of the cost of the rows that have their tokens among ``_details``.
_AMOUNT = 4


def _measures(table: Table, grouping: Grouping) -> list[ColumnElement[int]]:
    """What ``_usage_sum`` takes after what the row is of, in its order."""
    details = _details(table) if grouping.with_details else []
    names = ("cost_nano", "requests", "tokens_input", "tokens_output", "byok_cost_nano")
    sums: list[ColumnElement[int]] = [func.sum(table.c[name]) for name in names]
    if table is usage_stats:
        counted = case((table.c.requests.is_not(None), table.c.cost_nano), else_=0)
        return [*sums, func.count(), func.sum(counted), *details]
    return [*sums, func.sum(table.c.row_count), func.sum(table.c.counted_nano), *details]


def _details(table: Table) -> list[ColumnElement[int]]:
    columns = table.c
    has_input, has_output, has_cached = (
        _is_known(table, name) for name in ("tokens_input", "tokens_output", "tokens_cached")
    )
    return [
        func.sum(columns.tokens_reasoning),
        func.sum(columns.tokens_cached),
        func.sum(case((has_input & has_cached, columns.tokens_cached))),
        func.sum(case((has_input & has_cached, columns.tokens_input))),
        func.sum(case((has_input & has_output, columns.cost_nano))),
        func.sum(case((has_input & has_output, columns.tokens_input + columns.tokens_output))),
    ]


def _is_known(table: Table, name: str) -> ColumnElement[bool]:
    """Whether a row of the ledger has a number, or all rows have it that were added up."""
    if table is usage_stats:
        return table.c[name].is_not(None)
    return table.c[reported_column(name)] == table.c.row_count


def _usage_sum(
    day: int | None,
    key_id: int | None,
    model_id: int | None,
    provider_id: int | None,
    cost_nano: int,
    requests: int | None,
    tokens_input: int | None,
    tokens_output: int | None,
    byok_cost_nano: int | None,
    row_count: int,
    counted_nano: int,
    *details: int | None,
) -> UsageSum:
    cost_usd = from_nano(int(cost_nano))
    counted_usd = cost_usd if counted_nano == cost_nano else from_nano(int(counted_nano))
    return UsageSum(
        None if day is None else from_day_number(day),
        key_id,
        model_id,
        provider_id,
        int(row_count),
        Totals(
            _count(requests),
            _count(tokens_input),
            _count(tokens_output),
            cost_usd,
            None if requests is None else counted_usd,
            _usd(byok_cost_nano),
            *_read_details(*details),
        ),
    )


def _read_details(*details: int | None) -> Iterable[Any]:
    """The last members of ``Totals``: all are counts, but for an amount of nano-dollars."""
    return (_usd(number) if index == _AMOUNT else _count(number) for index, number in enumerate(details))


def _count(number: int | None) -> int | None:
    return None if number is None else int(number)


def _usd(amount_nano: int | None) -> Decimal | None:
    return None if amount_nano is None else from_nano(int(amount_nano))


def covered_days(connection: Connection, wanted: UsageFilter, *, with_byok: bool = False) -> set[date]:
    """The days that a sync has read for at least one of the wanted keys.

    ``with_byok``: from a source that reports BYOK.
    """
    query = (
        select(usage_days.c.date)
        .where(usage_days.c.date.between(to_day_number(wanted.since), to_day_number(wanted.until)))
        .distinct()
    )
    if wanted.key_ids is not None:
        query = query.where(usage_days.c.api_key_id.in_(wanted.key_ids))
    if with_byok:
        query = query.where(usage_days.c.source != UsageSource.USAGE)
    return {from_day_number(number) for number in connection.execute(query).scalars()}


def covered_days_by_key(connection: Connection, wanted: UsageFilter) -> dict[int, set[date]]:
    """By key, the days that a sync has read; of models the filter may say nothing."""
    query = select(usage_days.c.api_key_id, usage_days.c.date).where(
        usage_days.c.date.between(to_day_number(wanted.since), to_day_number(wanted.until))
    )
    if wanted.key_ids is not None:
        query = query.where(usage_days.c.api_key_id.in_(wanted.key_ids))
    days: dict[int, set[date]] = {}
    for key_id, number in connection.execute(query):
        days.setdefault(key_id, set()).add(from_day_number(number))
    return days


def first_known_day(connection: Connection) -> date | None:
    """The first day of which anything is known; a month's first where cleanup has removed days of it."""
    earliest: Sequence[date | int | None] = [
        connection.execute(select(func.min(column))).scalar()
        for column in (usage_by_key.c.date, usage_days.c.date, usage_spans.c.first_day)
    ]
    days = [from_day_number(day) if isinstance(day, int) else day for day in earliest if day is not None]
    return min([*days, *removed_months(connection, UsageFilter(date.min, date.max))], default=None)


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
    rows = connection.execute(select(func.sum(usage_by_key.c.row_count))).scalar()
    return LedgerExtent(int(rows or 0), *extent_days(connection))
