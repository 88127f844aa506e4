"""Writes of the ledger, by its invariants.

A day is written whole, in the one transaction of its key. A better source replaces a worse one, never
the reverse, and only with a day of which every row was believed. What cleanup removed is not written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, select, text

from orwatch.domain.counters import CounterReading, count_days
from orwatch.domain.money import to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.store.engine import bulk
from orwatch.store.ledger import rollups, spans
from orwatch.store.schema import (
    UNKNOWN_NAME_ID,
    from_day_number,
    key_counters,
    ledger_state,
    models,
    providers,
    to_day_number,
    to_seconds,
    usage_days,
    usage_stats,
)

# OpenRouter answers for 30 completed days and today, its analytics for a year. Days before that count as read
# only from the first one on that an answer mentions.
_API_MEMORY = timedelta(days=30)
_ANALYTICS_MEMORY = timedelta(days=365)

# A day that is read so long after its end and has not changed since the last reading is settled.
_SETTLES_AFTER = timedelta(hours=48)

_KEY_COLUMNS = ("date", "api_key_id", "model_id", "provider_id")
_VALUE_COLUMNS = (
    "requests",
    "tokens_input",
    "tokens_output",
    "tokens_reasoning",
    "tokens_cached",
    "cost_nano",
    "byok_cost_nano",
)

Cell: TypeAlias = tuple[Any, ...]  # where a row is in the ledger: day, key, model and provider
_LedgerRow: TypeAlias = tuple[Any, ...]  # the columns of the key, then the values
_KEY_LENGTH = len(_KEY_COLUMNS)
_DAY, _COST, _BYOK = map((_KEY_COLUMNS + _VALUE_COLUMNS).index, ("date", "cost_nano", "byok_cost_nano"))


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What a write did.

    ``written``: the cells of the rows that were written; ``replaced``: of those that were stored before and
    are changed or gone. They are those of one write: a sum has the counts only.
    """

    rows_written: int = 0
    rows_unchanged: int = 0
    rows_removed: int = 0
    written: frozenset[Cell] = frozenset()
    replaced: frozenset[Cell] = frozenset()

    def __add__(self, other: WriteCounts) -> WriteCounts:
        return WriteCounts(
            self.rows_written + other.rows_written,
            self.rows_unchanged + other.rows_unchanged,
            self.rows_removed + other.rows_removed,
        )


def kept_from(connection: Connection) -> date | None:
    """The watermark: days before it were removed by cleanup. None: nothing ever was."""
    return connection.execute(select(ledger_state.c.kept_from)).scalar()


def created_at(connection: Connection) -> datetime:
    """When the database was created."""
    moment: datetime = connection.execute(select(ledger_state.c.created_at)).scalar_one()
    return moment


def write_usage(connection: Connection, key_id: int, answer: UsageAnswer, now: datetime) -> WriteCounts:
    """Write an answer for one key.

    Each day that the answer mentions is replaced: changed rows are written, rows that vanished are
    removed. A day with a row that was not believed loses none: what vanished there is not known. Where
    another source reported that day, it is left as it is.
    Days of the window that it does not mention are left alone, and count as read; not those that have not
    begun, those that the API has forgotten, and those of which only rows came that were not believed.
    """
    watermark = kept_from(connection) or date.min
    first_day = max(answer.since, watermark)
    sources = _day_sources(connection, key_id, first_day, answer.until)
    better = {day for day, source in sources.items() if source.rank > answer.source.rank}
    worse = {day for day, source in sources.items() if source.rank < answer.source.rank}
    summed = spans.days_in_spans(connection, key_id, first_day, answer.until) if answer.rejected else set()
    kept = better | answer.doubtful_days(worse | (summed - set(sources)))

    rows = [row for row in answer.rows if row.day >= watermark and row.day not in kept]
    days = {row.day for row in rows} | {day for day in answer.whole_days if day >= watermark} - kept
    # Of days before its memory an API reports nothing, whether there was use or not.
    memory = _ANALYTICS_MEMORY if answer.source is UsageSource.ANALYTICS else _API_MEMORY
    remembered = min([now.date() - memory, *days])
    window = _days_begun(max(first_day, remembered), answer.until, now)
    doubtful = answer.doubtful_days(days | window)
    ledger_rows = _to_ledger_rows(connection, key_id, rows)
    change = _compare(_stored_rows(connection, key_id, days), ledger_rows, days - doubtful)
    _apply(connection, key_id, change)
    read = days | (window - doubtful - better - worse)
    read_before = set(sources) - worse
    settled = {day for day in (read & read_before) - change.days - doubtful if _is_long_over(day, now)}
    _record_days(connection, key_id, answer.source, read, settled, now)
    if answer.source.rank > UsageSource.COUNTERS.rank:
        spans.take_days_out(connection, key_id, read - read_before, change.growth)
    return WriteCounts(
        rows_written=len(change.written),
        rows_unchanged=len(rows) - len(change.written),
        rows_removed=len(change.vanished),
        written=frozenset(map(_cell, change.written)),
        replaced=frozenset(map(_cell, change.replaced + change.vanished)),
    )


