"""Everything in one database copied to another: by table, in key order, in transactions of bounded size.

What is in the target already is left as it is, so that a copy that was killed goes on where it stopped; what
was changed in the source since is changed in the target. Until the end the target bears a mark in the place
of its schema's revision, so that nothing takes it for whole. The statements are plain SQL with numbers in
them and rows go to the driver as they are: exact, and the same for every database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, Table, TypeDecorator
from sqlalchemy.types import TypeEngine

from orwatch.errors import StoreUnusableError
from orwatch.store.engine.backend import NoDatabaseError
from orwatch.store.engine.database import COPY_MARK, Store, open_as_it_is, open_store, peek_revision
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.schema import (
    SCHEMA_REVISION,
    UNKNOWN_NAME_ID,
    api_keys,
    ledger_state,
    metadata,
    models,
    providers,
)

if TYPE_CHECKING:
    import psycopg


ROWS_PER_CHUNK = 10_000

# Parents before their children.
TABLES = tuple(metadata.sorted_tables)

# Those that others refer to, with their columns that must not hold anything twice: a row is changed where it
# is, and goes last. They are small.
_REFERENCED: dict[Table, tuple[str, ...]] = {
    api_keys: ("name", "key_hash"),
    models: ("name",),
    providers: ("name",),
}

# Sums of larger numbers than a database adds up come in two halves.
_HALF = 1_000_000

_Row: TypeAlias = tuple[Any, ...]
OnRows: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The rows of the source that meet a condition on the key; the conditions of a table leave no key out."""

    condition: str
    rows: list[_Row]


def open_target(url: str, now: datetime) -> Store:
    """Open the database to copy to, and create it where there is none.

    Raises ``StoreUnusableError`` for one that has a schema of another version; nothing is changed then.
    """
    try:
        revision = peek_revision(url)
    except NoDatabaseError:
        return open_store(url, now)
    target = open_as_it_is(url)
    if revision != SCHEMA_REVISION and not revision.startswith(COPY_MARK):
        target.close()
        raise StoreUnusableError(
            f"the database {target.location} has the schema {revision}, this version's is {SCHEMA_REVISION}. "
            "Name an empty one to copy to; nothing was changed."
        )
    return target


def begin(source: Connection, location: str, target: Store) -> bool:
    """Mark the target as an unfinished copy of this source; whether it was one already.

    ``location``: where the source is. Raises ``StoreUnusableError`` when the target holds anything else.
    """
    mark = _mark(source, location)
    with target.write() as writing:
        revision = str(_scalar(writing, "SELECT version_num FROM alembic_version"))
        if revision == mark:
            return True
        if revision.startswith(COPY_MARK):
            raise StoreUnusableError(
                f"the database {target.location} is an unfinished copy of another database, or by another "
                "version of orwatch. Delete it, or name an empty one to copy to; nothing was changed."
            )
        if not _is_empty(writing):
            raise StoreUnusableError(
                f"the database {target.location} holds data already: a finished copy, or something else. "
                "Name an empty one to copy to; nothing was changed."
            )
        _set_revision(writing, mark)
    return False


def _mark(source: Connection, location: str) -> str:
    created_at = _scalar(source, f"SELECT created_at FROM {ledger_state.name}")
    identity = sha256(f"{location} {created_at}".encode()).hexdigest()[:16]
    return f"{COPY_MARK}{SCHEMA_REVISION}-{identity}"


def _set_revision(connection: Connection, revision: str) -> None:
    _execute(connection, f"UPDATE alembic_version SET version_num = '{revision}'")


def _is_empty(connection: Connection) -> bool:
    """Whether there is nothing but what the creation of a database leaves."""
    return not any(
        _scalar(connection, f"SELECT 1 FROM {table.name} {_where(_not_created_with(table))} LIMIT 1")
        for table in TABLES
    )


def _not_created_with(table: Table) -> str:
    if table is ledger_state:
        return "kept_from IS NOT NULL"
    return f"id <> {UNKNOWN_NAME_ID}" if table in {models, providers} else ""


def row_counts(connection: Connection) -> dict[str, int]:
    """The rows of each table."""
    return {table.name: int(_scalar(connection, f"SELECT COUNT(*) FROM {table.name}")) for table in TABLES}


def copy_rows(source: Connection, target: Store, on_rows: OnRows) -> dict[str, int]:
    """Make the target hold what the source holds; how many rows of each table had to be written.

    ``on_rows`` is told, each time, how many more rows are there.
    """
    written = {}
    for table in TABLES:
        written[table.name] = 0
        for chunk in _chunks(source, table):
            replace = _replace_referenced if table in _REFERENCED else _replace
            written[table.name] += target.run_write(partial(replace, table=table, chunk=chunk))
            on_rows(len(chunk.rows))
    with target.write() as writing:
        for table in _REFERENCED:
            known = {row[0] for row in _read(source, table)}
            gone = [row[0] for row in _read(writing, table) if row[0] not in known]
            _delete_ids(writing, table, gone)
    return written


def _chunks(source: Connection, table: Table) -> Iterator[_Chunk]:
    """A table of the source, in the order of its key."""
    if table in _REFERENCED or not _is_ordered(table):
        yield _Chunk("", _read(source, table))
        return
    key = ", ".join(column.name for column in table.primary_key)
    after = ""
    while True:
        rows = _read(source, table, after, ROWS_PER_CHUNK)
        if len(rows) < ROWS_PER_CHUNK:
            yield _Chunk(after, rows)
            return
        last = ", ".join(str(int(number)) for number in rows[-1][: len(table.primary_key)])
        until = f"({key}) <= ({last})"
        yield _Chunk(f"{after} AND {until}" if after else until, rows)
        after = f"({key}) > ({last})"


