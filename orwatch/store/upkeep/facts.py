"""What a database is and holds, whatever the version of its schema. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection

from orwatch.store.engine.backend import own_tables
from orwatch.store.engine.database import Store
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.schema import from_day_number

_AUTO_VACUUM = ("none", "full", "incremental")


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The engine, what it is set to, and what is stored: rows by table, the days of the ledger."""

    engine: str
    engine_version: str
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    rows: dict[str, int]
    created_at: datetime | None
    kept_from: date | None
    first_day: date | None
    last_day: date | None


def read_facts(store: Store) -> DatabaseFacts:
    """Look at the database."""
    with store.read() as connection:
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        encoding = None
        if connection.dialect.name == "postgresql":
            encoding = _scalar(connection, "SHOW server_encoding")
        tables = sorted(own_tables(connection) - {"alembic_version"})
        rows = {table: int(_scalar(connection, f'SELECT COUNT(*) FROM "{table}"')) for table in tables}
        created_at = _scalar(connection, "SELECT created_at FROM ledger_state")
        days = [
            _scalar(connection, query)
            for query in (
                "SELECT kept_from FROM ledger_state",
                "SELECT MIN(date) FROM usage_stats",
                "SELECT MAX(date) FROM usage_stats",
            )
        ]
    settings: tuple[tuple[str, str], ...] = (("encoding", str(encoding)),)
    notes: tuple[str, ...] = ()
    if isinstance(store.backend, SqliteBackend):
        settings, notes = _sqlite_settings(store.backend)
    return DatabaseFacts(
        "PostgreSQL" if encoding else "SQLite",
        version,
        settings,
        notes,
        rows,
        None if created_at is None else datetime.fromtimestamp(created_at, UTC),
        *(None if day is None else from_day_number(day) for day in days),
    )


def _sqlite_settings(database: SqliteBackend) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    with database.without_transaction() as connection:
        journal, vacuum, page_bytes, free_pages = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "auto_vacuum", "page_size", "freelist_count")
        )
    notes = []
    if journal != "wal":
        notes.append(
            f"its journal_mode is {journal}: reports and a sync wait for each other. "
            f"While no job runs: sqlite3 {database.location} 'PRAGMA journal_mode = WAL'"
        )
    if _AUTO_VACUUM[vacuum] != "incremental":
        notes.append(
            f"its auto_vacuum is {_AUTO_VACUUM[vacuum]}: cleanup keeps freed space in the file. "
            f"While no job runs: sqlite3 {database.location} 'PRAGMA auto_vacuum = 2; VACUUM'"
        )
    settings = (
        ("journal_mode", str(journal)),
        ("auto_vacuum", _AUTO_VACUUM[vacuum]),
        ("page_size", str(page_bytes)),
        ("free_bytes_inside", str(free_pages * page_bytes)),
    )
    return settings, tuple(notes)


def _scalar(connection: Connection, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar()
