"""How much of a report's time is known: the days that count, and what the keys' counters say beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime

from orwatch.domain.days import ONE_DAY, days_between, month_end, month_start
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.money import sum_known_usd
from orwatch.jobs.report.result import Counters, Days
from orwatch.store.engine.database import Connection
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import UsageFilter
from orwatch.store.ledger.spans import KeySpan


def left_out_days(
    touched: Collection[date], shown: Collection[date], watermark: date, wanted: UsageFilter
) -> tuple[Days, ...]:
    """The stretches of the window that cleanup has moved to monthly totals which the report cannot show."""
    found: list[Days] = []
    for month in sorted(set(touched) - set(shown)):
        first = max(wanted.since, month)
        last = min(wanted.until, month_end(month), watermark - ONE_DAY)
        if found and found[-1].until + ONE_DAY == first:
            first = found.pop().since
        found.append(Days(first, last))
    return tuple(found)


def with_accounts(wanted: UsageFilter, keys: Sequence[StoredKey]) -> UsageFilter:
    """The filter of the days that were read, where ``wanted`` is that of the usage.

    An account's days are those of all its keys: of a listed key without use no day is recorded.
    """
    if wanted.key_ids is None:
        return wanted
    accounts = [key.listing.account_key_id for key in keys if key.id in wanted.key_ids and key.listing]
    return replace(wanted, key_ids=(*wanted.key_ids, *accounts))


def count_known_days(
    connection: Connection,
    wanted: UsageFilter,
    keys: Sequence[StoredKey],
    spans: Sequence[KeySpan],
    months: Collection[date],
    watermark: date | None,
) -> int:
    """The days of the window that were read, or that lie in one of these spans and monthly totals."""
    known = usage_reads.covered_days(connection, with_accounts(wanted, keys))
    for each in spans:
        known.update(days_between(each.span.first_day, each.span.last_day))
    if watermark is not None:
        for month in months:
            known.update(days_between(month, min(month_end(month), watermark - ONE_DAY)))
    return len(known)


def read_counters(keys: Sequence[StoredKey], key_ids: Collection[int] | None) -> Counters | None:
    """What the keys' counters said when they were last read; None where none was.

    The month is the latest of which any key's counters were read. A management key's are not its account's.
    """
    readings: dict[str, tuple[datetime, KeyFacts]] = {}
    wanted = [key for key in keys if key_ids is None or key.id in key_ids]
    for key in wanted:
        if key.facts_read_at is None or key.is_management:
            continue
        # A key that was removed and added again is one key to OpenRouter.
        earlier = readings.get(key.key_hash)
        if earlier is None or earlier[0] < key.facts_read_at:
            readings[key.key_hash] = (key.facts_read_at, key.facts)
    month = month_start(max((read_at.date() for read_at, _ in readings.values()), default=date.min))
    of_month = [facts.usage_monthly_usd for read_at, facts in readings.values() if read_at.date() >= month]
    lifetime = [facts.usage_usd for _, facts in readings.values()]
    counters = Counters(
        month,
        sum_known_usd(of_month),
        sum_known_usd(lifetime),
        leaves_out_usage=any(key.is_management for key in wanted),
    )
    return None if counters.of_month_usd is None and counters.lifetime_usd is None else counters