def _is_ordered(table: Table) -> bool:
    """Whether every database has the same order of the key; of texts each has its own."""
    return all(map(_is_number, table.primary_key))


def _is_number(column: Column[Any]) -> bool:
    """Whether a column holds integers, be they days or dollars to SQLAlchemy."""
    return isinstance(_stored_type(column), Integer)


def _stored_type(column: Column[Any]) -> TypeEngine[Any]:
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type


def _read(connection: Connection, table: Table, condition: str = "", limit: int | None = None) -> list[_Row]:
    """Rows as they are stored, in the order of the key; the columns of the key come first."""
    names = ", ".join(column.name for column in table.columns)
    order = ", ".join(column.name for column in table.primary_key)
    most = "" if limit is None else f" LIMIT {limit}"
    statement = f"SELECT {names} FROM {table.name} {_where(condition)} ORDER BY {order}{most}"
    rows: Iterator[_Row] = map(tuple, connection.exec_driver_sql(statement).all())
    truths = [place for place, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
    if truths:
        rows = (_with_truths(row, truths) for row in rows)
    return list(rows) if _is_ordered(table) else sorted(rows)


def _with_truths(row: _Row, places: Sequence[int]) -> _Row:
    """SQLite's 0 and 1 as what they mean."""
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = bool(values[place])
    return tuple(values)


def _replace(writing: Connection, table: Table, chunk: _Chunk) -> int:
    """Make a part of a table what it is in the source."""
    stored = _read(writing, table, chunk.condition)
    if stored == chunk.rows:
        return 0
    if stored:
        _execute(writing, f"DELETE FROM {table.name} {_where(chunk.condition)}")
    _insert(writing, table, chunk.rows)
    return len(chunk.rows)


def _replace_referenced(writing: Connection, table: Table, chunk: _Chunk) -> int:
    """Make a table that others refer to what it is in the source; rows that are gone there stay for now."""
    stored = {row[0]: row for row in _read(writing, table)}
    wanted = {row[0]: row for row in chunk.rows}
    for number, row in stored.items():
        if wanted.get(number) != row:
            # Out of the way of a row that has that name now.
            aside = ", ".join(f"{column} = '~copy~{int(number)}'" for column in _REFERENCED[table])
            _execute(writing, f"UPDATE {table.name} SET {aside} WHERE id = {int(number)}")
    changed = [row for row in chunk.rows if stored.get(row[0]) != row]
    names = [column.name for column in table.columns]
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    _insert(writing, table, changed, f" ON CONFLICT (id) DO UPDATE SET {updates}")
    return len(changed)


def _delete_ids(writing: Connection, table: Table, numbers: Iterable[int]) -> None:
    for number in numbers:
        _execute(writing, f"DELETE FROM {table.name} WHERE id = {int(number)}")


def _insert(writing: Connection, table: Table, rows: list[_Row], on_conflict: str = "") -> None:
    if not rows:
        return
    names = ", ".join(column.name for column in table.columns)
    is_postgres = writing.dialect.name == "postgresql"
    if is_postgres and not on_conflict:
        driver = cast("psycopg.Connection[Any]", writing.connection.driver_connection)
        statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)".encode()
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_postgres_type(column) for column in table.columns])
            for row in rows:
                copy.write_row(row)
        return
    values = ", ".join(["%s" if is_postgres else "?"] * len(table.columns))
    writing.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({values}){on_conflict}", rows)


def _postgres_type(column: Column[Any]) -> str:
    if not _is_number(column):
        return "bool" if isinstance(column.type, Boolean) else "text"
    return "int8" if isinstance(_stored_type(column), BigInteger) else "int4"


def verify(source: Connection, target: Store, on_rows: OnRows) -> list[str]:
    """The tables of which the target does not hold what the source does: to the last row, and added up."""
    different = []
    for table in TABLES:
        with target.read() as reading:
            is_same = _totals(source, table) == _totals(reading, table)
        for chunk in _chunks(source, table):
            with target.read() as reading:
                is_same = is_same and _read(reading, table, chunk.condition) == chunk.rows
            on_rows(len(chunk.rows))
        if not is_same:
            different.append(table.name)
    return different


def _totals(connection: Connection, table: Table) -> _Row:
    """How many rows a table has, and what each column of numbers adds up to."""
    numbers = [column.name for column in table.columns if _is_number(column)]
    sums = [f"SUM({name} / {_HALF}), SUM({name} - {name} / {_HALF} * {_HALF})" for name in numbers]
    totals = connection.exec_driver_sql(f"SELECT COUNT(*), {', '.join(sums) or '0'} FROM {table.name}").one()
    return tuple(None if total is None else int(total) for total in totals)


def finish(target: Store) -> None:
    """Take the mark away: the target is a database like any other now, and on the disk."""
    with target.write() as writing:
        if writing.dialect.name == "postgresql":
            for table in TABLES:
                _count_on(writing, table)
        _set_revision(writing, SCHEMA_REVISION)
    if isinstance(target.backend, SqliteBackend):
        with target.backend.without_transaction() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _count_on(connection: Connection, table: Table) -> None:
    """Let the server number new rows from the last one on, where it numbers those of this table."""
    if "id" in table.columns:
        _execute(
            connection,
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), GREATEST(MAX(id), 1), MAX(id) > 0) "
            f"FROM {table.name}",
        )


def _where(condition: str) -> str:
    return f"WHERE {condition}" if condition else ""


def _scalar(connection: Connection, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar()


def _execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
