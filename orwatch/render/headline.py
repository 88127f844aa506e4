"""What a report on a terminal begins with: the total, the month, the change, the days as a line."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.text import Text

from orwatch.domain.days import ONE_DAY
from orwatch.domain.money import sum_exactly
from orwatch.jobs.report.result import Change, MonthCourse, ReportResult
from orwatch.render import numbers
from orwatch.render.forecast import on_course
from orwatch.text import counted

_STYLE_OF_DAYS = "cyan"
_LONGEST_LEGEND = len("  up to $1,234.56 a day from 2026-11-20, 10 days each")
_FEWEST_BLOCKS = 31


def lines(result: ReportResult, width: int, *, ascii_only: bool) -> list[Text]:
    """The lines; those of which nothing is known are left out."""
    total = Text(f"Total {numbers.usd(result.table.totals.cost_usd)}", style="bold")
    if result.known_days is not None and result.known_days < result.days:
        total.append(f" ({result.known_days:,} of {counted(result.days, 'day')} known)", style="not bold")
    if result.course is not None:
        total.append(f" · {course_text(result.course)}", style="not bold")
    found = [total]
    if result.change is not None:
        found.append(Text(_change_text(result.change, result.days)))
    days = _days_line(result, width, ascii_only)
    return [*found, days] if days is not None else found


def course_text(course: MonthCourse) -> str:
    """``This month: $125.25 so far, on course for $179 (164 to 196)``."""
    return f"This month: {numbers.usd(course.spent_usd)} so far, {on_course(course.forecast)}"


def _change_text(change: Change, days: int) -> str:
    count = change.days.count
    whole = counted(count, "day" if count == days else "whole day")
    return (
        f"{whole}: {numbers.usd(change.cost_usd)}, {numbers.change(change.before_usd, change.cost_usd)} "
        f"in the {counted(count, 'day')} before"
    )


def _days_line(result: ReportResult, width: int, ascii_only: bool) -> Text | None:
    """A block a day, or for several where there are more days than cells; None where there is nothing to see.

    It begins and ends with a day that is known.
    """
    known = [index for index, cost in enumerate(result.day_costs) if cost is not None]
    if len(known) < 2:
        return None
    costs = result.day_costs[known[0] : known[-1] + 1]
    room = max(width - _LONGEST_LEGEND, _FEWEST_BLOCKS)
    in_block = -(-len(costs) // room)
    blocks = [_mean(costs[begin : begin + in_block]) for begin in range(0, len(costs), in_block)]
    largest = max(block for block in blocks if block is not None)
    if largest <= 0:
        return None
    legend = f"up to {numbers.usd(largest)} a day"
    if known[0]:
        legend += f" from {result.since + known[0] * ONE_DAY}"
    if in_block > 1:
        legend += f", {counted(in_block, 'day')} each"
    line = Text(numbers.sparkline(blocks, ascii_only=ascii_only), style=_STYLE_OF_DAYS)
    return line.append(f"  {legend}", style="default")


def _mean(costs: Sequence[Decimal | None]) -> Decimal | None:
    """Of the known ones."""
    known = [cost for cost in costs if cost is not None]
    return sum_exactly(known) / len(known) if known else None
