"""The report as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.usage import MEASURES, Dimension, Totals
from orwatch.jobs.report.result import Counters, Days, MonthCourse, ReportResult, ReportRow, ReportTable
from orwatch.render import numbers
from orwatch.render.console import View
from orwatch.render.forecast import MONTH, on_course
from orwatch.render.json_text import Member, Merged, Shape
from orwatch.render.tables import Column, fit, make_table
from orwatch.text import counted, printable

_HEADERS = {
    Dimension.DAY: "Day",
    Dimension.WEEK: "Week from",
    Dimension.MONTH: "Month",
    Dimension.MODEL: "Model",
    Dimension.PROVIDER: "Provider",
    Dimension.KEY: "Key",
}
# The columns of numbers: header, attribute of ``Totals``, how it is shown, and when it may be left out.
_NUMBERS: Sequence[tuple[str, str, Callable[[Any], str], int]] = (
    ("Requests", "requests", numbers.count, 1),
    ("Tokens in", "tokens_input", numbers.count, 3),
    ("Tokens out", "tokens_output", numbers.count, 2),
    ("Cost", "cost_usd", numbers.usd, 0),
    ("$/req", "cost_per_request_usd", partial(numbers.usd, decimals=4), 5),
    ("BYOK", "byok_cost_usd", numbers.usd, 0),
)
_HOW_TO_FETCH = "`orwatch sync` fetches what OpenRouter has."
_HOW_TO_ADD_A_KEY = "Add a key: `orwatch key add NAME`."
_LONGEST_BAR = 24
_SHORTEST_BAR = 4

# How a file begins that is a report of a form.
_STARTS = {
    "svg": re.compile(r"<svg [^>]*>.{0,300}\.orwatch-", re.DOTALL),
    "csv": re.compile(rf"([a-z]+,)+{','.join(MEASURES)}\n"),
    "json": re.compile(r'\{\s*"schema_version": \d+,\s*"since": "'),
    "text": re.compile(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d · "),
}

# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def view(result: ReportResult) -> View:
    """The tables for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        shown: list[RenderableType] = [Text(_title(result), style="bold"), Text()]
        tables: tuple[ReportTable, ...] = ()
        if not result.has_models:
            shown.pop()  # the notes say which pattern matches nothing
        elif result.table.totals.cost_usd is None:
            advice = (
                "`orwatch sync` fetches what OpenRouter has."
                if result.has_keys
                else "Add a key: `orwatch key add NAME`."
            )
            shown.append(Text(f"No usage stored for this period. {advice}"))
        else:
            tables = (result.table, *result.top_tables)
        for table in tables:
            if table is not result.table:
                shown += [Text(), Text(f"Top {table.by[0].value}s", style="bold"), Text()]
            shown.append(_table(table, width, ascii_only, with_bar=len(table.by) == 1))
        if tables and result.course is not None:
            shown.append(Text(_course_text(result.course)))
        return [*shown, *(Text(f"Note: {note}") for note in _notes(result))]

    return parts


def _course_text(course: MonthCourse) -> str:
    return f"This month: {numbers.usd(course.spent_usd)} so far, {on_course(course.forecast)}"


def _title(result: ReportResult) -> str:
    title = f"{result.since} to {result.until} · {counted(result.days, 'day')} (UTC)"
    left_out = " and ".join(f"{days.since} to {days.until}" for days in result.left_out)
    return f"{title}, without {left_out}" if left_out else title


def _notes(result: ReportResult) -> Sequence[str]:
    """What else to know of the numbers; first, of how many days they are."""
    if result.known_days is None or result.known_days >= result.days:
        return result.notes
    known = f"known: {result.known_days:,} of {counted(result.days, 'day')}"
    counters = result.counters
    if counters is None:
        return (known, *result.notes)
    said = []
    if counters.of_month_usd is not None:
        said.append(f"{numbers.exact_usd(counters.of_month_usd)} in {counters.month:%Y-%m}")
    if counters.lifetime_usd is not None:
        said.append(f"{numbers.exact_usd(counters.lifetime_usd)} in all")
    return (f"{known}; the keys' own counters say {' and '.join(said)}", *result.notes)


def _table(table: ReportTable, width: int, ascii_only: bool, *, with_bar: bool) -> RenderableType:
    rows = [*table.rows]
    if table.others is not None:
        rows.append(ReportRow(_name_of_others(table), table.others))
    is_sum_of_others = [index >= len(table.rows) for index in range(len(rows))]
    columns = [*_value_columns(table, rows), *_number_columns(table, rows)]
    if with_bar:
        columns += _bar_column(columns, table, rows, width, ascii_only)
    return make_table(columns, width, row_styles=["dim" if others else "" for others in is_sum_of_others])


def _name_of_others(table: ReportTable) -> tuple[str, ...]:
    return (counted(table.others_count, "other"), *[""] * (len(table.by) - 1))


def _value_columns(table: ReportTable, rows: Sequence[ReportRow]) -> list[Column]:
    return [
        Column(
            _HEADERS[dimension],
            [numbers.UNKNOWN if row.values[index] is None else row.values[index] or "" for row in rows],
            footer="Total" if index == 0 else "",
            is_name=not dimension.is_time,
            is_word=dimension.is_time,
        )
        for index, dimension in enumerate(table.by)
    ]


