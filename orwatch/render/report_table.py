"""One table of a report: its columns, how they are shown, and which of them have room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from rich.table import Table

from orwatch.domain.usage import COLUMNS, Dimension, Totals
from orwatch.jobs.report.result import ReportRow, ReportTable
from orwatch.render import numbers
from orwatch.render.tables import Column, bare_table, fit
from orwatch.text import counted, printable

_HEADERS = {
    Dimension.DAY: "Day",
    Dimension.WEEK: "Week from",
    Dimension.MONTH: "Month",
    Dimension.MODEL: "Model",
    Dimension.PROVIDER: "Provider",
    Dimension.KEY: "Key",
}
# The columns of numbers: header, how it is shown, and when it may be left out.
_NUMBERS: Mapping[str, tuple[str, Callable[[Any], str], int]] = {
    "requests": ("Requests", numbers.count, 1),
    "tokens_input": ("Tokens in", numbers.count, 3),
    "tokens_cached": ("Cached", numbers.count, 8),
    "cache_rate": ("Cache rate", partial(numbers.share, whole=Decimal(1)), 7),
    "tokens_output": ("Tokens out", numbers.count, 2),
    "tokens_reasoning": ("Reasoning", numbers.count, 5),
    "cost": ("Cost", numbers.usd, 0),
    "cost_per_request": ("$/req", partial(numbers.usd, decimals=4), 6),
    "cost_per_million_tokens": ("$/M tokens", numbers.usd, 5),
    "byok_cost": ("BYOK", numbers.usd, 0),
}
_USUAL = ("requests", "tokens_input", "tokens_output", "cost", "cost_per_request", "byok_cost")
# The share and the bar of the cost may be left out, too; before columns that were asked for.
_SHARE_GOES, _UNASKED_SHARE_GOES = 5, 9
_BAR_GOES, _UNASKED_BAR_GOES = 4, 10
_SHORTEST_BAR, _LONGEST_BAR = 8, 24


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table and how it is to be shown.

    ``columns``: of numbers; None: the usual ones, and BYOK only where there is any.
    ``is_compact``: with short numbers and names. ``has_totals``: with a last row of totals, and its header
    is that of its column; without, its title is.
    """

    of: ReportTable
    columns: Sequence[str] | None = None
    is_compact: bool = False
    has_totals: bool = True

    @property
    def title(self) -> str:
        """``Top models``."""
        return f"Top {self.of.by[0].value}s"

    @property
    def others(self) -> str:
        """``3 models``: what the row of the others stands for."""
        noun = self.of.by[0].value if len(self.of.by) == 1 else "row"
        return counted(self.of.others_count, noun)

    def made(self, width: int, *, ascii_only: bool) -> Table:
        """The table, as wide as it may be."""
        columns = self.all_columns()
        shown, widths = fit(columns, width)
        if not shown[-1].header:
            spare = width - sum(widths) - 2 * (len(widths) - 1)
            columns[-1] = self._bar(min(_SHORTEST_BAR + spare, _LONGEST_BAR), ascii_only=ascii_only)
        styles = ["dim" if index >= len(self.of.rows) else "" for index in range(len(self._rows()))]
        return bare_table(columns, width, row_styles=styles)

    def all_columns(self) -> list[Column]:
        """Those that are shown where there is room."""
        rows = self._rows()
        columns = [*self._value_columns(rows), *self._number_columns([row.totals for row in rows])]
        has_bar = len(self.of.by) == 1 and any(row.totals.cost_usd for row in self.of.rows)
        return [*columns, self._bar(_SHORTEST_BAR)] if has_bar else columns

    def _rows(self) -> list[ReportRow]:
        others = self.of.others
        return [*self.of.rows, *([] if others is None else [ReportRow(name_of_others(self.of), others)])]

    def _value_columns(self, rows: Sequence[ReportRow]) -> list[Column]:
        columns = []
        for index, dimension in enumerate(self.of.by):
            shorten = self.is_compact and dimension is Dimension.MODEL
            values = [row.values[index] for row in rows]
            short = short_names(value for value in values if value) if shorten else {}
            columns.append(
                Column(
                    _HEADERS[dimension] if self.has_totals else self.title,
                    [numbers.UNKNOWN if value is None else short.get(value, value) for value in values],
                    footer="Total" if index == 0 and self.has_totals else "",
                    is_name=not dimension.is_time,
                    is_word=dimension.is_time,
                )
            )
        return columns

    def _number_columns(self, of_rows: Sequence[Totals]) -> list[Column]:
        total, columns = self.of.totals, []
        for name in self.columns or _USUAL:
            header, text, dispensable = _NUMBERS[name]
            attribute = COLUMNS[name]
            # An estimate of what other bills will say: beside the cost, never in it.
            if name == "byok_cost" and self.columns is None and not total.byok_cost_usd:
                continue
            if self.is_compact and text is numbers.count:
                text = numbers.compact_count
            cells = [text(getattr(totals, attribute)) for totals in of_rows]
            columns.append(Column(header, cells, text(getattr(total, attribute)), dispensable=dispensable))
        if self.columns is None or "cost" in self.columns:
            shares = [numbers.share(totals.cost_usd, total.cost_usd) for totals in of_rows]
            goes = _SHARE_GOES if self.columns is None else _UNASKED_SHARE_GOES
            whole = numbers.share(total.cost_usd, total.cost_usd)
            columns.append(Column("Share", shares, whole, dispensable=goes))
        return columns if self.has_totals else [replace(column, footer="") for column in columns]

    def _bar(self, width: int, *, ascii_only: bool = False) -> Column:
        """The last column, without a header: a bar for each row's cost."""
        costs = [row.totals.cost_usd for row in self.of.rows]
        largest = max(cost for cost in costs if cost is not None)
        bars = [numbers.bar(cost, largest, width, ascii_only=ascii_only) for cost in costs]
        bars += [""] * (len(self._rows()) - len(bars))
        goes = _BAR_GOES if self.columns is None else _UNASKED_BAR_GOES
        return Column("", [bar.ljust(width) for bar in bars], is_word=True, dispensable=goes, style="cyan")


def name_of_others(table: ReportTable) -> tuple[str, ...]:
    """The values of the row that stands for all that were cut off."""
    return (counted(table.others_count, "other"), *[""] * (len(table.by) - 1))


def short_names(names: Iterable[str]) -> Mapping[str, str]:
    """Of ``maker/model`` the model alone, where no other name looks like it."""
    distinct = set(names)
    short = {name: name.partition("/")[2] or name for name in distinct}
    looks = Counter(map(printable, [*short.values(), *(distinct - set(short.values()))]))
    return {name: short[name] if looks[printable(short[name])] == 1 else name for name in distinct}
