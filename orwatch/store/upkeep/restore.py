"""Back to a backup: the database is the old one until it is the new one, whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from shutil import copyfile
from urllib.parse import quote

from orwatch.errors import StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.files import move_into_place
from orwatch.leftovers import SQLITE_LOGS, temporary_folder
from orwatch.store.engine.backend import DamagedError
from orwatch.store.engine.database import (
    Store,
    checked_revision,
    open_as_it_is,
    open_store,
    stored_revision,
)
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.upkeep.backup import PAGES_PER_STEP, OnPages, back_up, temporary_file
from orwatch.store.upkeep.checks import read_file_state

# What is being done, and how many pages of how many are.
OnProgress = Callable[[str, int, int], None]


@contextmanager
def open_backup(file: Path, database: SqliteBackend, now: datetime) -> Iterator[Store]:
    """A copy of a backup, whole and with this version's schema. The file itself stays as it is.

    Raises ``UsageError`` where there is no such file or it is the database itself, ``StoreUnusableError``
    where it is no whole database of orwatch, or a newer version's, and ``StoreUnavailableError``.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}", "Name a backup that `orwatch db backup` wrote.")
    if database.file.exists() and file.samefile(database.file):
        raise UsageError(f"{file} is the database itself", "Name a backup of it.")
    with temporary_folder() as folder:
        copy = folder / "backup.db"
        url = f"sqlite:///{copy}"
        with _blaming(file, copy):
            _copy_file(file, copy)
            with closing(open_as_it_is(url)) as found:
                _require_whole(found.backend.integrity_errors(), copy)
                if checked_revision(found) is None:
                    raise StoreUnusableError(f"{copy} holds no tables of orwatch")
            store = open_store(url, now)
        with closing(store):
            with _blaming(file, copy):
                state = read_file_state(store)
                _require_whole([] if state.is_readable else state.problems, copy)
            yield store


@contextmanager
def _blaming(file: Path, copy: Path) -> Iterator[None]:
    """Errors of the copy name the backup."""
    try:
        yield
    except StoreUnusableError as error:
        problem = error.problem.replace(str(copy), str(file))
        raise StoreUnusableError(problem, "Nothing was restored; name another backup.") from error


def _copy_file(file: Path, copy: Path) -> None:
    """Read a database of which nothing is known but its name."""
    has_log = any(file.with_name(file.name + suffix).exists() for suffix in SQLITE_LOGS)
    # Without a log nobody writes to it, and it can be read where its folder cannot be written.
    mode = "ro" if has_log else "ro&immutable=1"
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise StoreUnavailableError(
                f"{file} cannot be copied to {copy.parent} to be checked ({error})",
                "Is the disk full? Nothing was restored.",
            ) from error
        raise StoreUnusableError(
            f"{file} is not a database, is damaged or cannot be read ({error})"
        ) from error


def _require_whole(problems: Sequence[str], copy: Path) -> None:
    if problems:
        raise StoreUnusableError(f"{copy} is damaged ({problems[0]})")


def replace_database(database: SqliteBackend, backup: Store, kept: Path, on_progress: OnProgress) -> bool:
    """Put a backup in the place of the database, whose file may be empty; whether it was not.

       It is in the file ``kept`` then.
    No job may run meanwhile. Raises ``StoreUnusableError`` and ``StoreUnavailableError``; the database is
       what it was then.
    """
    with closing(sqlite3.connect(backup.location)) as source:
        if database.file.stat().st_size == 0:
            with database.without_transaction() as target:
                _exchange(source, target, database, on_progress)
            return False
        try:
            problems = database.integrity_errors()
        except DamagedError as error:
            problems = [error.problem]
        if problems:
            database.engine.dispose()  # its last connection takes its log away, by the name
            _replace_damaged(source, database.file.resolve(), kept)
        else:
            _keep_and_exchange(source, database, kept, on_progress)
    return True


def _keep_and_exchange(
    source: sqlite3.Connection, database: SqliteBackend, kept: Path, on_progress: OnProgress
) -> None:
    with closing(Store(database, is_new=False)) as store, store.read() as connection:
        stored_revision(connection, store.location)  # another program's tables stay
    with database.without_transaction() as target:
        sizes = [_pragma(connection, "page_size") for connection in (source, target)]
        if sizes[0] != sizes[1]:
            raise StoreUnusableError(
                f"the pages of the backup have {sizes[0]} bytes, those of {database.location} {sizes[1]}",
                "Move the database away and run this again; nothing was restored.",
            )
        version = _pragma(target, "data_version")
        back_up(database, kept, _saying("Keeping", on_progress))
        if _pragma(target, "data_version") != version:
            kept.unlink()
            raise StoreUnavailableError(
                f"another process has written to {database.location} meanwhile; nothing was restored",
                "Run this again.",
            )
        try:
            _exchange(source, target, database, on_progress)
        except StoreUnavailableError:
            kept.unlink()
            raise


def _exchange(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    database: SqliteBackend,
    on_progress: OnProgress,
) -> None:
    """Copy all pages in one transaction of the target: others see the old database, then the new one."""

    def on_step(status: int, remaining: int, total: int) -> None:
        # It would try again for ever; SQLite has waited for the other process already.
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreUnavailableError(
                f"the database {database.location} is locked by another process; nothing was restored",
                "Try again later.",
            )
        on_progress("Restoring", total - remaining, total)

    source.backup(target, pages=PAGES_PER_STEP, progress=on_step)


def _replace_damaged(source: sqlite3.Connection, file: Path, kept: Path) -> None:
    """Put a new file in the place of one that SQLite does not read, after a copy of it and of its logs."""
    try:
        with temporary_file(file) as new:
            with closing(sqlite3.connect(new)) as target:
                source.backup(target)
            logs = [log for log in SQLITE_LOGS if file.with_name(file.name + log).exists()]
            for suffix in ("", *logs):
                copy = kept.with_name(kept.name + suffix)
                copy.touch(mode=0o600)
                copyfile(file.with_name(file.name + suffix), copy)
            # First: the log of the old file must not be applied to the new one.
            for suffix in logs:
                file.with_name(file.name + suffix).unlink()
            move_into_place(new, file)
    except (OSError, sqlite3.Error) as error:
        kind = StoreUnusableError if isinstance(error, PermissionError) else StoreUnavailableError
        raise kind(
            f"{file} is damaged and cannot be replaced ({error})",
            f"Make room, or make {file.parent} writable, and run this again.",
        ) from error


def _saying(doing: str, on_progress: OnProgress) -> OnPages:
    return lambda done, total: on_progress(doing, done, total)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