def write_counters(
    connection: Connection, key_id: int, reading: CounterReading, now: datetime
) -> tuple[WriteCounts, bool]:
    """Write what a reading of a key's counters amounts to; whether the counters were found to be reset.

    The day so far, and since the last reading of an earlier day either the one day between or the sum of all
    of them. Asked again later on the same day, all of it is reported again and replaces what this wrote.
    """
    earlier = _last_reading(connection, key_id, reading.day)
    counted = count_days(earlier, reading)
    since = min(row.day for row in counted.rows)
    answer = UsageAnswer(UsageSource.COUNTERS, since, reading.day, counted.rows)
    counts = write_usage(connection, key_id, answer, now)
    if counted.span is not None and counted.span.first_day >= (kept_from(connection) or date.min):
        sources = _day_sources(connection, key_id, counted.span.first_day, counted.span.last_day)
        better = {day for day, source in sources.items() if source.rank > UsageSource.COUNTERS.rank}
        spans.write_span(connection, key_id, counted.span, better)
    connection.execute(
        key_counters.delete().where(key_counters.c.api_key_id == key_id, key_counters.c.date == reading.day)
    )
    connection.execute(
        key_counters.insert().values(
            date=reading.day,
            api_key_id=key_id,
            read_at=now,
            usage_nano=reading.usage_usd,
            usage_daily_nano=reading.usage_daily_usd,
            byok_usage_nano=reading.byok_usage_usd,
            byok_usage_daily_nano=reading.byok_usage_daily_usd,
        )
    )
    return counts, counted.is_reset


