"""What ``orwatch report`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

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
class ReportResult:
    """What ``orwatch report`` shows: the table asked for, and the top models and keys."""

    since: date
    until: date
    table: ReportTable
    top_tables: tuple[ReportTable, ...] = ()
    notes: tuple[str, ...] = ()
    has_keys: bool = True
