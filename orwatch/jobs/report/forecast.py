"""What the days before cost, as far as they are known, and where the month will be with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.days import ONE_DAY, days_between, month_end, month_start
from orwatch.domain.forecast import HISTORY_DAYS, Lasting, forecast, lasts
from orwatch.domain.money import ZERO, add_exactly
from orwatch.jobs.report.coverage import with_accounts
from orwatch.jobs.report.result import MonthCourse
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans
from orwatch.store.schema import UNKNOWN_NAME_ID


def month_forecast(
    connection: Connection,
    now: datetime,
    *,
    spent_usd: Decimal | None = None,
    key_ids: Sequence[int] | None = None,
    model_ids: Sequence[int] | None = None,
) -> MonthCourse | None:
    """The month's course, of these keys and models or of all; None where too little is known.

    ``spent_usd``: what they have cost this month so far; None: what the ledger says.
    """
    today = now.date()
    days = daily_history(connection, today, key_ids=key_ids, model_ids=model_ids)
    if spent_usd is None:
        spent_usd = _spent_this_month(connection, _filter(today, today, key_ids, model_ids))
    found = forecast(days, now, month_end(today), spent_usd=spent_usd)
    return None if found is None else MonthCourse(spent_usd, found)


def balance_lasts(
    connection: Connection, owner_id: int, balance_usd: Decimal, read_at: datetime
) -> Lasting | None:
    """How long the balance of a management key's account lasts from when it was read."""
    key_ids = [owner_id, *(key.id for key in accounts.members(connection, owner_id))]
    return lasts(daily_history(connection, read_at.date(), key_ids=key_ids), read_at, balance_usd)


def daily_history(
    connection: Connection,
    today: date,
    *,
    key_ids: Sequence[int] | None = None,
    model_ids: Sequence[int] | None = None,
) -> dict[date, Decimal]:
    """What these keys and models, or all, cost on each day that is known of the last eight weeks.

    As ``daily_costs``; today is not one of them.
    """
    wanted = _filter(today - HISTORY_DAYS * ONE_DAY, today - ONE_DAY, key_ids, model_ids)
    return daily_costs(connection, wanted)


def daily_costs(connection: Connection, wanted: UsageFilter) -> dict[date, Decimal]:
    """What each day cost that is known, in dollars.

    Sums of several days count for each of these alike; of models, they say nothing, and neither do days of
    which not all models are known. Days that cleanup has removed are not known.
    """
    wanted = replace(wanted, since=max(wanted.since, ledger.kept_from(connection) or date.min))
    if wanted.since > wanted.until:
        return {}
    keys = stored_keys.list_rows(connection) if wanted.key_ids is not None else []
    days = dict.fromkeys(usage_reads.covered_days(connection, with_accounts(wanted, keys)), ZERO)
    _add(days, _by_day(connection, wanted))
    if wanted.model_ids is None:
        _add_spans(connection, days, wanted)
        return days
    unknown = UsageFilter(wanted.since, wanted.until, wanted.key_ids, (UNKNOWN_NAME_ID,))
    unclear = {day for day, cost in _by_day(connection, unknown).items() if cost}
    for each in list_spans(connection, wanted.since, wanted.until, wanted.key_ids):
        if each.span.cost_usd:
            unclear.update(days_between(each.span.first_day, each.span.last_day))
    return {day: cost for day, cost in days.items() if day not in unclear}


def _filter(
    since: date, until: date, key_ids: Sequence[int] | None, model_ids: Sequence[int] | None
) -> UsageFilter:
    return UsageFilter(
        since,
        until,
        None if key_ids is None else tuple(key_ids),
        None if model_ids is None else tuple(model_ids),
    )


def _spent_this_month(connection: Connection, wanted: UsageFilter) -> Decimal:
    """What the month of the filter's day has cost until then, what cleanup has removed of it included."""
    first = month_start(wanted.until)
    month = replace(wanted, since=first, until=first)
    spent = ZERO
    for row in usage_reads.sum_months(connection, Grouping(), month):
        spent = add_exactly(spent, row.totals.cost_usd or ZERO)
    if wanted.model_ids is None:
        for each in list_spans(connection, first, wanted.until, wanted.key_ids):
            if first <= each.span.first_day and each.span.last_day <= wanted.until:
                spent = add_exactly(spent, each.span.cost_usd)
    return spent


def _by_day(connection: Connection, wanted: UsageFilter) -> dict[date, Decimal]:
    sums = usage_reads.sum_usage(connection, Grouping(by_day=True), wanted)
    return {row.day: row.totals.cost_usd or ZERO for row in sums if row.day is not None}


def _add_spans(connection: Connection, days: dict[date, Decimal], wanted: UsageFilter) -> None:
    for each in list_spans(connection, wanted.since, wanted.until, wanted.key_ids):
        span = each.span
        share = span.cost_usd / ((span.last_day - span.first_day).days + 1)
        inside = days_between(max(span.first_day, wanted.since), min(span.last_day, wanted.until))
        _add(days, dict.fromkeys(inside, share))


def _add(days: dict[date, Decimal], more: Mapping[date, Decimal]) -> None:
    for day, cost in more.items():
        days[day] = add_exactly(days.get(day, ZERO), cost)
