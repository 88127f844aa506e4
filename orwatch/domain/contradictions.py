"""Days that a better source reports with less than is stored, though a key's counters confirm that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from orwatch.domain.days import midnight, month_start
from orwatch.domain.keys import StoredKey
from orwatch.domain.money import ZERO, add_exactly, sum_exactly
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer

# OpenRouter corrects days afterwards: sums that differ by no more than this do not contradict each other.
_LEAST_TOLERANCE = Decimal("0.01")
_TOLERANCE_SHARE = Decimal("0.005")

# A day that has just ended may not be reported in full yet.
_REPORTED_WITHIN = timedelta(hours=1)


class StoredDay(NamedTuple):
    """What is stored of a key's day, and from where; None: no source reported it as read."""

    cost_usd: Decimal
    source: UsageSource | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A day that keeps what is stored: the answer reports less."""

    day: date
    stored_usd: Decimal
    reported_usd: Decimal
    source: UsageSource

    def is_late(self, now: datetime) -> bool:
        """Whether the day is over for so long that the answer should have it in full."""
        return now - midnight(self.day + timedelta(days=1)) >= _REPORTED_WITHIN


def tolerance_usd(amount: Decimal) -> Decimal:
    """By how much two sums may differ without contradicting each other."""
    return max(_LEAST_TOLERANCE, amount * _TOLERANCE_SHARE)


def counted_since(key: StoredKey, today: date) -> dict[date, Decimal]:
    """What the counters say that a key spent from a day to the end of yesterday, by that first day.

    Known are this month, the days since its completed days were last read, and its whole life.
    """
    facts, listing = key.facts, key.listing
    daily = facts.usage_daily_usd
    is_of_today = key.facts_read_at is not None and key.facts_read_at.date() == today
    if daily is None or not is_of_today:
        return {}
    counted: dict[date, Decimal] = {}
    if facts.usage_usd is not None and listing is not None:
        before = add_exactly(facts.usage_usd, -daily)
        if listing.created_at is not None:
            counted[listing.created_at.date()] = before
        if listing.activity_read_at is not None and listing.activity_before_usd is not None:
            counted[listing.activity_read_at.date()] = add_exactly(before, -listing.activity_before_usd)
    if facts.usage_monthly_usd is not None:
        counted[month_start(today)] = add_exactly(facts.usage_monthly_usd, -daily)
    return counted


def contradictions(
    stored: Mapping[date, StoredDay], answer: UsageAnswer, counted: Mapping[date, Decimal], today: date
) -> list[Contradiction]:
    """The completed days that are to keep what a worse source reported.

    They would shrink, and with them a sum that agrees with the counters would be farther from these.
    ``stored`` has all days of the answer's window that have any usage.
    """
    reported = _sums(answer, stored)
    after = {day: each.cost_usd for day, each in stored.items()} | reported
    found: dict[date, Contradiction] = {}
    for since, counted_usd in counted.items():
        if since < answer.since:
            continue
        before_usd = sum_exactly(each.cost_usd for day, each in stored.items() if since <= day < today)
        after_usd = sum_exactly(cost for day, cost in after.items() if since <= day < today)
        shrinking = {
            day: Contradiction(day, each.cost_usd, reported[day], each.source)
            for day, each in stored.items()
            if since <= day < today and day in reported and each.cost_usd > reported[day]
            if each.source is not None and each.source.rank < answer.source.rank
        }
        error_usd = abs(add_exactly(counted_usd, -before_usd))
        lost_usd = add_exactly(add_exactly(counted_usd, -after_usd), -error_usd)
        shrinking_usd = sum_exactly(each.stored_usd for each in shrinking.values())
        if error_usd <= tolerance_usd(counted_usd) and lost_usd > tolerance_usd(shrinking_usd):
            found |= shrinking
    return [found[day] for day in sorted(found)]


def _sums(answer: UsageAnswer, stored: Mapping[date, StoredDay]) -> dict[date, Decimal]:
    """The dollars of each day that the answer reports in full, and that no better source has reported."""
    days = {row.day for row in answer.rows} | answer.whole_days
    sums = dict.fromkeys(days - answer.doubtful_days(days), ZERO)
    for row in answer.rows:
        if row.day in sums:
            sums[row.day] = add_exactly(sums[row.day], row.cost_usd)
    better = {day for day, each in stored.items() if each.source and each.source.rank > answer.source.rank}
    return {day: cost for day, cost in sums.items() if day not in better}
