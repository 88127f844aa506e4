"""SQLite: one file, with lock files beside it that the kernel locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from orwatch.clock import Clock
from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, StoreUnavailableError, StoreUnusableError
from orwatch.files import make_private_folder, open_file
from orwatch.leftovers import temporary_folder
from orwatch.store.engine import backend
from orwatch.store.engine.backend import Backend, DamagedError, Holder, NoDatabaseError, Writing

# How SQLite calls a lock that the system refuses, but for "busy".
_LOCK_ERRORS = frozenset(
    {
        "SQLITE_PROTOCOL",
        "SQLITE_IOERR_LOCK",
        "SQLITE_IOERR_RDLOCK",
        "SQLITE_IOERR_UNLOCK",
        "SQLITE_IOERR_CHECKRESERVEDLOCK",
        "SQLITE_IOERR_SHMLOCK",
    }
)
_PAGES_PER_STEP = 256  # 1 MiB of SQLite's usual pages: some 4 ms


class SqliteBackend:
    """A database in a file."""

    read_options: Mapping[str, Any] = {}

    def __init__(self, path: Path) -> None:
        self.file = path
        self.location = str(path)
        self.engine = _engine(path)

    def write_options(self, _writing: Writing) -> Mapping[str, Any]:
        """SQLite has one write lock, of the whole file."""
        return {"begins_with": "BEGIN IMMEDIATE"}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite says into orwatch's errors."""
        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, sqlite3.Error):
                raise
            raise _translated(error.orig, self.file) from error
        except sqlite3.Error as error:
            raise _translated(error, self.file) from error

    def ensure(self, *, may_create: bool) -> None:
        """An empty file where there is none, that only its owner may read."""
        if _holds_data(self.file):
            return
        if not may_create:
            raise NoDatabaseError(f"there is no database {self.file}.")
        _create_file(self.file)

    @contextmanager
    def upgrade_lock(self) -> Iterator[None]:
        """One upgrade at a time."""
        # A file of its own: closing any other handle of the database would drop SQLite's locks on it.
        with _open_lock_file(self.file, "upgrade") as file:
            FileLock(file, self.file).wait()
            yield

    def prepare_new(self) -> None:
        """Let the file log ahead and shrink."""
        with self.without_transaction() as connection:
            # Only a file without tables takes this; it lets cleanup give space back in small steps.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # Reports go on while a sync writes.
            connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def job_lock(self, job: Job) -> Iterator[FileLock]:
        """The lock of a job: a file beside the database."""
        with _open_lock_file(self.file, job) as file:
            yield FileLock(file, self.file)

    def is_held(self, job: Job) -> bool:
        """Whether a process holds the lock of a job right now."""
        with _open_lock_file(self.file, job) as file:
            return not FileLock(file, self.file).share()

    def now_ms(self, _connection: Connection, clock: Clock) -> int:
        """The time of this machine: no other one uses the file."""
        return int(clock.now().timestamp() * 1000)

    @contextmanager
    def scratch_copy(self) -> Iterator[Backend]:
        """A copy in a temporary folder."""
        with temporary_folder() as folder:
            path = folder / "copy.db"
            with self.without_transaction() as source, closing(sqlite3.connect(path)) as target:
                try:
                    source.backup(target)
                except sqlite3.Error as error:
                    if not _lacks_room(error):
                        raise
                    raise StoreUnavailableError(
                        f"{folder} has no room for a copy of the database ({error})",
                        "Make room there, or name another folder in TMPDIR.",
                    ) from error
            copy = SqliteBackend(path)
            try:
                yield copy
            finally:
                copy.engine.dispose()

    def size_bytes(self) -> int:
        """The size of the file and of its write-ahead log."""
        log = self.file.with_name(self.file.name + "-wal")
        return sum(file.stat().st_size for file in (self.file, log) if file.exists())

    def give_space_back(self, pause: Callable[[], None]) -> int:
        """Return free pages to the file system, with a pause after each step; by how many bytes it shrank."""
        with self.without_transaction() as connection:
            before = _page_bytes(connection)
            while connection.execute("PRAGMA freelist_count").fetchone()[0]:
                pages = connection.execute("PRAGMA page_count").fetchone()[0]
                # As a script: execute() would stop after the first page, at a row that has no columns.
                connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})")
                if connection.execute("PRAGMA page_count").fetchone()[0] == pages:
                    break  # a file that was not created with auto_vacuum keeps its pages for later rows
                pause()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return before - _page_bytes(connection)

    def product(self) -> str:
        """Its name."""
        return "SQLite"

    def require_exists(self) -> None:
        """A file that holds something, and can be read."""
        try:
            if not self.file.exists() or self.file.stat().st_size == 0:
                raise NoDatabaseError(f"there is no database {self.file}.")
            address = f"file:{quote(str(self.file))}?mode=rw"
            with self.errors(), closing(sqlite3.connect(address, uri=True)) as connection:
                if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                    raise NoDatabaseError(f"the database {self.file} was never finished: it has no tables.")
        except OSError as error:
            raise StoreUnusableError(f"cannot open the database {self.file}: {error.strerror}.") from error

    def integrity_errors(self) -> list[str]:
        """What SQLite's own check says."""
        with self.without_transaction() as connection:
            return [str(row[0]) for row in connection.execute("PRAGMA quick_check") if row[0] != "ok"]

    def find_dangling_rows(self) -> list[str]:
        """Rows that were written past the foreign keys."""
        counts: dict[str, int] = {}
        with self.without_transaction() as connection:
            for row in connection.execute("PRAGMA foreign_key_check"):
                counts[row[0]] = counts.get(row[0], 0) + 1
        return [
            f"{count} rows of {table} refer to rows that do not exist"
            for table, count in sorted(counts.items())
        ]

    def identity(self) -> str:
        """The file, whatever its name; where there is none, the name."""
        try:
            found = self.file.stat()
        except OSError:
            return str(self.file.resolve())
        return f"{found.st_dev} {found.st_ino}"

    def is_unencrypted_remote(self) -> bool:
        """A file is not."""
        return False

    @contextmanager
    def without_transaction(self) -> Iterator[sqlite3.Connection]:
        """The driver's connection for what SQLite refuses inside a transaction (pragmas)."""
        with self.errors():
            connection = self.engine.raw_connection()
            try:
                yield cast(sqlite3.Connection, connection.driver_connection)
            finally:
                connection.close()


