"""Sums of several days: what is left of them once single days of them are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from orwatch.domain.money import from_nano, to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.store.ledger import rollups
from orwatch.store.schema import key_counters, to_day_number, usage_days, usage_spans, usage_stats


@dataclass(frozen=True, slots=True)
class KeySpan:
    """A span and whose it is."""

    key_id: int
    span: UsageSpan


def list_spans(
    connection: Connection, since: date, until: date, key_ids: Sequence[int] | None = None
) -> list[KeySpan]:
    """The spans that touch the days ``since``..``until``, of these keys or of all, by their first day."""
    query = (
        select(usage_spans)
        .where(usage_spans.c.last_day >= since, usage_spans.c.first_day <= until)
        .order_by(usage_spans.c.first_day, usage_spans.c.api_key_id)
    )
    if key_ids is not None:
        query = query.where(usage_spans.c.api_key_id.in_(key_ids))
    return [
        KeySpan(
            row["api_key_id"],
            UsageSpan(row["first_day"], row["last_day"], row["cost_nano"], row["byok_cost_nano"]),
        )
        for row in connection.execute(query).mappings()
    ]


def write_span(connection: Connection, key_id: int, span: UsageSpan, reported: set[date]) -> None:
    """Store what a span has cost, less the days of it that a better source has ``reported``.

    What was known of its other days was a part of this sum, and goes.
    """
    first, last = to_day_number(span.first_day), to_day_number(span.last_day)
    part = rollups.Part(set(range(first, last + 1)) - {to_day_number(day) for day in reported}, (key_id,))
    rollups.delete(connection, part)
    _delete(connection, key_id, span.first_day)
    if len(reported) <= (span.last_day - span.first_day).days:
        cost, byok = _known(connection, key_id, reported)
        _insert(connection, key_id, _less(span, cost, byok))


def take_days_out(
    connection: Connection, key_id: int, days: set[date], growth: Mapping[date, tuple[int, int]]
) -> None:
    """A better source has reported these days for the first time: take them out of the spans they lie in.

    ``growth``: by how many nano-dollars (credits, BYOK) what is stored of a day has grown with that. A day
    that was reported before may have grown, too: what a span and its reported days cost together stays. The
    caller has recorded the days as read; a span whose last day this was is gone.
    """
    reported = {*days, *growth}
    if not reported:
        return
    for key_span in list_spans(connection, min(reported), max(reported), (key_id,)):
        span = key_span.span
        inside = [day for day in reported if span.first_day <= day <= span.last_day]
        if not inside:
            continue
        _delete(connection, key_id, span.first_day)
        if _reported_days(connection, key_id, span) <= (span.last_day - span.first_day).days:
            grown = [growth.get(day, (0, 0)) for day in inside]
            cost, byok = sum(each[0] for each in grown), sum(each[1] for each in grown)
            _insert(connection, key_id, _less(span, cost, byok))


def _reported_days(connection: Connection, key_id: int, span: UsageSpan) -> int:
    """How many days of the span a better source has reported."""
    query = select(func.count()).where(
        usage_days.c.api_key_id == key_id,
        usage_days.c.date.between(to_day_number(span.first_day), to_day_number(span.last_day)),
        usage_days.c.source != UsageSource.COUNTERS.value,
    )
    return int(connection.execute(query).scalar_one())


def forget_readings(connection: Connection, before: date) -> None:
    """Delete the readings of counters from before a day, but for the last one of each key.

    The spans that came of them stay: they are totals already, and of which month is not known.
    """
    last = (
        select(key_counters.c.api_key_id, func.max(key_counters.c.date).label("date"))
        .group_by(key_counters.c.api_key_id)
        .subquery()
    )
    connection.execute(
        key_counters.delete().where(
            key_counters.c.date < before,
            ~select(last.c.date)
            .where(last.c.api_key_id == key_counters.c.api_key_id, last.c.date == key_counters.c.date)
            .exists(),
        )
    )


def _known(connection: Connection, key_id: int, days: set[date]) -> tuple[int, int]:
    """What the ledger has of these days: cost and BYOK, in nano-dollars."""
    query = select(func.sum(usage_stats.c.cost_nano), func.sum(usage_stats.c.byok_cost_nano)).where(
        usage_stats.c.api_key_id == key_id, usage_stats.c.date.in_([to_day_number(day) for day in days])
    )
    cost, byok = connection.execute(query).one()
    return cost or 0, byok or 0


def _less(span: UsageSpan, cost_nano: int, byok_nano: int) -> UsageSpan:
    byok = span.byok_cost_usd
    return UsageSpan(
        span.first_day,
        span.last_day,
        from_nano(max(0, to_nano(span.cost_usd) - cost_nano)),
        None if byok is None else from_nano(max(0, to_nano(byok) - byok_nano)),
    )


def _insert(connection: Connection, key_id: int, span: UsageSpan) -> None:
    connection.execute(
        usage_spans.insert().values(
            first_day=span.first_day,
            api_key_id=key_id,
            last_day=span.last_day,
            cost_nano=span.cost_usd,
            byok_cost_nano=span.byok_cost_usd,
        )
    )


def _delete(connection: Connection, key_id: int, first_day: date) -> None:
    connection.execute(
        usage_spans.delete().where(usage_spans.c.api_key_id == key_id, usage_spans.c.first_day == first_day)
    )
