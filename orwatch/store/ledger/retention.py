"""What cleanup does to the database, in steps that hold the write lock briefly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, Table, func, select, tuple_

from orwatch.domain.money import from_nano
from orwatch.domain.runs import RunStatus
from orwatch.store.schema import (
    alerts,
    from_day_number,
    job_runs,
    ledger_state,
    request_log,
    to_day_number,
    usage_by_key,
    usage_by_model,
    usage_days,
    usage_stats,
)


@dataclass(frozen=True, slots=True)
class RemovedDay:
    """A day of the ledger that only the monthly totals keep, or would keep."""

    day: date
    rows: int
    cost_usd: Decimal


def expired_days(connection: Connection, kept_from: date) -> list[RemovedDay]:
    """The days before ``kept_from`` that are still in the ledger, oldest first."""
    totals = usage_by_key.c
    query = (
        select(
            totals.date, func.sum(totals.row_count).label("rows"), func.sum(totals.cost_nano).label("cost")
        )
        .where(totals.date < to_day_number(kept_from))
        .group_by(totals.date)
        .order_by(totals.date)
    )
    return [
        RemovedDay(from_day_number(row.date), int(row.rows), from_nano(int(row.cost)))
        for row in connection.execute(query)
    ]


def remove_day(connection: Connection, day: date) -> None:
    """Take a day out of the ledger; the monthly totals keep it.

    From then on no sync writes this day or one before it.
    """
    for table in (usage_stats, usage_by_model, usage_by_key):
        connection.execute(table.delete().where(table.c.date == to_day_number(day)))
    raise_watermark(connection, day + timedelta(days=1))


def raise_watermark(connection: Connection, kept_from: date) -> None:
    """Let no sync write a day before ``kept_from``; never lowers what was set before."""
    is_later = ledger_state.c.kept_from.is_(None) | (ledger_state.c.kept_from < kept_from)
    connection.execute(ledger_state.update().where(is_later).values(kept_from=kept_from))
    connection.execute(usage_days.delete().where(usage_days.c.date < to_day_number(kept_from)))


def count_old_records(connection: Connection, before: datetime, requests_before: datetime) -> int:
    """How many runs and alerts were over before that, and how many requests were made before their time."""
    return sum(
        connection.execute(select(func.count()).select_from(table).where(is_old)).scalar_one()
        for table, is_old in _old_records(before, requests_before)
    )


def delete_old_records(connection: Connection, before: datetime, requests_before: datetime) -> int:
    """Delete the records that ``count_old_records`` counts; how many went.

    The last record of each job stays, and those of the last slot that it finished: without them the job
    would seem never to have run. Alerts that hold stay.
    """
    return sum(
        connection.execute(table.delete().where(is_old)).rowcount
        for table, is_old in _old_records(before, requests_before)
    )


def _old_records(
    before: datetime, requests_before: datetime
) -> tuple[tuple[Table, ColumnElement[bool]], ...]:
    return (
        (job_runs, _is_old_run(before)),
        (alerts, alerts.c.ended_at < before),
        (request_log, request_log.c.started_at_ms < int(requests_before.timestamp() * 1000)),
    )


def _is_old_run(before: datetime) -> ColumnElement[bool]:
    columns = job_runs.c
    last = select(func.max(columns.id)).group_by(columns.job)
    last_done = (
        select(columns.job, func.max(columns.slot))
        .where(columns.status.in_([RunStatus.OK, RunStatus.PARTIAL]), columns.slot.is_not(None))
        .group_by(columns.job)
    )
    is_last_done = columns.slot.is_not(None) & tuple_(columns.job, columns.slot).in_(last_done)
    return (
        (columns.started_at < before)
        & (columns.status != RunStatus.RUNNING)
        & columns.id.not_in(last)
        & ~is_last_done
    )
