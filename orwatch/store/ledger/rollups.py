"""The totals by day and by month, kept exact: what changes of the ledger is taken out before, put in after.

The statements are plain SQL with the numbers in them, so that they are the same for every database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from sqlalchemy import Column, Connection, Table

from orwatch.domain.days import ONE_DAY, month_end, month_start
from orwatch.store.ledger.conditions import among
from orwatch.store.schema import (
    COUNTS,
    DAILY_COUNTS,
    from_day_number,
    reported_column,
    to_day_number,
    usage_by_key,
    usage_by_model,
    usage_months,
    usage_stats,
)

_PLAIN = ("row_count", "cost_nano", "counted_nano")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the ledger: these days (as numbers), of these keys and models, or of all (None)."""

    days: Collection[int]
    key_ids: Collection[int] | None = None
    model_ids: Collection[int] | None = None

    @property
    def condition(self) -> str:
        """The part as a condition on ``usage_stats``."""
        return self._condition(self.days)

    def condition_of(self, table: Table) -> str:
        """The totals to which the part belongs, as a condition on their table."""
        if table is usage_months:
            return self._condition(sorted({*map(_month_of, self.days)}), table)
        return self._condition(self.days, table)

    def by_month(self) -> Iterator[tuple[int, str]]:
        """Each month (its first day) that the part touches, and the condition for what lies in it."""
        for month, days in groupby(sorted(self.days), key=_month_of):
            yield month, self._condition(list(days))

    def _condition(self, times: Collection[int], table: Table = usage_stats) -> str:
        wanted = {_time_column(table): times, "api_key_id": self.key_ids, "model_id": self.model_ids}
        return " AND ".join(
            among(name, numbers)
            for name, numbers in wanted.items()
            if numbers is not None and name in table.columns
        )


def _month_of(day_number: int) -> int:
    return to_day_number(month_start(from_day_number(day_number)))


def has_any(connection: Connection, part: Part) -> bool:
    """Whether the ledger has any row of these days and keys."""
    query = f"SELECT 1 FROM usage_by_key WHERE {part.condition_of(usage_by_key)} LIMIT 1"
    return bool(part.days) and connection.exec_driver_sql(query).first() is not None


def take_out(connection: Connection, part: Part) -> None:
    """Subtract a part of the ledger from the totals: it is about to change."""
    _book(connection, part, "-1")


def put_in(connection: Connection, part: Part) -> None:
    """Add a part of the ledger to the totals, as it stands now."""
    _book(connection, part, "1")


def add_changes(connection: Connection, days: Collection[int], changes: str) -> None:
    """Add to the totals what is in a table of changes of these days, each row times its ``sign``."""
    _book(connection, Part(days), "sign", changes)


def drop_empty(connection: Connection, part: Part) -> None:
    """Delete the totals of this part in which no row of the ledger is left."""
    if not part.days:
        return
    for table in (usage_by_model, usage_by_key, usage_months):
        _execute(connection, f"DELETE FROM {table.name} WHERE {part.condition_of(table)} AND row_count = 0")


def delete(connection: Connection, part: Part) -> None:
    """Delete a part of the ledger and take it out of the totals."""
    if not part.days:
        return
    take_out(connection, part)
    _execute(connection, f"DELETE FROM usage_stats WHERE {part.condition}")
    drop_empty(connection, part)


def wrong_days(connection: Connection) -> set[date]:
    """The days whose totals are not what the ledger adds up to."""
    # Day by day: to group all days at once would sort the whole ledger.
    return {
        from_day_number(day)
        for day in _values(connection, usage_stats.c.date, usage_by_model.c.date, usage_by_key.c.date)
        if any(_differs(connection, table, DAILY_COUNTS, day) for table in (usage_by_model, usage_by_key))
    }


@dataclass(frozen=True, slots=True)
class MonthChecks:
    """What is found of the months' totals.

    ``wrong``: the months whose totals are not what the ledger adds up to. Of the months that cleanup has cut
    the right totals are no longer known: ``last_cut`` is the last of them, and ``short`` are those whose
    totals are even less than what the ledger keeps of them.
    """

    wrong: set[date]
    short: set[date]
    last_cut: date | None


def check_months(connection: Connection, kept_from: date | None) -> MonthChecks:
    """Compare the totals of each month with the ledger."""
    cut_through = date.min if kept_from is None else month_start(kept_from - ONE_DAY)
    months = _months(connection)
    cut = {month for month in months if month <= cut_through}
    return MonthChecks(
        wrong={
            month
            for month in months - cut
            if _differs(connection, usage_months, COUNTS, to_day_number(month))
        },
        short={month for month in cut if _falls_short(connection, to_day_number(month))},
        last_cut=max(cut, default=None),
    )


def _months(connection: Connection) -> set[date]:
    """All that are in the ledger or in the totals."""
    months = set(map(_month_of, _values(connection, usage_stats.c.date)))
    return set(map(from_day_number, months | _values(connection, usage_months.c.month)))


def _falls_short(connection: Connection, month: int) -> bool:
    width = len(usage_months.primary_key)
    columns = ", ".join((*(column.name for column in usage_months.primary_key), *_PLAIN))
    stored = f"SELECT {columns} FROM usage_months WHERE month = {month}"
    kept = _sums(usage_months, (), _lies_in(usage_months, month), month)
    found = {tuple(row[:width]): row[width:] for row in connection.exec_driver_sql(stored)}
    nothing = (0,) * len(_PLAIN)
    return any(
        total < least
        for row in connection.exec_driver_sql(kept)
        for total, least in zip(found.get(tuple(row[:width]), nothing), row[width:], strict=True)
    )


