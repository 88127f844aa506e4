"""What cleanup does to the database, in steps that hold the write lock briefly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, func, select, tuple_

from orwatch.domain.money import from_nano
from orwatch.domain.runs import RunStatus
from orwatch.store.schema import (
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


def count_old_records(connection: Connection, runs_before: datetime, requests_before: datetime) -> int:
    """How many run records and request-log entries are older than that."""
    old_runs = select(func.count()).select_from(job_runs).where(_is_old_run(runs_before))
    old_requests = select(func.count()).select_from(request_log).where(_is_old_request(requests_before))
    return int(connection.execute(old_runs).scalar_one() + connection.execute(old_requests).scalar_one())


def delete_old_records(connection: Connection, runs_before: datetime, requests_before: datetime) -> int:
    """Delete run records and request-log entries older than that; how many went.

    The last record of each job stays, and those of the last slot that it finished: without them the job
    would seem never to have run.
    """
    runs = connection.execute(job_runs.delete().where(_is_old_run(runs_before))).rowcount
    requests = connection.execute(request_log.delete().where(_is_old_request(requests_before))).rowcount
    return runs + requests


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


def _is_old_request(before: datetime) -> ColumnElement[bool]:
    return request_log.c.started_at_ms < int(before.timestamp() * 1000)
