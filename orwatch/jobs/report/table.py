"""Rows to totals: pure. Weeks start on Monday; everything is counted in UTC days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from orwatch.domain.days import month_start, week_start
from orwatch.domain.usage import COLUMNS, Dimension, Totals, sum_totals
from orwatch.jobs.report.result import ReportRow, ReportTable


def period_start(dimension: Dimension, day: date) -> date:
    """The first day of the day, week or month that a day lies in."""
    if dimension is Dimension.WEEK:
        return week_start(day)
    if dimension is Dimension.MONTH:
        return month_start(day)
    return day


def period_name(dimension: Dimension, day: date) -> str:
    """How a stretch of time is named: ``2026-11-20``, its Monday for a week, ``2026-11`` for a month."""
    start = period_start(dimension, day)
    return start.isoformat()[:7] if dimension is Dimension.MONTH else start.isoformat()


def fold(groups: Iterable[tuple[tuple[str | None, ...], Totals]]) -> list[ReportRow]:
    """One row for each combination of values, sums added up."""
    folded: dict[tuple[str | None, ...], list[Totals]] = {}
    for values, totals in groups:
        folded.setdefault(values, []).append(totals)
    return [
        ReportRow(values, each[0] if len(each) == 1 else sum_totals(each)) for values, each in folded.items()
    ]


def group_rows(
    by: Sequence[Dimension], rows: Sequence[ReportRow], *, sort: str | None = None, top: int | None = None
) -> ReportTable:
    """The rows in order, cut after ``top`` of them where that hides more than one; the totals are of all.

    ``sort`` is one of ``by`` (ascending) or of ``COLUMNS`` (the largest first). Without it,
    times come in their order, if all are shown, and all else by cost.
    """
    ordered = sorted(rows, key=lambda row: tuple(value or "" for value in row.values))
    times = [index for index, dimension in enumerate(by) if dimension.is_time]
    column = sort or ("" if times and top is None else "cost")
    if column in COLUMNS:
        ordered.sort(key=lambda row: _sort_number(row.totals, column), reverse=True)
    elif column:
        index = [dimension.value for dimension in by].index(column)
        ordered.sort(key=lambda row: (row.values[index] is None, row.values[index] or ""))
    else:
        ordered.sort(key=lambda row: _sort_number(row.totals, "cost"), reverse=True)
        ordered.sort(key=lambda row: tuple(row.values[index] or "" for index in times))
    # The row of the others takes as much room as a single one of them.
    shown = ordered if top is None or len(ordered) == top + 1 else ordered[:top]
    cut = ordered[len(shown) :]
    return ReportTable(
        by=tuple(by),
        rows=tuple(shown),
        totals=sum_totals(row.totals for row in ordered),
        others=sum_totals(row.totals for row in cut) if cut else None,
        others_count=len(cut),
    )


def _sort_number(totals: Totals, column: str) -> tuple[bool, Decimal | int]:
    value = getattr(totals, COLUMNS[column])
    return value is not None, value or 0
