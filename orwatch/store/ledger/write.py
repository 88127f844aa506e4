"""Writes of the ledger, by its invariants.

A day is written whole, in the one transaction of its key. A better source replaces a worse one, never
the reverse, and only with a day of which every row was believed. What cleanup removed is not written again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Table, select

from orwatch.domain.counters import CounterReading, count_days
from orwatch.domain.days import days_between, midnight
from orwatch.domain.money import to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow, UsageSpan
from orwatch.store.engine import bulk
from orwatch.store.ledger import rollups, spans
from orwatch.store.ledger.change import (
    DAY,
    KEY,
    KEY_COLUMNS,
    VALUE_COLUMNS,
    Change,
    LedgerRow,
    apply,
    compare,
    day_numbers,
)
from orwatch.store.ledger.conditions import among, among_days
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
)

# OpenRouter answers for 30 completed days and today, its analytics for a year. Days before that count as read
# only from the first one on that an answer mentions.
_API_MEMORY = timedelta(days=30)
_ANALYTICS_MEMORY = timedelta(days=365)

# A day that is read so long after its end and has not changed since the last reading is settled.
_SETTLES_AFTER = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What a write did.

    ``written``: the rows that were written; ``replaced``: those that were stored before and are changed or
    gone: those of one write, a sum has the counts only.
    """

    rows_written: int = 0
    rows_unchanged: int = 0
    rows_removed: int = 0
    written: tuple[LedgerRow, ...] = ()
    replaced: tuple[LedgerRow, ...] = ()


def kept_from(connection: Connection) -> date | None:
    """The watermark: days before it were removed by cleanup. None: nothing ever was."""
    return connection.execute(select(ledger_state.c.kept_from)).scalar()


def created_at(connection: Connection) -> datetime:
    """When the database was created."""
    moment: datetime = connection.execute(select(ledger_state.c.created_at)).scalar_one()
    return moment


def write_usage(connection: Connection, key_id: int, answer: UsageAnswer, now: datetime) -> WriteCounts:
    """Write an answer for one key, as ``write_answers`` does."""
    return write_answers(connection, {key_id: answer}, now)[key_id]


