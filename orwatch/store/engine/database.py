"""The database itself: opened, created, brought up to date, and read or written in transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TypeVar

# Named here for those above the store, who pass a transaction on without knowing what it is.
from sqlalchemy import Connection as Connection
from sqlalchemy import select

from orwatch.config.database_url import is_postgres, parse_postgres, sqlite_path
from orwatch.errors import StoreUnusableError
from orwatch.store.engine.backend import (
    Backend,
    NoDatabaseError,
    TransactionLostError,
    Writing,
    own_tables,
)
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.schema import KNOWN_REVISIONS, SCHEMA_REVISION, ledger_state

# How the revisions of versions before the first release began: "0001" to "0005", and "copy-0005-…" of a
# database that was being copied to.
_UNRELEASED = ("0", "copy-")

# Each version's databases have some of these tables, and hardly another program's.
_TELLING_TABLES = frozenset({"usage_stats", "ledger_state", "job_runs"})
_TABLES_NAMED = 3

# Where Alembic finds the migrations.
MIGRATIONS = "orwatch.store:migrations"

_Result = TypeVar("_Result")


class SchemaBehindError(StoreUnusableError):
    """The database has an older schema, which opening it would bring up to date."""


class Store:
    """An open database. ``is_new``: this very opening created it; ``location`` names it in messages."""

    def __init__(self, backend: Backend, is_new: bool) -> None:
        self.backend = backend
        self.location = backend.location
        self.is_new = is_new

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout."""
        with self.backend.errors(), self.backend.engine.connect() as connection:
            yield connection.execution_options(**self.backend.read_options)

    @contextmanager
    def write(
        self, writing: Writing = Writing.DATA, *, checks_references: bool = True, is_durable: bool = False
    ) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; undone when the block raises.

        ``checks_references`` False: for one that only removes rows to which none refers, faster on SQLite.
        ``is_durable``: not even a crash of the machine undoes it, once the block has ended.
        """
        options = {
            **self.backend.write_options(writing),
            "checks_references": checks_references,
            "is_durable": is_durable,
        }
        with self.backend.errors(), self.backend.engine.connect() as connection:
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection

    def run_write(self, work: Callable[[Connection], _Result], writing: Writing = Writing.DATA) -> _Result:
        """What ``work`` makes of such a transaction; once more from its start when the database ended it.

        The first time may have been written after all, where the connection broke at its end: ``work`` has
        to be right to repeat.
        """
        try:
            with self.write(writing) as connection:
                return work(connection)
        except TransactionLostError:
            with self.write(writing) as connection:
                return work(connection)

    @contextmanager
    def scratch_copy(self) -> Iterator[Store]:
        """A copy to be written to and thrown away: a dry run counts there what the run would do here."""
        with self.backend.scratch_copy() as copy:
            yield Store(copy, is_new=False)

    def size_bytes(self) -> int:
        """The room that the database takes."""
        return self.backend.size_bytes()

    def close(self) -> None:
        """Let go of the database."""
        self.backend.engine.dispose()


def open_store(url: str, now: datetime, *, may_create: bool = True) -> Store:
    """Open the database; create it, or bring its schema up to date, where that is needed.

    Raises ``NoDatabaseError`` when there is none and it may not be created; ``StoreUnusableError`` when it
    cannot be opened, is not orwatch's, or is newer than this program; ``StoreUnavailableError`` when another
    process keeps it locked or its server does not answer.
    Nothing is changed then.
    """
    backend = open_backend(url)
    store = Store(backend, is_new=False)
    try:
        backend.ensure(may_create=may_create)
        revision = checked_revision(store) if may_create else _found_revision(store)
        store.is_new = revision is None
        if revision != SCHEMA_REVISION:
            _upgrade(store, now)
    except BaseException:
        store.close()
        raise
    return store


def open_existing(url: str) -> Store:
    """Open the database as ``open_store`` does, where that neither creates nor upgrades anything.

    Raises ``NoDatabaseError``, ``SchemaBehindError``, and what ``open_store`` does.
    """
    store = open_as_it_is(url)
    try:
        store.backend.require_exists()
        _require_current(store)
    except BaseException:
        store.close()
        raise
    return store


def open_as_it_is(url: str) -> Store:
    """Open a database that is there, whatever is in it: nothing is created, upgraded or refused."""
    return Store(open_backend(url), is_new=False)


def open_backend(url: str) -> Backend:
    """The database that the address names; nothing is asked of it yet."""
    if not is_postgres(url):
        return SqliteBackend(sqlite_path(url))
    try:
        from orwatch.store.engine.postgres import PostgresBackend
    except ImportError as error:
        raise StoreUnusableError(
            f"ORWATCH_DATABASE_URL names a PostgreSQL, and its driver cannot be loaded ({error}). "
            "Install it: in a clone, pip install '.[postgres]' (pipx: pipx inject orwatch 'psycopg[binary]')."
        ) from error
    return PostgresBackend(parse_postgres(url))


def peek_revision(url: str) -> str:
    """The revision of the schema, whichever it is, by a look that changes nothing.

    Raises ``NoDatabaseError``, and ``StoreUnusableError`` where the tables are another program's.
    """
    with closing(open_as_it_is(url)) as store:
        store.backend.require_exists()
        with store.read() as connection:
            revision = stored_revision(connection, store.location)
    return _finished(revision, store)


def _found_revision(store: Store) -> str:
    return _finished(checked_revision(store), store)


def _finished(revision: str | None, store: Store) -> str:
    if revision is None:
        raise NoDatabaseError(f"the database {store.location} was never finished: it has no tables.")
    return revision


def stored_revision(connection: Connection, location: str) -> str | None:
    """The revision of the schema; None for a database in which nothing was ever created."""
    tables = own_tables(connection)
    revision = None
    if "alembic_version" in tables:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    # Other programs use Alembic too, and its table is empty before their first step.
    others = sorted(tables - {"alembic_version"})
    if (others and revision is None) or (revision is not None and tables.isdisjoint(_TELLING_TABLES)):
        named = ", ".join([*others[:_TABLES_NAMED], *(["…"] if others[_TABLES_NAMED:] else [])])
        step = "" if revision is None else f"; Alembic's revision is {revision}"
        raise StoreUnusableError(
            f"{location} holds tables that are not orwatch's ({named or 'alembic_version'}{step})",
            "Name a database of its own for orwatch in ORWATCH_DATABASE_URL.",
        )
    return None if revision is None else str(revision)


def checked_revision(store: Store) -> str | None:
    """The revision of the schema. Raises ``StoreUnusableError`` for one that this version does not know."""
    with store.read() as connection:
        revision = stored_revision(connection, store.location)
    if revision is not None and revision.startswith(_UNRELEASED):
        raise StoreUnusableError(
            f"the database {store.location} is of an unreleased version of orwatch (schema {revision}) and "
            "cannot be upgraded",
            "Move it away (PostgreSQL: create an empty database), run `orwatch init`, and add your keys "
            "again; nothing was changed.",
        )
    if revision is not None and revision not in KNOWN_REVISIONS:
        raise StoreUnusableError(
            f"the database {store.location} was written by a newer orwatch (schema {revision}, "
            f"this version knows {SCHEMA_REVISION})",
            "Upgrade orwatch; nothing was changed.",
        )
    return revision


def _require_current(store: Store) -> None:
    revision = checked_revision(store)
    if revision != SCHEMA_REVISION:
        raise SchemaBehindError(
            f"the database {store.location} has the schema {revision}, this version's is {SCHEMA_REVISION}."
        )


def _upgrade(store: Store, now: datetime) -> None:
    from alembic import command
    from alembic.config import Config

    with store.backend.upgrade_lock():
        if store.is_new:
            store.backend.prepare_new()
        with store.write() as connection:
            # Another process may have been here while this one waited for the lock.
            revision = stored_revision(connection, store.location)
            store.is_new = revision is None
            if revision == SCHEMA_REVISION:
                return
            config = Config()
            config.set_main_option("script_location", MIGRATIONS)
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA_REVISION)
            if connection.execute(select(ledger_state.c.id)).first() is None:
                connection.execute(ledger_state.insert().values(id=1, created_at=now))