def _last_reading(connection: Connection, key_id: int, before: date) -> CounterReading | None:
    query = (
        select(key_counters)
        .where(key_counters.c.api_key_id == key_id, key_counters.c.date < before)
        .order_by(key_counters.c.date.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return CounterReading(
        row["date"],
        row["usage_nano"],
        row["usage_daily_nano"],
        row["byok_usage_nano"],
        row["byok_usage_daily_nano"],
    )


def _day_sources(connection: Connection, key_id: int, since: date, until: date) -> dict[date, UsageSource]:
    query = select(usage_days.c.date, usage_days.c.source).where(
        usage_days.c.api_key_id == key_id,
        usage_days.c.date.between(to_day_number(since), to_day_number(until)),
    )
    return {from_day_number(row.date): UsageSource(row.source) for row in connection.execute(query)}


def _to_ledger_rows(connection: Connection, key_id: int, rows: Sequence[UsageRow]) -> list[_LedgerRow]:
    model_ids = name_ids(connection, models, {row.model for row in rows})
    provider_ids = name_ids(connection, providers, {row.provider for row in rows})
    day_numbers = {day: to_day_number(day) for day in {row.day for row in rows}}
    return sorted(
        (
            day_numbers[row.day],
            key_id,
            model_ids[row.model],
            provider_ids[row.provider],
            row.requests,
            row.tokens_input,
            row.tokens_output,
            row.tokens_reasoning,
            row.tokens_cached,
            to_nano(row.cost_usd),
            None if row.byok_cost_usd is None else to_nano(row.byok_cost_usd),
        )
        for row in rows
    )


def name_ids(connection: Connection, table: Table, names: set[str | None]) -> dict[str | None, int]:
    """The ids of model or provider names; new names are stored, None is the unknown one's."""
    known: dict[str | None, int] = {None: UNKNOWN_NAME_ID}
    wanted = sorted(name for name in names if name is not None)
    if not wanted:
        return known
    known |= _numbers_by_name(connection, table)
    missing = [name for name in wanted if name not in known]
    if missing:
        connection.execute(table.insert(), [{"name": name} for name in missing])
        known |= _numbers_by_name(connection, table)
    return known


def _numbers_by_name(connection: Connection, table: Table) -> dict[str | None, int]:
    query = select(table.c.name, table.c.id).where(table.c.name.is_not(None))
    return {row[0]: row[1] for row in connection.execute(query)}


def _days_begun(since: date, until: date, now: datetime) -> set[date]:
    day_count = (min(until, now.date()) - since).days + 1
    return {since + timedelta(days=offset) for offset in range(day_count)}


def _is_long_over(day: date, now: datetime) -> bool:
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    return now >= end + _SETTLES_AFTER


def _stored_rows(connection: Connection, key_id: int, days: set[date]) -> list[_LedgerRow]:
    """What the ledger has of a key on these days, in the order of its key."""
    if not days:
        return []
    numbers = ", ".join(str(to_day_number(day)) for day in sorted(days))
    found = connection.exec_driver_sql(
        f"SELECT {', '.join(_KEY_COLUMNS + _VALUE_COLUMNS)} FROM usage_stats "
        f"WHERE api_key_id = {int(key_id)} AND date IN ({numbers}) ORDER BY {', '.join(_KEY_COLUMNS)}"
    )
    # The driver's own rows: to wrap each in one of SQLAlchemy's takes longer than to read it.
    return [] if found.cursor is None else list(found.cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Change:
    """What an answer changes: rows that are new or differ, what they replace, and rows that go.

    ``growth``: by day, by how many nano-dollars (credits, BYOK) what is stored grows. ``is_first``: nothing
    was stored of the days that change.
    """

    written: list[_LedgerRow]
    replaced: list[_LedgerRow]
    vanished: list[_LedgerRow]
    growth: dict[date, tuple[int, int]]
    is_first: bool

    @property
    def days(self) -> set[date]:
        return set(self.growth)


def _cell(row: _LedgerRow) -> Cell:
    return row[:_KEY_LENGTH]


def _compare(stored: list[_LedgerRow], rows: list[_LedgerRow], whole_days: set[date]) -> _Change:
    """What writing these rows changes; of ``whole_days``, rows that are not among them go.

    Both in the order of the ledger's key. Most of what is synced is stored already, and compared as a whole:
    that is several times as fast as row by row.
    """
    if rows == stored:
        return _Change([], [], [], {}, is_first=False)
    known, reported = set(stored), set(rows)
    written = [row for row in rows if row not in known]
    cells = set(map(_cell, written))
    whole = {to_day_number(day) for day in whole_days}
    differing = [row for row in stored if row not in reported]
    vanished = [row for row in differing if _cell(row) not in cells and row[_DAY] in whole]
    replaced = [row for row in differing if _cell(row) in cells]
    growth: dict[int, tuple[int, int]] = {}
    for sign, changed in ((1, written), (-1, replaced), (-1, vanished)):
        for row in changed:
            cost, byok = growth.get(row[_DAY], (0, 0))
            growth[row[_DAY]] = cost + sign * row[_COST], byok + sign * (row[_BYOK] or 0)
    return _Change(
        written,
        replaced,
        vanished,
        {from_day_number(day): each for day, each in growth.items()},
        is_first=not any(row[_DAY] in growth for row in stored),
    )


def _apply(connection: Connection, key_id: int, change: _Change) -> None:
    part = rollups.Part(sorted(map(to_day_number, change.days)), (key_id,))
    if not change.is_first:
        rollups.take_out(connection, part)
    if change.vanished:
        connection.execute(
            text(
                "DELETE FROM usage_stats WHERE date = :date AND api_key_id = :api_key_id "
                "AND model_id = :model_id AND provider_id = :provider_id"
            ),
            [dict(zip(_KEY_COLUMNS, row, strict=False)) for row in change.vanished],
        )
    bulk.upsert(connection, usage_stats, change.written)
    rollups.put_in(connection, part)
    if change.vanished:
        rollups.drop_empty(connection, part.days)


def _record_days(
    connection: Connection,
    key_id: int,
    source: UsageSource,
    days: set[date],
    settled: set[date],
    now: datetime,
) -> None:
    """Store that these days were read, from where and when, and which of them are settled."""
    rows = [
        {
            "date": to_day_number(day),
            "key_id": key_id,
            "source": source.value,
            "read_at": to_seconds(now),
            "is_settled": day in settled,
        }
        for day in sorted(days)
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO usage_days (date, api_key_id, source, read_at, is_settled) "
                "VALUES (:date, :key_id, :source, :read_at, :is_settled) "
                "ON CONFLICT (date, api_key_id) DO UPDATE SET "
                "source = excluded.source, read_at = excluded.read_at, is_settled = excluded.is_settled"
            ),
            rows,
        )
