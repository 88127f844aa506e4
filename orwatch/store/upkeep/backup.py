"""A copy of the SQLite file while others use it: whole or not at all."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orwatch.config.own_files import is_companion
from orwatch.errors import OrwatchError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.files import move_into_place
from orwatch.leftovers import new_file, remove_leftovers, remove_with_logs
from orwatch.store.engine.database import Store
from orwatch.store.engine.sqlite import SqliteBackend

# 4 MiB of SQLite's usual pages: often enough for a progress bar, and for Ctrl-C.
PAGES_PER_STEP = 1024

OnPages = Callable[[int, int], None]


def file_backend(store: Store, advice: str) -> SqliteBackend:
    """The database as a file. Raises ``UsageError`` with this advice for one on a server."""
    if not isinstance(store.backend, SqliteBackend):
        raise UsageError(f"{store.location} is on a server: {advice}")
    return store.backend


def back_up(
    backend: SqliteBackend, file: Path, on_pages: OnPages, *, is_forced: bool = False
) -> dict[str, int]:
    """Copy the database, as it is at this moment, to ``file``; the rows of each table.

    The file is written beside its place, checked and then renamed. Writers go on meanwhile. Raises
    ``UsageError`` when there is such a file already, unless ``is_forced``, or when it is a database in use,
    a file that belongs to one or no file at all;
    ``StoreUnusableError`` and ``StoreUnavailableError`` when it cannot be written, ``OrwatchError`` when what
    was written is not whole.
    """
    database = backend.file
    with _errors(file):
        _check_place(database, file, is_forced=is_forced)
    with _errors(file), temporary_file(file) as temporary:
        with backend.without_transaction() as source, _one_state(source), _errors(file):
            rows = _row_counts(source)
            # SQLite's own copy, and not VACUUM INTO, which forgets that the file has a write-ahead log.
            with closing(sqlite3.connect(temporary)) as target:
                source.backup(
                    target,
                    pages=PAGES_PER_STEP,
                    progress=lambda _status, remaining, total: on_pages(total - remaining, total),
                )
        _verify(temporary, file, rows)
        _check_place(database, file, is_forced=is_forced)
        move_into_place(temporary, file)
    return rows


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Reads of one state: what others write meanwhile does not make the copy begin again."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _check_place(database: Path, file: Path, *, is_forced: bool) -> None:
    if file.is_dir():
        raise UsageError(f"{file} is a folder", "Name a file in it.")
    if is_companion(file, database):
        raise UsageError(f"{file} belongs to the database itself", "Name another file.")
    if file.exists() and file.samefile(database):
        raise UsageError(f"{file} is the database itself", "Name another file.")
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise UsageError(f"{file} is a link, a device or the like", "Name a file.")
    if not is_forced:
        raise UsageError(f"{file} is there already", "Name another file, or overwrite it with --force.")
    if file.with_name(f"{file.name}-wal").exists():
        raise UsageError(f"{file} is a database in use: {file.name}-wal is beside it", "Name another file.")


@contextmanager
def temporary_file(file: Path) -> Iterator[Path]:
    """A new file beside another, mode 0600; gone at the end where it has not been renamed."""
    remove_leftovers(file.parent)
    descriptor, temporary = new_file(file.parent)
    try:
        yield temporary
    finally:
        remove_with_logs(temporary)
        os.close(descriptor)


def _row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    )
    return {
        name: int(connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0])
        for name in [row[0] for row in names]
    }


def _verify(temporary: Path, file: Path, rows: dict[str, int]) -> None:
    with closing(sqlite3.connect(temporary)) as written:
        found = [str(row[0]) for row in written.execute("PRAGMA quick_check(1)")]
        is_whole = found == ["ok"] and _row_counts(written) == rows
    if not is_whole:
        raise OrwatchError(
            f"the backup {file} was not written: what was copied is damaged ({found[0]}). "
            "`orwatch db check` finds out whether the database is."
        )


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    """What keeps the backup from being written, in orwatch's words."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if not name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        raise StoreUnavailableError(
            f"the backup {file} cannot be written ({error}): is the disk full? Nothing was left behind."
        ) from error
    except OSError as error:
        kind = StoreUnavailableError if error.errno == errno.ENOSPC else StoreUnusableError
        raise kind(
            f"the backup {file} cannot be written: {error.strerror}", "Name a place that can be written."
        ) from error
