"""Budgets of one's own: what they cover, their windows, and how much of them is spent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from orwatch.domain.alerts.alert import MOST_PERCENT, read_percents
from orwatch.domain.days import month_end, month_start, week_start
from orwatch.domain.forecast import Forecast
from orwatch.domain.money import add_exactly, round_to_nano
from orwatch.errors import UsageError

DEFAULT_WARN_PERCENT = (50, 80, 100)
MOST_LIMIT_USD = Decimal(10**9)

_HUNDRED = Decimal(100)


class Per(StrEnum):
    """How often a budget begins anew: at 00:00 UTC of each day, Monday or first of the month, or never."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Scope:
    """What counts. Of each kind that is not empty one has to fit; nothing at all: the whole account.

    ``key_ids`` are those of the keys' present secrets; ``models`` are patterns as ``report --model`` takes.
    """

    key_ids: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a window. ``warn_percent``: rising, each from 1 to 1,000."""

    id: int
    name: str
    limit_usd: Decimal
    per: Per
    scope: Scope
    warn_percent: tuple[int, ...]
    with_byok: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How much of a budget is spent in the window that a moment lies in.

    ``first_day`` None: from the beginning of what is known; ``last_day`` None: there is none.
    ``spent_known_usd`` is spent at least, ``spent_most_usd`` at most (None: that is not known). Where they
    differ ``spent_usd`` is None, and ``why_unknown`` says why. ``known_through``: the oldest of the
    last readings of the keys that it covers.
    """

    budget: Budget
    first_day: date | None
    last_day: date | None
    spent_usd: Decimal | None
    spent_known_usd: Decimal
    spent_most_usd: Decimal | None
    why_unknown: str | None = None
    known_through: datetime | None = None
    forecast: Forecast | None = None
    reached_on: date | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it is known what is spent."""
        return self.spent_usd is not None

    @property
    def left_usd(self) -> Decimal | None:
        """What is left of the limit; negative where more is spent. None: not known."""
        return None if self.spent_usd is None else add_exactly(self.budget.limit_usd, -self.spent_usd)

    @property
    def used_part(self) -> Decimal | None:
        """How much of the limit is spent: 0 to 1, and above. None: not known."""
        return None if self.spent_usd is None else self.spent_usd / self.budget.limit_usd

    @property
    def window(self) -> str:
        """``2026-11-20``, ``2026-11-16/2026-11-22``, ``2026-11`` or ``lifetime``."""
        if self.first_day is None or self.last_day is None:
            return str(self.budget.per)
        if self.budget.per is Per.MONTH:
            return f"{self.first_day:%Y-%m}"
        return "/".join(str(day) for day in sorted({self.first_day, self.last_day}))

    def is_reached(self, percent: int = 100) -> bool | None:
        """Whether so much of the limit is spent, exactly so much included. None: it cannot be told."""
        threshold = self.budget.limit_usd * percent / _HUNDRED
        if self.spent_known_usd >= threshold:
            return True
        return None if self.spent_most_usd is None or self.spent_most_usd >= threshold else False


def window_at(per: Per, now: datetime) -> tuple[date, date | None]:
    """The first and the last UTC day of the window that ``now`` (aware, UTC) lies in; weeks are from Monday.

    A lifetime begins with the first day that there is, and has no last one.
    """
    today = now.date()
    if per is Per.DAY:
        return today, today
    if per is Per.WEEK:
        monday = week_start(today)
        return monday, monday + timedelta(days=6)
    if per is Per.MONTH:
        return month_start(today), month_end(today)
    return date.min, None


def read_limit(text: str) -> Decimal:
    """Dollars as a user writes them, ``250`` or ``$99.50``. Raises ``UsageError``."""
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= MOST_LIMIT_USD or round_to_nano(amount) != amount:
        raise UsageError(
            f"{text!r} is no limit",
            f"Write dollars above 0 and up to {MOST_LIMIT_USD:,f}, with at most nine decimals: 250 or 99.50.",
        )
    return amount


def read_warn_percent(text: str) -> tuple[int, ...]:
    """Thresholds as a user writes them, ``50,80,100``. Raises ``UsageError``."""
    percents = read_percents(text)
    if percents is None:
        raise UsageError(
            f"{text!r} are no thresholds", f"Write whole percents from 1 to {MOST_PERCENT:,}: 50,80,100."
        )
    return percents
