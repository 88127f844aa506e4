"""The report as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.money import plain
from orwatch.domain.usage import COLUMNS, MEASURES, Dimension, Totals
from orwatch.jobs.report.result import Change, Counters, Days, ReportResult, ReportRow, ReportTable
from orwatch.render import headline, numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.forecast import MONTH
from orwatch.render.json_text import Member, Merged, Shape
from orwatch.render.report_table import PlannedTable, name_of_others
from orwatch.render.tables import left_out_text
from orwatch.text import counted, printable

_HOW_TO_FETCH = "`orwatch sync` fetches what OpenRouter has."
_HOW_TO_ADD_A_KEY = "Add a key: `orwatch key add NAME`."

# How a file begins that is a report of a form.
_STARTS = {
    "svg": re.compile(r"<svg [^>]*>.{0,300}\.orwatch-", re.DOTALL),
    "json": re.compile(r'\{\s*"schema_version": \d+,\s*"since": "'),
    "text": re.compile(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d · "),
}

# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@as_view
def view(screen: Screen, result: ReportResult, *, for_screen: bool = False, is_exact: bool = False) -> Parts:
    """The tables.

    ``for_screen``: for a person at a terminal: what matters first, and numbers and names short, unless all
    is to be exact.
    """
    shown: list[RenderableType] = [Text(_title(result), style="bold")]
    if not result.has_models:
        pass  # the notes say which pattern matches nothing
    elif result.table.totals.cost_usd is None:
        advice = _HOW_TO_FETCH if result.has_keys else _HOW_TO_ADD_A_KEY
        shown += [Text(), Text(f"No usage stored for this period. {advice}")]
    else:
        shown += _story(result, screen.width, screen.ascii_only, for_screen, for_screen and not is_exact)
    return [*shown, *(Text(f"Note: {note}") for note in _notes(result))]


def _story(
    result: ReportResult, width: int, ascii_only: bool, for_screen: bool, is_compact: bool
) -> list[RenderableType]:
    """The tables, and what is to say of them."""
    tables = [PlannedTable(table, result.columns, is_compact) for table in (result.table, *result.top_tables)]
    shown: list[RenderableType] = []
    if for_screen:
        shown += headline.lines(result, width, ascii_only=ascii_only)
        tables = [*(replace(table, has_totals=False) for table in tables[1:]), tables[0]]
    for table in tables:
        shown.append(Text())
        if table.of is not result.table and not for_screen:
            shown += [Text(table.title, style="bold"), Text()]
        shown.append(table.made(width, ascii_only=ascii_only))
    if result.course is not None and not for_screen:
        shown.append(Text(headline.course_text(result.course)))
    rows = [table.others for table in tables if table.of.others_count and for_screen]
    others = f"Others: {' and '.join(rows)}." if rows else ""
    missing = " ".join(
        filter(None, [left_out_text([table.all_columns() for table in tables], width), others])
    )
    return [*shown, Text(missing, style="dim")] if missing else shown


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
        said.append(f"{numbers.usd(counters.of_month_usd)} in {counters.month:%Y-%m}")
    if counters.lifetime_usd is not None:
        said.append(f"{numbers.usd(counters.lifetime_usd)} in all")
    without = " (usage without a listed key is not in them)" if counters.leaves_out_usage else ""
    return (f"{known}; the keys' own counters say {' and '.join(said)}{without}", *result.notes)


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
    "tokens_cached": "How many of the tokens sent were read from a cache.",
    "cache_rate": "The cached part of the tokens sent, 0 to 1, of what reports both.",
    "tokens_reasoning": "How many of the tokens that came back were for reasoning.",
    "cost_per_request": "What a request cost, in US dollars, of those that are counted.",
    "cost_per_million_tokens": "What a million tokens cost, sent and come back alike, in US dollars.",
}
_LEFT_OUT = Shape(Days, Member("since", "The first day."), Member("until", "The last day."))
_CHANGE = Shape(
    Change,
    Member("since", "The first of the whole days of the window.", "days.since"),
    Member("until", "The last one; not today, which is going on.", "days.until"),
    Member("cost", "What these days cost, in US dollars.", "cost_usd"),
    Member("before_since", "The first of as many days before.", "before.since"),
    Member("before_until", "The last one.", "before.until"),
    Member("before_cost", "What those cost, in US dollars.", "before_usd"),
)
_COUNTERS = Shape(
    Counters,
    Member("month", "The month, such as 2026-11.", _month),
    Member("of_month", "What the counters say of that month, in US dollars.", "of_month_usd"),
    Member("lifetime", "What the counters say of all time, in US dollars.", "lifetime_usd"),
)


def as_json(result: ReportResult) -> str:
    """The rows and their totals, money exact."""
    return answer_shape(result.table.by, result.columns or ()).document(result)


def answer_shape(by: Sequence[Dimension], columns: Collection[str]) -> Shape:
    """The answer of a report that is broken down so: its rows have a member for each.

    ``columns``: beside the usual ones.
    """
    rates = {name: COLUMNS[name] for name in COLUMNS if name in columns and name not in MEASURES}
    totals = Shape(
        Totals,
        *(Member(name, _ABOUT[name], source) for name, source in MEASURES.items()),
        *(Member(name, _ABOUT[name], source, is_optional=True) for name, source in rates.items()),
    )
    others = Shape(
        ReportTable, Member("count", "How many rows were cut off.", "others_count"), Merged("others", totals)
    )
    values = (
        Member(dimension.value, _ABOUT[dimension], _value_at(index), is_optional=True)
        for index, dimension in enumerate(by)
    )
    return Shape(
        ReportResult,
        Member("since", "The first day."),
        Member("until", "The last day."),
        Member("by", "What the rows are broken down by, in order.", "table.by"),
        Member("rows", "The rows.", "table.rows", Shape(ReportRow, *values, Merged("totals", totals))),
        Member(
            "others",
            "What `--top` cut off, added up; null where it cut off nothing.",
            _table_with_others,
            others,
        ),
        Member("totals", "The sum of all rows, cut off ones too.", "table.totals", totals),
        Member("known_days", "Of how many days the totals are."),
        Member("left_out", "The days that cleanup has cut.", shape=_LEFT_OUT),
        Member(
            "counters",
            "What the keys' own counters say, where not all days are known; not usage without a listed key.",
            shape=_COUNTERS,
        ),
        Member("month", "Where this month will end, where all of it is shown.", "course", MONTH),
        Member("change", "Against the days before, where all of both is known.", shape=_CHANGE),
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
    columns = result.columns or tuple(MEASURES)
    writer.writerow([*(dimension.value for dimension in table.by), *columns])
    others = [] if table.others is None else [ReportRow(name_of_others(table), table.others)]
    for row in (*table.rows, *others):
        counted_numbers = (getattr(row.totals, COLUMNS[name]) for name in columns)
        writer.writerow([*(_defused(value or "") for value in row.values), *map(_exact, counted_numbers)])
    return buffer.getvalue()


def is_report(start: str, form: str, columns: Sequence[str] | None = None) -> bool:
    """Whether a file that begins so is a report of this form, made by any version.

    ``columns``: those of the report that is to replace it; a CSV may have these, too.
    """
    if form == "csv":
        numbers_of = "|".join(map(",".join, (MEASURES, columns or MEASURES)))
        return re.match(rf"([a-z]+,)+({numbers_of})\n", start) is not None
    return _STARTS[form].match(start) is not None


def _exact(number: int | Decimal | None) -> str:
    if number is None:
        return ""
    return plain(number) if isinstance(number, Decimal) else str(number)


def _defused(cell: str) -> str:
    cell = f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
    return printable(cell)
