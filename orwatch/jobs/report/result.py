"""What ``orwatch report`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from orwatch.domain.forecast import Forecast
from orwatch.domain.usage import Dimension, Totals


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row: a value for each ``by``, in order. ``totals.cost_usd`` None: no sync read that time."""

    values: tuple[str | None, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows broken down by ``by``; ``totals`` is of all of them, ``others`` of those that were cut off."""

    by: tuple[Dimension, ...]
    rows: tuple[ReportRow, ...]
    totals: Totals
    others: Totals | None = None
    others_count: int = 0


@dataclass(frozen=True, slots=True)
class Days:
    """The days from ``since`` to ``until``, both inclusive."""

    since: date
    until: date

    @property
    def count(self) -> int:
        """How many days these are."""
        return (self.until - self.since).days + 1


@dataclass(frozen=True, slots=True)
class Counters:
    """What the keys' counters add up to: of a month, named by its first day, and of all time.

    ``leaves_out_usage``: a management key is among the keys, whose account has usage without a listed key.
    """

    month: date
    of_month_usd: Decimal | None
    lifetime_usd: Decimal | None
    leaves_out_usage: bool = False


@dataclass(frozen=True, slots=True)
class MonthCourse:
    """What the running month has cost so far, and where it will end."""

    spent_usd: Decimal
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Change:
    """What the whole days of the window cost, and as many days before them; all of both are known."""

    days: Days
    cost_usd: Decimal
    before: Days
    before_usd: Decimal


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What ``orwatch report`` shows: the table asked for, and the top models and keys.

    ``known_days``: of how many days of the window the totals are. ``left_out``: what cleanup has cut of it.
    ``counters``: where not all days are known, and these are. ``has_models``: a model is meant by the
    patterns, if there are any. ``course``: of the running month, where all of it so far is in the window.
    ``change``: against the days before. ``day_costs``: of each day in order, in dollars; None: not known.
    ``columns``: of numbers, in order; None: the usual ones.
    """

    since: date
    until: date
    table: ReportTable
    top_tables: tuple[ReportTable, ...] = ()
    notes: tuple[str, ...] = ()
    has_keys: bool = True
    known_days: int | None = None
    left_out: tuple[Days, ...] = ()
    counters: Counters | None = None
    has_models: bool = True
    course: MonthCourse | None = None
    change: Change | None = None
    day_costs: tuple[Decimal | None, ...] = ()
    columns: tuple[str, ...] | None = None

    @property
    def days(self) -> int:
        """How many days the window has."""
        return (self.until - self.since).days + 1
