"""What doctor reads: how the database is, and by key what is stored of which days. Nothing is changed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, Integer, func, inspect, select, type_coerce

from orwatch.errors import StoreUnusableError
from orwatch.models import ZERO, UsageSource, UsageSpan, add_exactly
from orwatch.store import usage_reads
from orwatch.store.backend import NoDatabaseError
from orwatch.store.database import (
    Store,
    checked_revision,
    open_as_it_is,
    open_backend,
    open_store,
    stored_revision,
)
from orwatch.store.schema import (
    SCHEMA_REVISION,
    from_day_number,
    metadata,
    to_day_number,
    usage_by_key,
    usage_days,
    usage_spans,
)
from orwatch.store.spans import list_spans
from orwatch.store.usage_reads import Grouping, UsageFilter

_PROBLEMS_TOLD = 3


class SchemaBehindError(StoreUnusableError):
    """The database has an older schema, which opening it would bring up to date."""


def open_existing(url: str, now: datetime) -> Store:
    """Open the database as ``open_store`` does, where that neither creates nor upgrades anything.

    Raises ``NoDatabaseError``, ``SchemaBehindError``, and what ``open_store`` does.
    """
    store = Store(open_backend(url), is_new=False)
    try:
        store.backend.look_for_one()
        revision = checked_revision(store)
    finally:
        store.close()
    if revision != SCHEMA_REVISION:
        raise SchemaBehindError(
            f"the database {store.location} has the schema {revision}, this version's is {SCHEMA_REVISION}."
        )
    return open_store(url, now)


def peek_revision(url: str) -> str:
    """The revision of the schema, whichever it is, by a look that changes nothing.

    Raises ``NoDatabaseError``, and ``StoreUnusableError`` where the tables are somebody else's.
    """
    with closing(open_as_it_is(url)) as store:
        store.backend.look_for_one()
        with store.read() as connection:
            revision = stored_revision(connection, store.location)
    if revision is None:
        raise NoDatabaseError(f"the database {store.location} was never finished: it has no tables.")
    return revision


@dataclass(frozen=True, slots=True)
class FileState:
    """What is wrong with the database, in sentences. ``is_readable``: it can be read all the same.

    ``dangling``: those of the problems that are rows which refer to nothing.
    """

    problems: tuple[str, ...] = ()
    is_readable: bool = True
    dangling: tuple[str, ...] = ()


def read_file_state(store: Store) -> FileState:
    """Look for torn pages, rows that refer to nothing, and tables and indices that are missing."""
    torn = store.backend.find_torn_pages()
    if torn:
        more = f"and {len(torn) - _PROBLEMS_TOLD} more"
        return FileState(
            (*torn[:_PROBLEMS_TOLD], *([more] if len(torn) > _PROBLEMS_TOLD else [])), is_readable=False
        )
    with store.read() as reading:
        tables, indices = _missing(reading)
    if tables:
        return FileState(tuple(f"the table {name} is missing" for name in tables), is_readable=False)
    missing = (f"the index {name} is missing" for name in indices)
    dangling = tuple(store.backend.find_dangling_rows())
    return FileState((*missing, *dangling), dangling=dangling)


def _missing(connection: Connection) -> tuple[list[str], list[str]]:
    """The tables and the indices that the schema has and the database has not."""
    found = inspect(connection)
    missing = metadata.tables.keys() - set(found.get_table_names())
    indices = [
        str(index.name)
        for table in metadata.sorted_tables
        if table.name not in missing
        for index in table.indexes
        if index.name not in {present["name"] for present in found.get_indexes(table.name)}
    ]
    return sorted(missing), sorted(indices)


@dataclass(frozen=True, slots=True)
class KeySum:
    """What a key cost. ``byok_usd``: as far as the sources tell it."""

    cost_usd: Decimal = ZERO
    byok_usd: Decimal = ZERO

    def __add__(self, other: KeySum) -> KeySum:
        return KeySum(add_exactly(self.cost_usd, other.cost_usd), add_exactly(self.byok_usd, other.byok_usd))

    def __sub__(self, other: KeySum) -> KeySum:
        return self + KeySum(-other.cost_usd, -other.byok_usd)


NOTHING = KeySum()


def sums_by_key(connection: Connection, since: date, until: date) -> dict[int, KeySum]:
    """What each key has cost on the days ``since``..``until`` of the ledger, without sums of several days."""
    return _by_key(usage_reads.sum_usage(connection, Grouping(by_key=True), UsageFilter(since, until)))


def month_sums_by_key(connection: Connection, since: date, until: date) -> dict[int, KeySum]:
    """What each key has cost in the months that begin within ``since``..``until``, as above.

    Days that cleanup has removed are in it.
    """
    return _by_key(usage_reads.sum_months(connection, Grouping(by_key=True), UsageFilter(since, until)))


def _by_key(sums: list[usage_reads.UsageSum]) -> dict[int, KeySum]:
    return {
        row.key_id: KeySum(row.totals.cost_usd or ZERO, row.totals.byok_cost_usd or ZERO)
        for row in sums
        if row.key_id is not None
    }


@dataclass(frozen=True, slots=True)
class ReadDay:
    """From where a day was read, and whether it can still change."""

    source: UsageSource
    is_settled: bool


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """Which days of a key are known. ``first_day`` None: not one; ``first_month``: of those cleanup cut."""

    first_day: date | None = None
    first_month: date | None = None
    days: dict[date, ReadDay] = field(default_factory=dict)
    spans: tuple[UsageSpan, ...] = ()


def histories(connection: Connection, since: date, until: date) -> dict[int, KeyHistory]:
    """By key, the days and spans of ``since``..``until``, and where its whole history begins."""
    first_days: dict[int, date] = {}
    for table, column in ((usage_by_key, "date"), (usage_days, "date"), (usage_spans, "first_day")):
        number = type_coerce(func.min(table.c[column]), Integer)
        for key_id, first in connection.execute(
            select(table.c.api_key_id, number).group_by(table.c.api_key_id)
        ):
            day = from_day_number(first)
            first_days[key_id] = min(day, first_days.get(key_id, day))
    first_months: dict[int, date] = {}
    for month, key_ids in usage_reads.removed_months(connection, UsageFilter(date.min, until)).items():
        for key_id in key_ids:
            first_months[key_id] = min(month, first_months.get(key_id, month))
    days = _read_days(connection, since, until)
    spans = _spans(connection, since, until)
    return {
        key_id: KeyHistory(
            first_days.get(key_id), first_months.get(key_id), days.get(key_id, {}), spans.get(key_id, ())
        )
        for key_id in {*first_days, *first_months}
    }


def _read_days(connection: Connection, since: date, until: date) -> dict[int, dict[date, ReadDay]]:
    query = select(usage_days).where(usage_days.c.date.between(to_day_number(since), to_day_number(until)))
    found: dict[int, dict[date, ReadDay]] = {}
    for row in connection.execute(query):
        day = ReadDay(UsageSource(row.source), bool(row.is_settled))
        found.setdefault(row.api_key_id, {})[from_day_number(row.date)] = day
    return found


def _spans(connection: Connection, since: date, until: date) -> dict[int, tuple[UsageSpan, ...]]:
    found: dict[int, tuple[UsageSpan, ...]] = {}
    for each in list_spans(connection, since, until):
        found[each.key_id] = (*found.get(each.key_id, ()), each.span)
    return found
