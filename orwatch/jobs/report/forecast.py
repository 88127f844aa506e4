"""Where the month will be, and how long a balance lasts, by what the days before cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.days import ONE_DAY, month_end, month_start
from orwatch.domain.forecast import HISTORY_DAYS, Lasting, forecast, lasts
from orwatch.domain.money import ZERO, sum_exactly
from orwatch.jobs.report.daily import Cover, cover_of, read_daily_costs
from orwatch.jobs.report.result import MonthCourse
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans


def month_forecast(
    connection: Connection,
    now: datetime,
    wanted: UsageFilter | None = None,
    *,
    spent_usd: Decimal | None = None,
) -> MonthCourse | None:
    """The month's course, of the keys and models of a filter or of all; None where too little is known.

    ``spent_usd``: what they have cost this month so far; None: what the ledger says.
    """
    today = now.date()
    wanted = replace(wanted or UsageFilter(today, today), since=month_start(today), until=today)
    days = daily_history(connection, today, cover_of(wanted))
    if spent_usd is None:
        spent_usd = sum_exactly(_spent_in_month(connection, wanted))
    found = forecast(days, now, month_end(today), spent_usd=spent_usd)
    return None if found is None else MonthCourse(spent_usd, found)


def balance_lasts(
    connection: Connection, owner_id: int, balance_usd: Decimal, read_at: datetime
) -> Lasting | None:
    """How long the balance of a management key's account lasts from when it was read."""
    account = Cover(frozenset((owner_id, *(key.id for key in accounts.members(connection, owner_id)))))
    return lasts(daily_history(connection, read_at.date(), account), read_at, balance_usd)


def daily_history(connection: Connection, today: date, covered: Cover) -> dict[date, Decimal]:
    """What each day cost that is known of the last eight weeks; today is not one of them."""
    since = today - HISTORY_DAYS * ONE_DAY
    return read_daily_costs(connection, covered, since, today - ONE_DAY).known


def _spent_in_month(connection: Connection, wanted: UsageFilter) -> Iterator[Decimal]:
    """What the month that the filter begins with has cost, what cleanup has removed of it included."""
    month = replace(wanted, until=wanted.since)
    for row in usage_reads.sum_months(connection, Grouping(), month):
        yield row.totals.cost_usd or ZERO
    if wanted.model_ids is None:
        for each in list_spans(connection, wanted.since, wanted.until, wanted.key_ids):
            if wanted.since <= each.span.first_day and each.span.last_day <= wanted.until:
                yield each.span.cost_usd