def write_answers(
    connection: Connection, answers: Mapping[int, UsageAnswer], now: datetime
) -> dict[int, WriteCounts]:
    """Write the answers for several keys, by the keys' ids, in a few statements for all of them.

    Each day that an answer mentions is replaced: changed rows are written, rows that vanished are
    removed. A day with a row that was not believed loses none: what vanished there is not known. Where
    another source reported that day, it is left as it is.
    Days of the window that it does not mention are left alone, and count as read; not those that have not
    begun, those that the API has forgotten, and those of which only rows came that were not believed.
    """
    if not answers:
        return {}
    watermark = kept_from(connection) or date.min
    since = max(min(answer.since for answer in answers.values()), watermark)
    until = max(answer.until for answer in answers.values())
    sources = _day_sources(connection, answers, since, until)
    spans_of: dict[int, list[UsageSpan]] = {}
    for each in spans.list_spans(connection, since, until, [*answers]):
        spans_of.setdefault(each.key_id, []).append(each.span)
    plans = {
        key_id: _plan(answer, sources.get(key_id, {}), spans_of.get(key_id, ()), watermark, now)
        for key_id, answer in answers.items()
    }
    stored = _stored_rows(connection, plans)
    rows = _to_ledger_rows(connection, plans)
    changes = {
        key_id: compare(stored.get(key_id, []), rows[key_id], plan.days - plan.doubtful)
        for key_id, plan in plans.items()
    }
    apply(connection, changes)
    _record_days(connection, answers, plans, changes, now)
    for key_id in sorted(spans_of):
        if answers[key_id].source.rank > UsageSource.COUNTERS.rank:
            plan = plans[key_id]
            spans.take_days_out(connection, key_id, plan.read - plan.read_before, changes[key_id].growth)
    return {
        key_id: WriteCounts(
            rows_written=len(change.written),
            rows_unchanged=len(rows[key_id]) - len(change.written),
            rows_removed=len(change.vanished),
            written=tuple(change.written),
            replaced=(*change.replaced, *change.vanished),
        )
        for key_id, change in changes.items()
    }


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of an answer is to be written.

    ``days``: those that are replaced, ``doubtful``: those with rows that were not believed, ``read``: those
    that count as read from this source, ``read_before``: those that did so before, or from a better one.
    """

    rows: list[UsageRow]
    days: set[date]
    doubtful: set[date]
    read: set[date]
    read_before: set[date]


def _plan(
    answer: UsageAnswer,
    sources: Mapping[date, UsageSource],
    spans_of_key: Sequence[UsageSpan],
    watermark: date,
    now: datetime,
) -> _Plan:
    first_day = max(answer.since, watermark)
    sources = {day: source for day, source in sources.items() if first_day <= day <= answer.until}
    better = {day for day, source in sources.items() if source.rank > answer.source.rank}
    worse = {day for day, source in sources.items() if source.rank < answer.source.rank}
    summed = {day for span in spans_of_key for day in days_between(span.first_day, span.last_day)}
    kept = better | answer.doubtful_days(worse | (summed - set(sources)))

    rows = [row for row in answer.rows if row.day >= watermark and row.day not in kept]
    days = {row.day for row in rows} | {day for day in answer.whole_days if day >= watermark} - kept
    # Of days before its memory an API reports nothing, whether there was use or not.
    memory = _ANALYTICS_MEMORY if answer.source is UsageSource.ANALYTICS else _API_MEMORY
    mentioned = {day for day in {*answer.whole_days, *(row.day for row in answer.rows)} if day >= watermark}
    remembered = min([now.date() - memory, *(mentioned - better)])
    window = _days_begun(max(first_day, remembered), answer.until, now)
    doubtful = answer.doubtful_days(days | window)
    return _Plan(rows, days, doubtful, days | (window - doubtful - better - worse), set(sources) - worse)


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
        sources = _day_sources(connection, [key_id], counted.span.first_day, counted.span.last_day)
        known = sources.get(key_id, {})
        better = {day for day, source in known.items() if source.rank > UsageSource.COUNTERS.rank}
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


def _day_sources(
    connection: Connection, key_ids: Collection[int], since: date, until: date
) -> dict[int, dict[date, UsageSource]]:
    """By key, where each of the days that were read is from."""
    # Each day by its number: with the key's it is a place in the table, whoever else was read on that day.
    places = f"{among_days('date', since, until)} AND {among('api_key_id', key_ids)}"
    query = f"SELECT api_key_id, date, source FROM usage_days WHERE {places}"
    found: dict[int, dict[date, UsageSource]] = {}
    for key_id, day, source in connection.exec_driver_sql(query):
        found.setdefault(key_id, {})[from_day_number(day)] = UsageSource(source)
    return found


def _to_ledger_rows(connection: Connection, plans: Mapping[int, _Plan]) -> dict[int, list[LedgerRow]]:
    every_row = [row for plan in plans.values() for row in plan.rows]
    model_ids = name_ids(connection, models, {row.model for row in every_row})
    provider_ids = name_ids(connection, providers, {row.provider for row in every_row})
    numbers = {day: to_day_number(day) for day in {row.day for row in every_row}}
    return {
        key_id: sorted(
            (
                numbers[row.day],
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
            for row in plan.rows
        )
        for key_id, plan in plans.items()
    }


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
    end = midnight(day + timedelta(days=1))
    return now >= end + _SETTLES_AFTER


def _stored_rows(connection: Connection, plans: Mapping[int, _Plan]) -> dict[int, list[LedgerRow]]:
    """What the ledger has of each key on the days that are replaced, in the order of its key."""
    days = {key_id: set(day_numbers(plan.days)) for key_id, plan in plans.items() if plan.days}
    if not days:
        return {}
    part = rollups.Part(sorted(set().union(*days.values())), sorted(days))
    result = connection.exec_driver_sql(
        f"SELECT {', '.join(KEY_COLUMNS + VALUE_COLUMNS)} FROM usage_stats "
        f"WHERE {part.condition} ORDER BY {', '.join(KEY_COLUMNS)}"
    )
    found: dict[int, list[LedgerRow]] = {}
    # The driver's own rows: to wrap each in one of SQLAlchemy's takes longer than to read it.
    for row in () if result.cursor is None else result.cursor.fetchall():
        if row[DAY] in days[row[KEY]]:
            found.setdefault(row[KEY], []).append(row)
    return found


def _record_days(
    connection: Connection,
    answers: Mapping[int, UsageAnswer],
    plans: Mapping[int, _Plan],
    changes: Mapping[int, Change],
    now: datetime,
) -> None:
    """Store which days were read, from where and when, and which of them are settled."""
    read_at = to_seconds(now)
    rows = [
        (
            to_day_number(day),
            key_id,
            answers[key_id].source.value,
            read_at,
            day in unchanged and _is_long_over(day, now),
        )
        for key_id, plan in plans.items()
        for unchanged in (plan.read_before - changes[key_id].days - plan.doubtful,)
        for day in plan.read
    ]
    bulk.upsert(connection, usage_days, sorted(rows))