def _page_bytes(connection: sqlite3.Connection) -> int:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])


class FileLock:
    """A file that the kernel locks for its process.

    Raises ``StoreUnusableError`` where the file system has no locks.
    """

    def __init__(self, file: IO[str], database: Path) -> None:
        self._file = file
        self._database = database

    def take(self) -> bool:
        """Whether it is held now."""
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def share(self) -> bool:
        """Whether it is held now, together with others that do not hold it alone."""
        return self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB)

    def wait(self) -> None:
        """Hold it, as soon as nobody else does."""
        self._lock(fcntl.LOCK_EX)

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _without_locks(self._database, error.strerror) from error
        return True

    def name_holder(self, now: datetime, doing: str) -> None:
        """Write into the file who holds it and what for."""
        text = json.dumps({"pid": os.getpid(), "since": now.isoformat(timespec="seconds"), "doing": doing})
        try:
            # Past the file's own buffer: what a full disk does not take would fail again at its closing.
            os.ftruncate(self._file.fileno(), 0)
            os.pwrite(self._file.fileno(), text.encode("ascii"), 0)
        except OSError:
            return  # a full disk: the kernel's lock holds all the same

    def holder(self) -> Holder | None:
        """What the holder wrote."""
        try:
            held = json.load(self._file)
            since = datetime.fromisoformat(held["since"])
            return Holder(int(held["pid"]), since, str(held["doing"])) if since.tzinfo else None
        except (ValueError, KeyError, TypeError):
            return None


