"""From life-long counters to days: pure.

``GET /key`` reports what a key has spent in its whole life and in the current UTC day. The difference is what
it had spent when that day began, exactly, whatever the hour of the question. Two readings on different days
therefore give the exact spend of the days between, however many hours were missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from orwatch.domain.keys import KeyFacts
from orwatch.domain.money import ZERO, add_exactly
from orwatch.domain.usage import UsageRow, UsageSpan

# Servers add up in binary fractions: a counter may seem to lose this much without having been reset.
_NOISE_USD = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class CounterReading:
    """The counters of one key, read on ``day``. BYOK is None where the answer has none."""

    day: date
    usage_usd: Decimal
    usage_daily_usd: Decimal
    byok_usage_usd: Decimal | None = None
    byok_usage_daily_usd: Decimal | None = None
    # The whole answer that they were part of, where there was one.
    facts: KeyFacts | None = None

    @property
    def before_usd(self) -> Decimal:
        """What had been spent when ``day`` began."""
        return add_exactly(self.usage_usd, -self.usage_daily_usd)

    @property
    def byok_before_usd(self) -> Decimal | None:
        """The same for BYOK."""
        if self.byok_usage_usd is None or self.byok_usage_daily_usd is None:
            return None
        return add_exactly(self.byok_usage_usd, -self.byok_usage_daily_usd)


@dataclass(frozen=True, slots=True)
class CountedDays:
    """Rows of single days, and at most one span of days of which only the sum is known.

    ``is_reset``: a counter went down, so the spend of the days between is unknown.
    """

    rows: tuple[UsageRow, ...]
    span: UsageSpan | None = None
    is_reset: bool = False


def count_days(previous: CounterReading | None, current: CounterReading) -> CountedDays:
    """The spend of the current day so far, and of the days since the previous reading.

    The day of the previous reading is closed by this one when they are one day apart; with more days between,
    their sum is exact and stays a sum.
    """
    today = _row(current.day, current.usage_daily_usd, current.byok_usage_daily_usd)
    if previous is None or previous.day == current.day:
        return CountedDays((today,), is_reset=previous is not None and _went_down(previous, current))
    if _went_down(previous, current):
        return CountedDays((today,), is_reset=True)
    cost = _not_negative(add_exactly(current.before_usd, -previous.before_usd))
    byok = None
    if current.byok_before_usd is not None and previous.byok_before_usd is not None:
        byok = _not_negative(add_exactly(current.byok_before_usd, -previous.byok_before_usd))
    last_day = current.day - timedelta(days=1)
    if previous.day == last_day:
        return CountedDays((_row(last_day, cost, byok), today))
    return CountedDays((today,), UsageSpan(previous.day, last_day, cost, byok))


def _went_down(previous: CounterReading, current: CounterReading) -> bool:
    """Whether the life-long counter lost what it had: reset, or another key's."""
    pairs = [(previous.usage_usd, current.usage_usd)]
    if previous.day != current.day:
        # What had been spent by a day's beginning can be no less than what had been spent the days before.
        pairs.append((previous.usage_usd, current.before_usd))
    return any(add_exactly(before, -after) > _NOISE_USD for before, after in pairs)


def _not_negative(amount: Decimal) -> Decimal:
    return max(amount, ZERO)


def _row(day: date, cost: Decimal, byok: Decimal | None) -> UsageRow:
    return UsageRow(day, None, None, None, None, None, _not_negative(cost), byok_cost_usd=byok)
