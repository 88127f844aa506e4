"""Consistency checks of the database: its file and tables, multi-day rows, and names. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, inspect, select, union

from orwatch.domain.usage import UsageSpan
from orwatch.store.engine.backend import own_tables
from orwatch.store.engine.database import Store
from orwatch.store.ledger.spans import list_spans
from orwatch.store.schema import (
    UNKNOWN_NAME_ID,
    api_keys,
    metadata,
    models,
    providers,
    usage_by_model,
    usage_months,
    usage_stats,
)
from orwatch.text import without_secrets

_PROBLEMS_SHOWN = 3


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
    torn = store.backend.integrity_errors()
    if torn:
        more = f"and {len(torn) - _PROBLEMS_SHOWN} more"
        return FileState(
            (*torn[:_PROBLEMS_SHOWN], *([more] if len(torn) > _PROBLEMS_SHOWN else [])), is_readable=False
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
    found, schema = inspect(connection), connection.dialect.default_schema_name
    missing = metadata.tables.keys() - own_tables(connection)
    indices = [
        str(index.name)
        for table in metadata.sorted_tables
        if table.name not in missing
        for index in table.indexes
        if index.name not in {present["name"] for present in found.get_indexes(table.name, schema)}
    ]
    return sorted(missing), sorted(indices)


def wrong_spans(connection: Connection) -> list[str]:
    """What is wrong with the sums of several days, in sentences."""
    query = select(api_keys.c.id, api_keys.c.name)
    names = {row.id: without_secrets(row.name) for row in connection.execute(query)}
    problems = []
    latest: dict[int, UsageSpan] = {}
    for each in list_spans(connection, date.min, date.max):
        span, before = each.span, latest.get(each.key_id)
        named = f"the sum of {span.first_day} to {span.last_day} of {names.get(each.key_id, each.key_id)}"
        if span.last_day < span.first_day:
            problems.append(f"{named} ends before it begins")
        elif before is not None and span.first_day <= before.last_day:
            problems.append(f"{named} overlaps that of {before.first_day} to {before.last_day}")
        if span.cost_usd < 0:
            problems.append(f"{named} is negative")
        latest[each.key_id] = span
    return problems


@dataclass(frozen=True, slots=True)
class NameState:
    """The look-up tables: those without the row for "not reported", and how many names nothing refers to."""

    incomplete: tuple[str, ...]
    unused_count: int


def read_name_state(connection: Connection) -> NameState:
    """Look at the names of models and providers."""
    incomplete, unused = [], 0
    for table, column in ((models, "model_id"), (providers, "provider_id")):
        row = connection.execute(select(table.c.name).where(table.c.id == UNKNOWN_NAME_ID)).first()
        if row is None or row[0] is not None:
            incomplete.append(table.name)
        used = union(*(select(each.c[column]) for each in (usage_by_model, usage_months)))
        query = select(table.c.id).where(table.c.id != UNKNOWN_NAME_ID, table.c.id.not_in(used))
        unbooked = set(connection.execute(query).scalars())
        if unbooked:
            # The totals may be wrong. The whole ledger is read only for names that they do not have.
            used_all_the_same = select(usage_stats.c[column]).where(usage_stats.c[column].in_(unbooked))
            unbooked -= set(connection.execute(used_all_the_same.distinct()).scalars())
        unused += len(unbooked)
    return NameState(tuple(incomplete), unused)
