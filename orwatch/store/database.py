"""The database itself: opened, created, brought up to date, and read or written in transactions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Engine, create_engine, event, inspect, select

# Named here for those above the store, who pass a transaction on without knowing what it is.
from sqlalchemy import Connection as Connection
from sqlalchemy.exc import DBAPIError

from orwatch.config import database_path, make_private_folder
from orwatch.errors import StoreUnavailableError, StoreUnusableError
from orwatch.store.locks import open_lock_file
from orwatch.store.schema import KNOWN_REVISIONS, SCHEMA_REVISION, ledger_state

# How long a statement waits for another process's write to end before it gives up.
BUSY_TIMEOUT_SECONDS = 30.0


class Store:
    """An open database. ``is_new``: this very opening created it."""

    def __init__(self, engine: Engine, path: Path, is_new: bool) -> None:
        self._engine = engine
        self.path = path
        self.is_new = is_new

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout."""
        with _store_errors(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; undone when the block raises."""
        with _store_errors(self.path), self._engine.connect() as connection:
            connection = connection.execution_options(begins_with="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def scratch_copy(self) -> Iterator[Store]:
        """A copy to be written to and thrown away: a dry run counts there what the run would do here."""
        with tempfile.TemporaryDirectory(prefix="orwatch-") as folder:
            path = Path(folder) / "copy.db"
            with self.without_transaction() as source, closing(sqlite3.connect(path)) as target:
                source.backup(target)
            copy = Store(_sqlite_engine(path), path, is_new=False)
            try:
                yield copy
            finally:
                copy.close()

    @contextmanager
    def without_transaction(self) -> Iterator[sqlite3.Connection]:
        """The driver's connection for what SQLite refuses inside a transaction (pragmas)."""
        with _store_errors(self.path):
            connection = self._engine.raw_connection()
            try:
                yield cast(sqlite3.Connection, connection.driver_connection)
            finally:
                connection.close()

    def size_bytes(self) -> int:
        """The size of the file and of its write-ahead log."""
        log = self.path.with_name(self.path.name + "-wal")
        return sum(file.stat().st_size for file in (self.path, log) if file.exists())

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def open_store(url: str, now: datetime) -> Store:
    """Open the database; create it, or bring its schema up to date, where that is needed.

    Raises ``StoreUnusableError`` when it cannot be opened, is not orwatch's, or is newer than this
    program; ``StoreUnavailableError`` when another process keeps it locked. Nothing is changed then.
    """
    path = database_path(url)
    is_new = not _holds_data(path)
    if is_new:
        _create_file(path)
    engine = _sqlite_engine(path)
    store = Store(engine, path, is_new)
    try:
        if is_new or _schema_is_behind(store):
            _upgrade(store, now)
    except BaseException:
        store.close()
        raise
    return store


def _holds_data(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreUnusableError(f"cannot open the database {path}: {error.strerror}.") from error


def _create_file(path: Path) -> None:
    """An empty file that only its owner may read, in a folder that only its owner may enter."""
    try:
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnusableError(
            f"cannot create the database {path}: {error.strerror}. "
            "Name a place that can be written in ORWATCH_DATABASE_URL."
        ) from error


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # The driver shall not begin transactions of its own: `_begin` does, so that DDL is undone too.
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # With the write-ahead log a crash of the machine may undo the last commits, but never tears one.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begins_with", "BEGIN"))


def _stored_revision(connection: Connection) -> str | None:
    """The revision of the schema; None for a database in which nothing was ever created."""
    tables = set(inspect(connection).get_table_names())
    revision = None
    if "alembic_version" in tables:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    # Other programs use Alembic too, and its table is empty before their first step.
    if revision is None and tables - {"alembic_version"}:
        raise StoreUnusableError(
            "the database holds tables that are not orwatch's. "
            "Name a file of its own for orwatch in ORWATCH_DATABASE_URL."
        )
    return None if revision is None else str(revision)


def _schema_is_behind(store: Store) -> bool:
    with store.read() as connection:
        revision = _stored_revision(connection)
    if revision is not None and revision not in KNOWN_REVISIONS:
        raise StoreUnusableError(
            f"the database {store.path} was written by a newer orwatch (schema {revision}, "
            f"this version knows {SCHEMA_REVISION}). Upgrade orwatch; nothing was changed."
        )
    return revision != SCHEMA_REVISION


def _upgrade(store: Store, now: datetime) -> None:
    from alembic import command
    from alembic.config import Config

    with _upgrade_lock(store.path):
        if store.is_new:
            _set_up_file(store)
        with store.write() as connection:
            # Another process may have been here while this one waited for the lock.
            if _stored_revision(connection) == SCHEMA_REVISION:
                return
            config = Config()
            config.set_main_option("script_location", "orwatch.store:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA_REVISION)
            if connection.execute(select(ledger_state.c.id)).first() is None:
                connection.execute(ledger_state.insert().values(id=1, created_at=now))


def _set_up_file(store: Store) -> None:
    with store.without_transaction() as connection:
        # Only a file without tables takes this; it lets cleanup give space back in small steps.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Reports go on while a sync writes.
        connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _upgrade_lock(path: Path) -> Iterator[None]:
    """One upgrade at a time; the lock dies with its process."""
    # A file of its own: closing any other handle of the database would drop SQLite's locks on it.
    with open_lock_file(path, "upgrade") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into orwatch's errors; what cannot be the user's doing stays a bug."""
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        raise _translated(error.orig, path) from error
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailableError(
            f"the database {path} is locked: another process has been writing to it "
            f"for {BUSY_TIMEOUT_SECONDS:.0f} seconds. Try again later."
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return StoreUnavailableError(
            f"the database {path} cannot be written ({error}): is its disk full? "
            "What was stored before is whole. Make room and try again."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreUnusableError(
            f"the database {path} cannot be used ({error}). It and its folder have to be writable, "
            "also to be read. Check the owner and the mode of the file and of its folder."
        )
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return StoreUnusableError(
            f"{path} is not a database or is damaged ({error}). Restore it from a backup, "
            "or name another file in ORWATCH_DATABASE_URL."
        )
    return error