def _number_columns(table: ReportTable, rows: Sequence[ReportRow]) -> list[Column]:
    total, of_rows = table.totals, [row.totals for row in rows]
    columns = []
    for header, attribute, text, dispensable in _NUMBERS:
        # An estimate of what other bills will say: beside the cost, never in it.
        if attribute == "byok_cost_usd" and not total.byok_cost_usd:
            continue
        cells = [text(getattr(totals, attribute)) for totals in of_rows]
        columns.append(Column(header, cells, text(getattr(total, attribute)), dispensable=dispensable))
    shares = [numbers.share(totals.cost_usd, total.cost_usd) for totals in of_rows]
    whole = numbers.share(total.cost_usd, total.cost_usd)
    return [*columns, Column("Share", shares, whole, dispensable=4)]


def _bar_column(
    columns: Sequence[Column], table: ReportTable, rows: Sequence[ReportRow], width: int, ascii_only: bool
) -> list[Column]:
    """A bar for the cost in the room that is left, where that is enough to compare bars."""
    shown, widths = fit(columns, width)
    room = min(width - sum(widths) - 2 * len(widths), _LONGEST_BAR)
    costs = [row.totals.cost_usd for row in table.rows]
    largest = max((cost for cost in costs if cost is not None), default=Decimal(0))
    if room < _SHORTEST_BAR or len(shown) < len(columns) or not largest:
        return []
    bars = [numbers.bar(cost, largest, room, ascii_only=ascii_only) for cost in costs]
    bars += [""] * (len(rows) - len(bars))
    return [Column("", [bar.ljust(room) for bar in bars], is_word=True, dispensable=9, style="cyan")]


def _month(counters: Counters) -> str:
    """The month, such as 2026-11."""
    return f"{counters.month:%Y-%m}"


_ABOUT = {
    Dimension.DAY: "The day (UTC).",
    Dimension.WEEK: "The Monday that the week begins with (UTC).",
    Dimension.MONTH: "The month (UTC), such as 2026-11.",
    Dimension.MODEL: "The model's name; null where it is not known.",
    Dimension.PROVIDER: "The provider's name; null where it is not known.",
    Dimension.KEY: "The key's name.",
    "requests": "How many requests there were.",
    "tokens_input": "How many tokens the requests sent.",
    "tokens_output": "How many tokens came back.",
    "cost": "What the requests cost, in US dollars; null where no sync read that time.",
    "byok_cost": "Estimate of what your own provider keys cost, in US dollars; no part of the cost.",
}
_TOTALS = Shape(Totals, *(Member(name, _ABOUT[name], source) for name, source in MEASURES.items()))
_OTHERS = Shape(
    ReportTable, Member("count", "How many rows were cut off.", "others_count"), Merged("others", _TOTALS)
)
_LEFT_OUT = Shape(Days, Member("since", "The first day."), Member("until", "The last day."))
_COUNTERS = Shape(
    Counters,
    Member("month", "The month, such as 2026-11.", _month),
    Member("of_month", "What the counters say of that month, in US dollars.", "of_month_usd"),
    Member("lifetime", "What the counters say of all time, in US dollars.", "lifetime_usd"),
)


def as_json(result: ReportResult) -> str:
    """The rows and their totals, money exact."""
    return answer_shape(result.table.by).document(result)


def answer_shape(by: Sequence[Dimension]) -> Shape:
    """The answer of a report that is broken down so: its rows have a member for each."""
    values = (
        Member(dimension.value, _ABOUT[dimension], _value_at(index), is_optional=True)
        for index, dimension in enumerate(by)
    )
    return Shape(
        ReportResult,
        Member("since", "The first day."),
        Member("until", "The last day."),
        Member("by", "What the rows are broken down by, in order.", "table.by"),
        Member("rows", "The rows.", "table.rows", Shape(ReportRow, *values, Merged("totals", _TOTALS))),
        Member(
            "others",
            "What `--top` cut off, added up; null where it cut off nothing.",
            _table_with_others,
            _OTHERS,
        ),
        Member("totals", "The sum of all rows, cut off ones too.", "table.totals", _TOTALS),
        Member("known_days", "Of how many days the totals are."),
        Member("left_out", "The days that cleanup has cut.", shape=_LEFT_OUT),
        Member("counters", "What the keys' own counters say, where not all days are known.", shape=_COUNTERS),
        Member("month", "Where this month will end, where all of it is shown.", "course", MONTH),
        Member("notes", "What else to know of the numbers.", _notes),
    )


def _table_with_others(result: ReportResult) -> ReportTable | None:
    """What --top cut off, as one; null where it cut nothing off."""
    return None if result.table.others is None else result.table


def _value_at(index: int) -> Callable[[ReportRow], str | None]:
    def value(row: ReportRow) -> str | None:
        """What the row is of; null where that is not known."""
        return row.values[index]

    return value


def as_csv(result: ReportResult) -> str:
    """A header and a line a row, safe to open in a spreadsheet; an unknown number is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    table = result.table
    writer.writerow([*(dimension.value for dimension in table.by), *MEASURES])
    others = [] if table.others is None else [ReportRow(_name_of_others(table), table.others)]
    for row in (*table.rows, *others):
        counted_numbers = (getattr(row.totals, attribute) for attribute in MEASURES.values())
        writer.writerow([*(_defused(value or "") for value in row.values), *map(_exact, counted_numbers)])
    return buffer.getvalue()


def is_report(start: str, form: str) -> bool:
    """Whether a file that begins so is a report of this form, made by any version."""
    return _STARTS[form].match(start) is not None


def _exact(number: int | Decimal | None) -> str:
    if number is None:
        return ""
    return numbers.plain(number) if isinstance(number, Decimal) else str(number)


def _defused(cell: str) -> str:
    cell = f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
    return printable(cell)
