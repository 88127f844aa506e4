"""The report as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.usage import Dimension, Totals
from orwatch.jobs.report.result import ReportResult, ReportRow, ReportTable
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.tables import Column, fit, make_table
from orwatch.text import printable

_HEADERS = {
    Dimension.DAY: "Day",
    Dimension.WEEK: "Week from",
    Dimension.MONTH: "Month",
    Dimension.MODEL: "Model",
    Dimension.PROVIDER: "Provider",
    Dimension.KEY: "Key",
}
_LONGEST_BAR = 24
_SHORTEST_BAR = 4

# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def view(result: ReportResult) -> View:
    """The tables for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        shown: list[RenderableType] = [Text(_title(result), style="bold"), Text()]
        if result.table.totals.cost_usd is None:
            shown.append(Text("Nothing is known of this time. `orwatch sync` fetches what OpenRouter knows."))
            tables: tuple[ReportTable, ...] = ()
        else:
            tables = (result.table, *result.beneath)
        for table in tables:
            if table is not result.table:
                shown += [Text(), Text(f"Top {table.by[0].value}s", style="bold"), Text()]
            shown.append(_table(table, width, ascii_only, with_bar=len(table.by) == 1))
        return [*shown, *(Text(f"Note: {note}") for note in result.notes)]

    return parts


def _title(result: ReportResult) -> str:
    days = (result.until - result.since).days + 1
    return f"{result.since} to {result.until} · {numbers.count(days)} day{'s' if days > 1 else ''} (UTC)"


def _table(table: ReportTable, width: int, ascii_only: bool, *, with_bar: bool) -> RenderableType:
    rows = [*table.rows]
    if table.others is not None:
        others = (
            f"{table.others_count} other{'' if table.others_count == 1 else 's'}",
            *[""] * (len(table.by) - 1),
        )
        rows.append(ReportRow(others, table.others))
    is_sum_of_others = [index >= len(table.rows) for index in range(len(rows))]
    columns = [*_value_columns(table, rows), *_number_columns(table, rows)]
    if with_bar:
        columns += _bar_column(columns, table, rows, width, ascii_only)
    return make_table(columns, width, row_styles=["dim" if others else "" for others in is_sum_of_others])


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
    total = table.totals
    all_totals = [row.totals for row in rows]

    def column(header: str, cells: list[str], footer: str, dispensable: int = 0) -> Column:
        return Column(header, cells, footer, dispensable=dispensable)

    byok = []
    if total.byok_cost_usd:
        # An estimate of what other bills will say: beside the cost, never in it.
        byok = [
            column(
                "BYOK", [numbers.usd(t.byok_cost_usd) for t in all_totals], numbers.usd(total.byok_cost_usd)
            )
        ]
    return [
        column("Requests", [numbers.count(t.requests) for t in all_totals], numbers.count(total.requests), 1),
        column(
            "Tokens in",
            [numbers.count(t.tokens_input) for t in all_totals],
            numbers.count(total.tokens_input),
            3,
        ),
        column(
            "Tokens out",
            [numbers.count(t.tokens_output) for t in all_totals],
            numbers.count(total.tokens_output),
            2,
        ),
        column("Cost", [numbers.usd(t.cost_usd) for t in all_totals], numbers.usd(total.cost_usd)),
        column(
            "$/req",
            [numbers.usd(t.cost_per_request_usd, 4) for t in all_totals],
            numbers.usd(total.cost_per_request_usd, 4),
            5,
        ),
        *byok,
        column("Share", [numbers.share(t.cost_usd, total.cost_usd) for t in all_totals], _whole(total), 4),
    ]


def _whole(total: Totals) -> str:
    return numbers.share(total.cost_usd, total.cost_usd)


def _bar_column(
    columns: Sequence[Column], table: ReportTable, rows: Sequence[ReportRow], width: int, ascii_only: bool
) -> list[Column]:
    """A bar for the cost in the room that is left, where that is enough to tell anything."""
    shown, widths = fit(columns, width)
    room = min(width - sum(widths) - 2 * len(widths), _LONGEST_BAR)
    costs = [row.totals.cost_usd for row in table.rows]
    largest = max((cost for cost in costs if cost is not None), default=Decimal(0))
    if room < _SHORTEST_BAR or len(shown) < len(columns) or not largest:
        return []
    bars = [numbers.bar(cost, largest, room, ascii_only=ascii_only) for cost in costs]
    bars += [""] * (len(rows) - len(bars))
    return [Column("", [bar.ljust(room) for bar in bars], is_word=True, dispensable=9, style="cyan")]


def as_json(result: ReportResult) -> str:
    """``{"schema_version", "since", "until", "by", "rows", "totals", "notes"}``, money exact."""
    return json_text.document(
        {
            "since": result.since,
            "until": result.until,
            "by": [dimension.value for dimension in result.table.by],
            "rows": [
                {**_named_values(result.table, row), **_members(row.totals)} for row in result.table.rows
            ],
            "totals": _members(result.table.totals),
            "notes": list(result.notes),
        }
    )


def _named_values(table: ReportTable, row: ReportRow) -> dict[str, JsonValue]:
    return {dimension.value: value for dimension, value in zip(table.by, row.values, strict=True)}


def _members(totals: Totals) -> dict[str, JsonValue]:
    return {
        "requests": totals.requests,
        "tokens_input": totals.tokens_input,
        "tokens_output": totals.tokens_output,
        "cost": totals.cost_usd,
        "byok_cost": totals.byok_cost_usd,
    }


def as_csv(result: ReportResult) -> str:
    """A header and a line a row, safe to open in a spreadsheet; an unknown number is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = ("requests", "tokens_input", "tokens_output", "cost", "byok_cost")
    writer.writerow([*(dimension.value for dimension in result.table.by), *names])
    for row in result.table.rows:
        totals = row.totals
        writer.writerow(
            [
                *(_defused(value or "") for value in row.values),
                totals.requests,
                totals.tokens_input,
                totals.tokens_output,
                _exact(totals.cost_usd),
                _exact(totals.byok_cost_usd),
            ]
        )
    return buffer.getvalue()


def _exact(amount: Decimal | None) -> str:
    return "" if amount is None else numbers.plain(amount)


def _defused(cell: str) -> str:
    cell = f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
    return printable(cell)