def rebuild(connection: Connection, kept_from: date | None) -> tuple[list[date], list[date]]:
    """Add up anew what is wrong: the days and the months that ``wrong_days`` and ``check_months`` find."""
    days, months = sorted(wrong_days(connection)), sorted(check_months(connection, kept_from).wrong)
    for day in days:
        for table in (usage_by_model, usage_by_key):
            _rebuild(connection, table, DAILY_COUNTS, to_day_number(day))
    for month in months:
        _rebuild(connection, usage_months, COUNTS, to_day_number(month))
    return days, months


def _rebuild(connection: Connection, table: Table, counts: Collection[str], time: int) -> None:
    _execute(connection, f"DELETE FROM {table.name} WHERE {_time_column(table)} = {time}")
    _add(connection, table, counts, _sums(table, counts, _lies_in(table, time), time))


def _values(connection: Connection, *columns: Column[int]) -> set[int]:
    """All that tables have in the first columns of their keys, each found from the one before.

    ``DISTINCT`` would read every row of the ledger.
    """
    found: set[int] = set()
    for column in columns:
        lowest = f"SELECT MIN({column.name}) FROM {column.table}"
        value = connection.exec_driver_sql(lowest).scalar()
        while value is not None:
            found.add(value)
            value = connection.exec_driver_sql(f"{lowest} WHERE {column.name} > {value}").scalar()
    return found


def _differs(connection: Connection, table: Table, counts: Collection[str], time: int) -> bool:
    """Whether the totals of one day or month are not what the ledger adds up to."""
    columns = ", ".join((*(column.name for column in table.primary_key), *total_columns(counts)))
    stored = f"SELECT {columns} FROM {table.name} WHERE {_time_column(table)} = {time}"
    added_up = _sums(table, counts, _lies_in(table, time), time)
    # What is right is there twice. The database compares: a month may have hundreds of thousands of totals.
    unlike = f"SELECT 1 FROM ({stored} UNION ALL {added_up}) AS found GROUP BY {columns} HAVING COUNT(*) <> 2"
    return connection.exec_driver_sql(f"{unlike} LIMIT 1").first() is not None


def _time_column(table: Table) -> str:
    return "month" if table is usage_months else "date"


def _lies_in(table: Table, time: int) -> str:
    """The condition on ``usage_stats`` for what a day's or a month's totals add up."""
    end = to_day_number(month_end(from_day_number(time))) if table is usage_months else time
    return f"date BETWEEN {time} AND {end}"


def _book(connection: Connection, part: Part, sign: str, source: str = usage_stats.name) -> None:
    if not part.days:
        return
    for table in (usage_by_model, usage_by_key):
        sums = _sums(table, DAILY_COUNTS, part.condition, None, sign, source)
        _add(connection, table, DAILY_COUNTS, sums)
    for month, condition in part.by_month():
        _add(connection, usage_months, COUNTS, _sums(usage_months, COUNTS, condition, month, sign, source))


def _add(connection: Connection, table: Table, counts: Collection[str], sums: str) -> None:
    """Add what a query of ``_sums`` answers to a table of totals."""
    keys = [column.name for column in table.primary_key]
    _execute(
        connection,
        f"INSERT INTO {table.name} ({', '.join((*keys, *total_columns(counts)))}) {sums} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {addition(table.name, counts)}",
    )


def _sums(
    table: Table,
    counts: Collection[str],
    condition: str,
    month: int | None,
    sign: str = "1",
    source: str = usage_stats.name,
) -> str:
    """The query that adds up a part of the ledger, times ``sign``, as a table of totals has it."""
    keys = [column.name for column in table.primary_key]
    grouped = [key for key in keys if key != "month"]
    times = "" if sign == "1" else f"{sign} * "
    selected = [
        *(str(month) if key == "month" else key for key in keys),
        f"SUM({sign})",
        f"SUM({times}cost_nano)",
        f"SUM(CASE WHEN requests IS NULL THEN 0 ELSE {times}cost_nano END)",
        *(f"SUM({times}{count})" for count in counts),
        *(f"SUM(CASE WHEN {count} IS NULL THEN 0 ELSE {sign} END)" for count in counts),
    ]
    return f"SELECT {', '.join(selected)} FROM {source} WHERE {condition} GROUP BY {', '.join(grouped)}"


def total_columns(counts: Collection[str]) -> tuple[str, ...]:
    """The columns of a table of totals that has these counts, without its key."""
    return (*_PLAIN, *counts, *map(reported_column, counts))


def addition(table: str, counts: Collection[str]) -> str:
    """What adds ``excluded`` to a row of totals; a number that no row has any more is NULL again."""
    plain = (*_PLAIN, *map(reported_column, counts))
    added = [f"{name} = {table}.{name} + excluded.{name}" for name in plain]
    for count in counts:
        known = reported_column(count)
        added.append(
            f"{count} = CASE WHEN {table}.{known} + excluded.{known} <> 0 "
            f"THEN COALESCE({table}.{count}, 0) + COALESCE(excluded.{count}, 0) END"
        )
    return ", ".join(added)


def _execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
