"""Everything in one database copied to another, in one transaction of the target: all is there, or nothing.

The statements are plain SQL, and rows go to the driver as they are: exact, and the same for every database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import zip_longest
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, Text

from orwatch.errors import StoreUnusableError
from orwatch.store.engine import bulk
from orwatch.store.engine.backend import NoDatabaseError
from orwatch.store.engine.database import Store, open_as_it_is, open_store, peek_revision
from orwatch.store.schema import SCHEMA_REVISION, UNKNOWN_NAME_ID, ledger_state, metadata, models, providers

ROWS_PER_CHUNK = 10_000

# Parents before their children.
TABLES = tuple(metadata.sorted_tables)

# The tables that are not empty in a new database, with what holds of no row of it.
_FILLED_WHEN_NEW = {
    models: f"id <> {UNKNOWN_NAME_ID}",
    providers: f"id <> {UNKNOWN_NAME_ID}",
    ledger_state: "kept_from IS NOT NULL",
}

_Row: TypeAlias = tuple[Any, ...]
OnRows: TypeAlias = Callable[[int], None]


def open_target(url: str, now: datetime) -> Store:
    """Open the database to copy to, and create it where there is none.

    Raises ``StoreUnusableError`` for one that has a schema of another version; nothing is changed then.
    """
    try:
        revision = peek_revision(url)
    except NoDatabaseError:
        return open_store(url, now)
    target = open_as_it_is(url)
    if revision != SCHEMA_REVISION:
        target.close()
        raise StoreUnusableError(
            f"the database {target.location} has the schema {revision}, this version's is {SCHEMA_REVISION}. "
            "Name an empty one to copy to; nothing was changed."
        )
    return target


def require_empty(target: Connection, location: str) -> None:
    """Raise ``StoreUnusableError`` where a database, which is there, holds more than a new one."""
    for table in TABLES:
        condition = _FILLED_WHEN_NEW.get(table, "1 = 1")
        if target.exec_driver_sql(f"SELECT 1 FROM {table.name} WHERE {condition} LIMIT 1").first():
            raise StoreUnusableError(
                f"the database {location} holds data already. Name an empty one to copy to; "
                "nothing was changed."
            )


def row_counts(connection: Connection) -> dict[str, int]:
    """The rows of each table."""
    return {
        table.name: int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table.name}").scalar_one())
        for table in TABLES
    }


def copy_rows(source: Connection, target: Connection, on_rows: OnRows) -> None:
    """Copy everything into an empty database. ``on_rows`` is called with how many more rows are there."""
    for table in _FILLED_WHEN_NEW:
        target.exec_driver_sql(f"DELETE FROM {table.name}")
    for table in TABLES:
        for rows in _chunks(source, table):
            bulk.insert(target, table, rows)
            on_rows(len(rows))
        if target.dialect.name == "postgresql" and "id" in table.columns:
            _number_on(target, table)


def differing_tables(source: Connection, target: Connection, on_rows: OnRows) -> list[str]:
    """The tables that do not have the same rows in both."""
    different = []
    none_left: list[_Row] = []
    for table in TABLES:
        is_same = True
        chunks = _chunks(source, table), _chunks(target, table)
        for wanted, found in zip_longest(*chunks, fillvalue=none_left):
            is_same = is_same and wanted == found
            on_rows(len(wanted))
        if not is_same:
            different.append(table.name)
    return different


def _chunks(connection: Connection, table: Table) -> Iterator[list[_Row]]:
    """All rows as they are stored, in the order of the key."""
    names = ", ".join(column.name for column in table.columns)
    # A row that refers to one of its own table comes after all that do not.
    own = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    order = ", ".join([*(f"{name} IS NOT NULL" for name in own), *(each.name for each in table.primary_key)])
    found = connection.exec_driver_sql(
        f"SELECT {names} FROM {table.name} ORDER BY {order}",
        execution_options={"stream_results": True},
    )
    if any(isinstance(column.type, Text) for column in table.primary_key):
        # Each database has an order of its own for texts. Such tables are small.
        yield sorted(map(tuple, found))
        return
    for rows in found.partitions(ROWS_PER_CHUNK):
        yield list(map(tuple, rows))


def _number_on(connection: Connection, table: Table) -> None:
    """Let the server number new rows from the last one on, where it numbers those of this table."""
    connection.exec_driver_sql(
        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), GREATEST(MAX(id), 1), MAX(id) > 0) "
        f"FROM {table.name}"
    )
