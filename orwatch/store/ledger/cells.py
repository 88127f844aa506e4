"""Sums of money for many budgets at once, from the smallest totals that have them: what each sync reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection

from orwatch.domain.days import ONE_DAY, days_between, month_end, month_start, next_month
from orwatch.store.ledger.conditions import among, among_days, between
from orwatch.store.schema import from_day_number, to_day_number

_TOTAL_UNREPORTED = "SUM(row_count - byok_cost_nano_reported)"


class Cell(NamedTuple):
    """What was spent in a window, in nano-dollars; what was not grouped by is None.

    ``byok_nano``: as far as it is reported, and ``byok_unreported`` rows do not have it.
    """

    key_id: int | None
    model_id: int | None
    provider_id: int | None
    cost_nano: int
    byok_nano: int
    byok_unreported: int


def sum_of_all(
    connection: Connection,
    first_day: date,
    last_day: date | None,
    removed_before: date,
    *,
    by_model: bool,
) -> list[Cell]:
    """Sums of all keys on the days ``first_day``..``last_day``, by model and provider where asked for.

    A group may come in two parts. ``last_day`` None: of all that there ever was. What cleanup has removed
    (the days before ``removed_before``) is in those, and in whole months.
    """
    groups = ("NULL", "model_id", "provider_id") if by_model else ("NULL", "NULL", "NULL")
    cells = []
    if removed_before > first_day and _is_of_months(first_day, last_day):
        cut = month_start(removed_before - ONE_DAY)
        of_months = between("month", first_day, cut)
        cells = _sum(connection, "usage_months", groups, _TOTAL_UNREPORTED, of_months)
        first_day = next_month(cut)
    of_days = between("date", first_day, last_day or date.max)
    return [*cells, *_sum(connection, "usage_by_model", groups, _TOTAL_UNREPORTED, of_days)]


def sum_by_key(
    connection: Connection,
    first_day: date,
    last_day: date | None,
    *,
    by_model: bool,
    key_ids: Collection[int] | None,
) -> list[Cell]:
    """The same sums by key. ``key_ids`` None: of all keys, else of these."""
    of_keys = "" if key_ids is None else f" AND {among('u.api_key_id', key_ids)}"
    if last_day is None or _is_of_months(first_day, last_day):
        months = _months(connection) if last_day is None else [first_day]
        of_months = among("u.month", map(to_day_number, months)) + of_keys
        groups = ("api_key_id", "model_id", "provider_id") if by_model else ("api_key_id", "NULL", "NULL")
        return _sum(connection, "usage_months u", groups, _TOTAL_UNREPORTED, of_months)
    of_days = among_days("u.date", first_day, last_day) + of_keys
    if not by_model:
        groups = ("api_key_id", "NULL", "NULL")
        return _sum(connection, "usage_by_key u", groups, _TOTAL_UNREPORTED, of_days)
    # The ledger is in the order of days: only those are visited on which the keys were used.
    ledger = "usage_by_key u JOIN usage_stats t ON t.date = u.date AND t.api_key_id = u.api_key_id"
    groups = ("u.api_key_id", "t.model_id", "t.provider_id")
    return _sum(connection, ledger, groups, "COUNT(*) - COUNT(t.byok_cost_nano)", of_days, "t.")


def _is_of_months(first_day: date, last_day: date | None) -> bool:
    return last_day is None or (first_day.day == 1 and last_day == month_end(first_day))


def _months(connection: Connection) -> list[date]:
    """Every month from the first to the last that is stored."""
    # Each end by itself is the first or last of the index.
    ends = connection.exec_driver_sql(
        "SELECT (SELECT MIN(month) FROM usage_months), (SELECT MAX(month) FROM usage_months)"
    )
    first, last = ends.one()
    if first is None or last is None:
        return []
    return [day for day in days_between(from_day_number(first), from_day_number(last)) if day.day == 1]


def _sum(
    connection: Connection,
    source: str,
    groups: Sequence[str],
    unreported: str,
    condition: str,
    table: str = "",
) -> list[Cell]:
    sums = f"SUM({table}cost_nano), COALESCE(SUM({table}byok_cost_nano), 0), {unreported}"
    grouped = ", ".join(group for group in groups if group != "NULL")
    found = connection.exec_driver_sql(
        f"SELECT {', '.join(groups)}, {sums} FROM {source} WHERE {condition}"
        + (f" GROUP BY {grouped}" if grouped else "")
    )
    # PostgreSQL adds up to decimals. Without any row there is a sum of nothing.
    return [
        Cell(key_id, model_id, provider_id, int(cost), int(byok), int(rows))
        for key_id, model_id, provider_id, cost, byok, rows in found.all()
        if cost is not None
    ]
