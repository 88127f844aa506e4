"""Report: the ledger and the monthly totals, broken down as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache, partial
from itertools import chain

from orwatch.domain.days import ONE_DAY, days_between, month_end, month_start, next_month
from orwatch.domain.keys import StoredKey
from orwatch.domain.usage import MEASURES, NO_USE, NO_USE_NOR_BYOK, Dimension, Totals, UsageSpan
from orwatch.errors import UsageError
from orwatch.jobs.key.selection import key_labels, select_keys
from orwatch.jobs.report import models
from orwatch.jobs.report.columns import need_details
from orwatch.jobs.report.coverage import count_known_days, left_out_days, read_counters
from orwatch.jobs.report.forecast import month_forecast
from orwatch.jobs.report.headline import read_headline
from orwatch.jobs.report.result import Change, Days, MonthCourse, ReportResult, ReportRow, ReportTable
from orwatch.jobs.report.table import fold, group_rows, period_name
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.read import Grouping, UsageFilter, UsageSum
from orwatch.store.ledger.spans import KeySpan, list_spans

_TOP_TABLES = ((Dimension.MODEL,), (Dimension.KEY,))
_TOP_ROWS = 5


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What to show. ``since`` None: from the first day of which anything is known.

    ``by`` empty: by day, with the top models and keys below. ``now``: for where the running month will be;
    None: it is not looked for. ``with_headline``: the days' costs and the change against those before, too.
    """

    since: date | None
    until: date
    by: tuple[Dimension, ...] = ()
    key_names: tuple[str, ...] = ()
    model_globs: tuple[str, ...] = ()
    top: int | None = None
    sort: str | None = None
    now: datetime | None = None
    with_headline: bool = False
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Names:
    keys: dict[int, str]
    models: dict[int, str | None]
    providers: dict[int, str | None]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the tables are made from. ``spans``: the sums of several days that lie within the window."""

    connection: Connection
    wanted: UsageFilter
    names: _Names
    spans: Sequence[KeySpan]
    with_details: bool


def run(store: Store, request: ReportRequest) -> ReportResult:
    """Read everything in one transaction, so that all tables show the same moment.

    Raises ``UsageError`` for a key that does not exist, a column that is not shown, or an empty window.
    """
    by = request.by or (Dimension.DAY,)
    columns = (*(dimension.value for dimension in by), *(request.columns or MEASURES))
    if request.sort is not None and request.sort not in columns:
        raise UsageError(f"cannot sort by {request.sort!r}: the columns are {', '.join(columns)}.")
    with store.read() as connection:
        since = request.since or usage_reads.first_known_day(connection) or request.until
        if since > request.until:
            raise UsageError(f"the report would end ({request.until}) before it begins ({since}).")
        keys = stored_keys.list_rows(connection)
        names = _Names(
            key_labels(keys), usage_reads.model_names(connection), usage_reads.provider_names(connection)
        )
        wanted = _filter(request, since, keys, names)
        watermark = ledger.kept_from(connection)
        found_spans = _find_spans(connection, wanted)
        spans = [each for each in found_spans if _is_inside(each.span, wanted)]
        reading = _Reading(connection, wanted, names, spans, need_details(request.columns))
        months, left_out = _months(connection, by, wanted, watermark)
        table = group_rows(by, _rows(reading, by, months), sort=request.sort, top=request.top)
        if table.totals.cost_usd is None and usage_reads.covered_days(connection, wanted):
            has_byok = usage_reads.covered_days(connection, wanted, with_byok=True)
            table = replace(table, totals=NO_USE_NOR_BYOK if has_byok else NO_USE)
        top_tables = []
        if not request.by:
            # Without months: the top tables must add up to no more than the first.
            top_tables = [
                group_rows(each, _ledger_rows(reading, each), top=_TOP_ROWS) for each in _TOP_TABLES
            ]
        known_days = count_known_days(connection, wanted, keys, spans, months, watermark)
        course = _course(connection, wanted, request.now)
        change: Change | None = None
        day_costs: tuple[Decimal | None, ...] = ()
        if request.with_headline and request.now is not None:
            change, day_costs = read_headline(connection, wanted, keys, request.now.date())
    notes: tuple[str, ...] = ()
    if left_out:
        how = "--by month shows them" if _needs_days(by) else "only whole months of them can be shown"
        notes = (f"days before {watermark} are kept as monthly totals: {how}",)
    model_names = [name for name in names.models.values() if name is not None]
    notes = (*notes, *models.notes_on(request.model_globs, model_names))
    notes = (*notes, *_notes_on_spans(found_spans, wanted, names), *_notes_on_accounts(keys, table))
    result = ReportResult(
        since,
        request.until,
        table,
        tuple(part for part in top_tables if part.rows),
        notes,
        has_keys=any(not key.is_removed and not key.is_replaced for key in keys),
        known_days=known_days,
        left_out=left_out,
        has_models=wanted.model_ids != (),
        course=course,
        change=change,
        day_costs=day_costs,
        columns=request.columns,
    )
    # The counters know nothing of models.
    if known_days < result.days and wanted.model_ids is None:
        result = replace(result, counters=read_counters(keys, wanted.key_ids))
    return result


def _course(connection: Connection, wanted: UsageFilter, now: datetime | None) -> MonthCourse | None:
    """Where the running month will be, if all of it so far is wanted."""
    if now is None or wanted.until != now.date() or wanted.since > month_start(wanted.until):
        return None
    return month_forecast(connection, now, wanted)


def _filter(request: ReportRequest, since: date, keys: Sequence[StoredKey], names: _Names) -> UsageFilter:
    key_ids = None
    if request.key_names:
        key_ids = tuple(key.id for key in select_keys(keys, request.key_names))
    model_ids = None
    if request.model_globs:
        model_ids = tuple(models.matching(names.models, request.model_globs))
    return UsageFilter(since, request.until, key_ids, model_ids)


def _needs_days(by: tuple[Dimension, ...]) -> bool:
    return Dimension.DAY in by or Dimension.WEEK in by


def _months(
    connection: Connection, by: tuple[Dimension, ...], wanted: UsageFilter, watermark: date | None
) -> tuple[list[date], tuple[Days, ...]]:
    """The months of which cleanup has removed days that count as a whole, and the days that cannot count."""
    if watermark is None or wanted.since >= watermark:
        return [], ()
    touched = usage_reads.removed_months(connection, replace(wanted, since=month_start(wanted.since)))
    shown: list[date] = []
    if not _needs_days(by):
        shown = [month for month in touched if _is_whole(connection, month, wanted, watermark)]
    return shown, left_out_days(touched, shown, watermark, wanted)


def _rows(reading: _Reading, by: tuple[Dimension, ...], shown: Sequence[date]) -> list[ReportRow]:
    """The rows of a table, with the monthly totals of the months ``shown``."""
    connection, wanted, grouping = reading.connection, reading.wanted, _grouping(by, reading.with_details)
    if shown:
        months = replace(wanted, since=min(shown), until=max(shown))
        sums = [
            *usage_reads.sum_months(connection, grouping, months),
            *usage_reads.sum_usage(connection, grouping, replace(wanted, since=next_month(max(shown)))),
        ]
        rows = _folded(reading, sums, by)
    else:
        rows = _ledger_rows(reading, by)
    return _with_every_period(reading, by[0], rows) if len(by) == 1 and by[0].is_time else rows


def _is_whole(connection: Connection, month: date, wanted: UsageFilter, watermark: date) -> bool:
    """Whether all that is stored of a month, or was before cleanup, lies in the window."""
    _, last = usage_reads.extent_days(connection)
    last_removed = watermark - ONE_DAY
    end = last_removed if last is None else max(last, last_removed)
    return wanted.since <= month and min(month_end(month), end) <= wanted.until


def _ledger_rows(reading: _Reading, by: tuple[Dimension, ...]) -> list[ReportRow]:
    grouping = _grouping(by, reading.with_details)
    return _folded(reading, usage_reads.sum_usage(reading.connection, grouping, reading.wanted), by)


def _folded(reading: _Reading, sums: Iterable[UsageSum], by: tuple[Dimension, ...]) -> list[ReportRow]:
    readers = [_reader(dimension, reading.names) for dimension in by]
    of_sums = ((tuple(read(row) for read in readers), row.totals) for row in sums)
    of_spans = (
        (
            tuple(_span_value(dimension, each, reading.names) for dimension in by),
            Totals(cost_usd=each.span.cost_usd, byok_cost_usd=each.span.byok_cost_usd),
        )
        for each in reading.spans
    )
    return fold(chain(of_sums, of_spans))


def _find_spans(connection: Connection, wanted: UsageFilter) -> list[KeySpan]:
    """The spans that the report touches; their models are unknown, so that a report of models has none."""
    if wanted.model_ids is not None:
        return []
    return list_spans(connection, wanted.since, wanted.until, wanted.key_ids)


def _is_inside(span: UsageSpan, wanted: UsageFilter) -> bool:
    return wanted.since <= span.first_day and span.last_day <= wanted.until


def _span_value(dimension: Dimension, each: KeySpan, names: _Names) -> str | None:
    if dimension.is_time:
        first = period_name(dimension, each.span.first_day)
        last = period_name(dimension, each.span.last_day)
        return first if first == last else f"{first}/{last}"
    return names.keys[each.key_id] if dimension is Dimension.KEY else None


def _notes_on_spans(spans: Sequence[KeySpan], wanted: UsageFilter, names: _Names) -> tuple[str, ...]:
    """What to say of spans that begin before the report or end after it."""
    return tuple(
        f"{names.keys[each.key_id]} spent ${each.span.cost_usd:f} from {each.span.first_day} to "
        f"{each.span.last_day}, which is known only as a sum and not part of this report"
        for each in spans
        if not _is_inside(each.span, wanted)
    )


def _notes_on_accounts(keys: Sequence[StoredKey], table: ReportTable) -> tuple[str, ...]:
    """What a management key's name stands for in a table by key: it cannot spend anything itself."""
    if Dimension.KEY not in table.by:
        return ()
    place = table.by.index(Dimension.KEY)
    shown = {row.values[place] for row in table.rows}
    labels = key_labels(keys)
    owners = dict.fromkeys(labels[key.id] for key in keys if key.is_management and labels[key.id] in shown)
    return tuple(
        f"{label}: usage of its account without a listed key (deleted keys, the chat room)"
        for label in owners
    )