@contextmanager
def _open_lock_file(database: Path, purpose: str) -> Iterator[IO[str]]:
    """The lock file for a purpose, open and not yet locked. It stays behind.

    It is beside the file itself: whoever comes by way of a link finds the same one.
    """
    file_itself = Path(os.path.realpath(database))
    path = file_itself.with_name(f"{file_itself.name}.{purpose}.lock")
    try:
        descriptor = open_file(path, os.O_RDWR, owner_of=database)
    except OSError as error:
        problem = f"cannot open the lock file {path} for writing: {error.strerror}"
        if error.errno == errno.ENOSPC:
            raise StoreUnavailableError(problem, "Make room and try again.") from error
        raise StoreUnusableError(problem, "Check the owner and the mode of it and its folder.") from error
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        yield file


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
        descriptor = open_file(Path(os.path.realpath(path)), os.O_RDWR)
        try:
            # An empty file that was there, of whatever mode. Where it is another user's, doctor finds it.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        problem = f"cannot create the database {path}: {error.strerror}"
        if error.errno == errno.ENOSPC:
            raise StoreUnavailableError(problem, "Make room and try again.") from error
        raise StoreUnusableError(
            problem, "Name a place that can be written in ORWATCH_DATABASE_URL."
        ) from error


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # The driver shall not begin transactions of its own: `_begin` does, so that DDL is undone too.
        connect_args={"timeout": backend.BUSY_TIMEOUT_SECONDS, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    # To remove rows takes four times as long where what they refer to is checked. That can be set
    # outside of transactions only.
    checks = "ON" if options.get("checks_references", True) else "OFF"
    connection.exec_driver_sql(f"PRAGMA foreign_keys = {checks}")
    # With the write-ahead log a crash of the machine may undo the last commits, but never tears one.
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('is_durable') else 'NORMAL'}")
    connection.exec_driver_sql(options.get("begins_with", "BEGIN"))


def _lock_error(error: sqlite3.Error, path: Path) -> OrwatchError | None:
    """What a lock that could not be had means; None for an error that has nothing to do with locks."""
    name = getattr(error, "sqlite_errorname", "")
    is_held = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    if not is_held and name not in _LOCK_ERRORS:
        return None
    # SQLite calls a database busy also where the system refuses every lock.
    why = _why_no_locks(path)
    if why is not None:
        return _without_locks(path, why)
    if is_held:
        return StoreUnavailableError(
            f"the database {path} is locked: another process has been writing to it "
            f"for {backend.BUSY_TIMEOUT_SECONDS:.0f} seconds",
            "Try again later.",
        )
    return StoreUnavailableError(
        f"the database {path} cannot be locked ({error})",
        "Try again; where it stays so, move it to a local disk: not every file system has locks that SQLite "
        "can use.",
    )


def _why_no_locks(path: Path) -> str | None:
    """Why the system locks no file beside the database; None where it does."""
    try:
        # Never the database: closing any other handle of it would drop SQLite's locks.
        with _open_lock_file(path, "upgrade") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError, OrwatchError):
        return None
    except OSError as error:
        return error.strerror
    return None


def _without_locks(path: Path, why: str | None) -> StoreUnusableError:
    return StoreUnusableError(
        f"the database {path} cannot be locked ({why}): its file system has no locks",
        "Move it to a local disk, and name its new place in ORWATCH_DATABASE_URL.",
    )


def _lacks_room(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    busy = _lock_error(error, path)
    if busy is not None:
        return busy
    name = getattr(error, "sqlite_errorname", "")
    if _lacks_room(error):
        return StoreUnavailableError(
            f"the database {path} cannot be written ({error}): is its disk full?",
            "What was stored before is whole. Make room, in TMPDIR too, and try again.",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreUnusableError(
            f"the database {path} cannot be used ({error}): it and its folder have to be writable, also to "
            "be read",
            "Check the owner and the mode of the file and of its folder.",
        )
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return DamagedError(
            f"{path} is not a database or is damaged ({error})",
            "Go back to a backup with `orwatch db restore`, or name another file in ORWATCH_DATABASE_URL.",
        )
    if str(error).startswith(("error in view ", "error in trigger ")):
        return backend.in_the_way(str(path), str(error))
    return error
