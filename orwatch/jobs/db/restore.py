"""Go back to a backup; the database that was there is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from orwatch.clock import Clock
from orwatch.jobs.db.result import DbRestoreResult
from orwatch.jobs.key.secrets import open_what_opens
from orwatch.secrets import Keyring
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store, open_as_it_is
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.keys import table as stored_keys
from orwatch.store.upkeep.backup import file_backend
from orwatch.store.upkeep.facts import read_facts
from orwatch.store.upkeep.restore import OnProgress, open_backup, replace_database

_ON_A_SERVER = (
    "restore it there, with pg_restore for example. To go back to a SQLite file, create an empty database "
    "and copy the file to it: `ORWATCH_DATABASE_URL=sqlite:////path/to/file.db orwatch db copy --to URL`."
)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that can be restored. ``unopened``: keys whose secrets the encryption key does not open."""

    file: Path
    database: SqliteBackend
    store: Store
    tables: Mapping[str, int]
    first_day: date | None
    last_day: date | None
    unopened: tuple[str, ...]

    @property
    def has_present(self) -> bool:
        """Whether there is a database that it would replace."""
        file = self.database.file
        return file.exists() and file.stat().st_size > 0


@contextmanager
def checked(url: str, file: Path, encryption_keys: Sequence[str], now: datetime) -> Iterator[Backup]:
    """Check a backup, in a copy that is brought up to this version's schema. Nothing is changed.

    Raises ``UsageError`` for a database on a server and for what is no file, ``StoreUnusableError`` for a
    file that is no whole database of orwatch or a newer version's, ``StoreUnavailableError``.
    """
    with closing(open_as_it_is(url)) as present:
        database = file_backend(present, _ON_A_SERVER)
        with open_backup(file, database, now) as store:
            facts = read_facts(store)
            yield Backup(
                file,
                database,
                store,
                facts.rows,
                facts.first_day,
                facts.last_day,
                _unopened(store, encryption_keys),
            )


def refuse_held(backup: Backup, clock: Clock) -> None:
    """Raises ``LockHeldError`` when a job runs, before anybody is asked."""
    if backup.has_present:
        with locks.all_jobs(Store(backup.database, is_new=False), clock, "restore"):
            pass


def run(backup: Backup, clock: Clock, on_progress: OnProgress) -> DbRestoreResult:
    """Put the backup in the place of the database, in one step; keep what was there beside it.

    Raises ``LockHeldError`` when a job runs, ``StoreUnusableError``, ``StoreUnavailableError``. Nothing is
    restored then.
    """
    database = backup.database
    kept = _free_name(database.file.resolve(), clock.now())
    database.ensure(may_create=True)  # where there is none: its locks are beside it
    present = Store(database, is_new=False)
    with locks.all_jobs(present, clock, "restore"), database.upgrade_lock():
        had_one = replace_database(database, backup.store, kept, on_progress)
    return DbRestoreResult(
        location=database.location,
        file=str(backup.file),
        kept=str(kept) if had_one else None,
        tables=backup.tables,
        first_day=backup.first_day,
        last_day=backup.last_day,
        unopened=backup.unopened,
    )


def _unopened(store: Store, encryption_keys: Sequence[str]) -> tuple[str, ...]:
    with store.read() as connection:
        sealed = stored_keys.list_sealed(connection)
    _, unopened = open_what_opens(store, Keyring(encryption_keys), sealed)
    return tuple(dict.fromkeys(key.name for key in sealed if key.id in unopened))


def _free_name(database: Path, now: datetime) -> Path:
    """A name beside the database, with the time, that no file has."""
    stem, number = f"{database.stem}-before-restore-{now:%Y%m%dT%H%M%SZ}", 1
    kept = database.with_name(f"{stem}{database.suffix}")
    while kept.exists():
        number += 1
        kept = database.with_name(f"{stem}-{number}{database.suffix}")
    return kept