def _grouping(by: tuple[Dimension, ...], with_details: bool) -> Grouping:
    return Grouping(
        by_day=_needs_days(by),
        by_month=Dimension.MONTH in by,
        by_key=Dimension.KEY in by,
        by_model=Dimension.MODEL in by,
        by_provider=Dimension.PROVIDER in by,
        with_details=with_details,
    )


def _reader(dimension: Dimension, names: _Names) -> Callable[[UsageSum], str | None]:
    """What reads a row's value of a dimension: found once, since there may be many rows."""
    if dimension.is_time:
        name_of = cache(partial(period_name, dimension))
        return lambda row: None if row.day is None else name_of(row.day)
    if dimension is Dimension.KEY:
        return lambda row: None if row.key_id is None else names.keys[row.key_id]
    if dimension is Dimension.MODEL:
        return lambda row: None if row.model_id is None else names.models[row.model_id]
    return lambda row: None if row.provider_id is None else names.providers[row.provider_id]


def _with_every_period(reading: _Reading, dimension: Dimension, rows: Sequence[ReportRow]) -> list[ReportRow]:
    """The rows and those between them: zero where a sync looked and found no use, unknown where none did."""
    wanted, known = reading.wanted, {row.values[0]: row for row in rows}
    periods = dict.fromkeys(period_name(dimension, day) for day in days_between(wanted.since, wanted.until))
    found: dict[str | None, Totals] = {}
    if periods.keys() - known.keys():
        for with_byok, no_use in ((False, NO_USE), (True, NO_USE_NOR_BYOK)):
            days = usage_reads.covered_days(reading.connection, wanted, with_byok=with_byok)
            found.update(dict.fromkeys((period_name(dimension, day) for day in days), no_use))
    in_spans = {
        period_name(dimension, day)
        for each in reading.spans
        for day in days_between(each.span.first_day, each.span.last_day)
    }
    of_several = [row for row in rows if row.values[0] not in periods]
    return of_several + [
        known.get(period) or ReportRow((period,), found.get(period, Totals()))
        for period in periods
        # What was spent there stands in the row of the span.
        if period in known or period not in in_spans
    ]
