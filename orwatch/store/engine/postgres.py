"""PostgreSQL: a server that several machines share, with advisory locks that end with their connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    Pool,
    QueuePool,
    StaticPool,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from orwatch.clock import Clock
from orwatch.config.database_url import PostgresAddress
from orwatch.config.values import is_loopback
from orwatch.domain.runs import Job
from orwatch.errors import StoreUnusableError
from orwatch.store.engine import backend
from orwatch.store.engine.backend import Backend, Holder, NoDatabaseError, Writing
from orwatch.store.engine.postgres_errors import read_only, translated
from orwatch.store.schema import metadata
from orwatch.waiting import within

# What the driver is given where the address does not say otherwise: seconds, the last one milliseconds. A
# server that vanishes without a word is missed after a minute and a half.
_CONNECT_OPTIONS = {
    "application_name": "orwatch",
    "connect_timeout": "10",
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "90000",
}

# With the look-up of the server's name, and however many addresses it has.
_LONGEST_CONNECT_SECONDS = 60.0

# Names may have any character. Not left to PGCLIENTENCODING, nor to a server that has no encoding.
_ENCODING = "UTF8"

# Set for each session. The server, too, misses a machine that vanishes, and gives its locks to others then. A
# transaction in which nothing happens for minutes is one of a machine that sleeps.
_SET_SESSION = (
    "SET client_min_messages = warning; SET lock_timeout = {lock_timeout_ms};"
    "SET idle_in_transaction_session_timeout = 300000;"
    "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
)

# A server may be set to say that a transaction is written before it is.
_WAIT_FOR_DISK = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)

# The first half of each advisory lock's key: the bytes of "orwa". Such locks are those of one database.
_LOCK_SPACE = 0x6F727761
_JOB_NUMBERS = {Job.SYNC: 11, Job.VALIDATE: 12, Job.CLEANUP: 13}


class PostgresBackend:
    """A database on a server. ``pool`` StaticPool: everything goes through one connection."""

    file = None
    read_options: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def __init__(self, address: PostgresAddress, pool: type[Pool] = QueuePool) -> None:
        self._address = address
        self.location = str(address)
        self.engine = _engine(address, pool)
        event.listen(self.engine, "connect", self._prepare_connection)
        event.listen(self.engine, "begin", self._begin)

    def write_options(self, writing: Writing) -> Mapping[str, Any]:
        """Every statement after the wait for the lock sees what was written before."""
        return {"isolation_level": "READ COMMITTED", "write_lock": int(writing)}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the server or the driver says into orwatch's errors."""
        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.Error):
                raise
            raise translated(error.orig, self.location, is_lost=error.connection_invalidated) from error
        except PendingRollbackError as error:
            # The connection was lost before that, and what lost it was caught on the way.
            lost = psycopg.OperationalError("the connection is lost")
            raise translated(lost, self.location, is_lost=True) from error
        except psycopg.Error as error:
            # Given to the driver past SQLAlchemy, on a connection that was there.
            is_lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
            raise translated(error, self.location, is_lost=is_lost) from error

    def ensure(self, *, may_create: bool) -> None:
        """Nothing: whoever runs the server creates the database."""

    def upgrade_lock(self) -> AbstractContextManager[None]:
        """None of its own: the whole upgrade is one write."""
        return nullcontext()

    def prepare_new(self) -> None:
        """Nothing to set."""

    @contextmanager
    def job_lock(self, job: Job) -> Iterator[AdvisoryLock]:
        """The lock of a job, on a connection of its own."""
        with self.errors():
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield AdvisoryLock(self, connection, job)
        finally:
            with suppress(DBAPIError):
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
            # Not to be used for anything else: it bears the job's name.
            connection.invalidate()
            connection.close()

    def is_held(self, job: Job) -> bool:
        """Whether a connection holds the lock of a job right now."""
        with self.errors(), self.engine.connect() as connection:
            held = connection.execute(text(f"SELECT EXISTS (SELECT {_HOLDERS})"), _lock_key(job))
            return bool(held.scalar_one())

    def now_ms(self, connection: Connection, _clock: Clock) -> int:
        """The server's time: the clocks of several machines may differ."""
        query = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        return int(connection.execute(query).scalar_one())

    @contextmanager
    def scratch_copy(self) -> Iterator[Backend]:
        """Temporary tables that hide the real ones from one connection, copied within the server."""
        copy = _ScratchCopy(self._address, StaticPool)
        try:
            with copy.errors(), copy.engine.connect() as connection:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
                quoted = connection.dialect.identifier_preparer.quote
                schema = quoted(connection.execute(text("SELECT current_schema()")).scalar_one())
                for table in metadata.sorted_tables:
                    name = quoted(table.name)
                    copied = f"CREATE TEMPORARY TABLE {name} (LIKE {schema}.{name} INCLUDING ALL)"
                    connection.execute(text(copied))
                    connection.execute(text(f"INSERT INTO pg_temp.{name} SELECT * FROM {schema}.{name}"))
                connection.commit()
            yield copy
        finally:
            copy.engine.dispose()

    def size_bytes(self) -> int:
        """What the server says that the database takes."""
        with self.errors(), self.engine.connect() as connection:
            size = connection.execute(text("SELECT pg_database_size(current_database())"))
            return int(size.scalar_one())

    def give_space_back(self, _pause: Callable[[], None]) -> int:
        """Nothing to do: the server's autovacuum makes the room of deleted rows free for others."""
        return 0

    def product(self) -> str:
        """Its name and version."""
        with self.errors(), self.engine.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            return f"PostgreSQL {version.split()[0]}"

    def require_exists(self) -> None:
        """A database in which something was created."""
        with self.errors(), self.engine.connect() as connection:
            if not backend.own_tables(connection):
                raise NoDatabaseError(f"the database {self.location} has no tables yet.")

    def integrity_errors(self) -> list[str]:
        """None: the server checks its pages when it reads them."""
        return []

    def find_dangling_rows(self) -> list[str]:
        """None: nothing writes past the server's foreign keys."""
        return []

    def identity(self) -> str:
        """When its server was started, to the microsecond, and its number there."""
        query = text(
            "SELECT extract(epoch FROM pg_postmaster_start_time()) || ' ' || oid FROM pg_database "
            "WHERE datname = current_database()"
        )
        with self.errors(), self.engine.connect() as connection:
            return str(connection.execute(query).scalar_one())

    def is_unencrypted_remote(self) -> bool:
        """Whether the connection goes to another machine and is not encrypted."""
        with self.errors(), self.engine.connect() as connection:
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            address = driver.info.hostaddr
            is_remote = bool(address) and not is_loopback(address)
            return is_remote and not driver.pgconn.ssl_in_use

    def _prepare_connection(self, connection: psycopg.Connection[Any], _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (_ENCODING, None):
            connection.close()
            raise StoreUnusableError(
                f"the database {self.location} has the encoding {encoding}, not {_ENCODING}",
                "Create one for orwatch: CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0.",
            )
        connection.adapters.register_loader("numeric", _WholeNumberLoader)
        # Outside of a transaction, for its undoing would undo this as well.
        connection.autocommit = True
        connection.execute(_SET_SESSION.format(lock_timeout_ms=int(backend.BUSY_TIMEOUT_SECONDS * 1000)))
        connection.autocommit = False

    def _begin(self, connection: Connection) -> None:
        options = connection.get_execution_options()
        number = options.get("write_lock")
        if number is not None:
            query = "SELECT pg_advisory_xact_lock(%s, %s), current_setting('transaction_read_only')"
            _, is_read_only = connection.exec_driver_sql(query, (_LOCK_SPACE, number)).one()
            # Before anything else is changed, in a file for example.
            if is_read_only == "on":
                raise read_only(self.location, "its server takes no writes")
        if options.get("is_durable"):
            connection.exec_driver_sql(_WAIT_FOR_DISK)


class _ScratchCopy(PostgresBackend):
    """Tables that no other connection sees: no locks, and reads follow writes on one connection."""

    read_options: Mapping[str, Any] = {}

    def write_options(self, _writing: Writing) -> Mapping[str, Any]:
        """No lock."""
        return {}


class AdvisoryLock:
    """A lock that the server holds for a connection; the connection is named after its holder."""

    def __init__(self, database: PostgresBackend, connection: Connection, job: Job) -> None:
        self._database = database
        self._connection = connection
        self._job = job

    def take(self) -> bool:
        """Whether it is held now."""
        with self._database.errors():
            query = text("SELECT pg_try_advisory_lock(:space, :number)")
            return bool(self._connection.execute(query, _lock_key(self._job)).scalar_one())

    def name_holder(self, now: datetime, doing: str) -> None:
        """Name the connection after its holder."""
        with self._database.errors():
            query = text("SELECT set_config('application_name', :name, false)")
            self._connection.execute(query, {"name": _holder_name(doing, now)})

    def holder(self) -> Holder | None:
        """What the holder's connection is named after, where this user may see it."""
        query = text(
            f"SELECT application_name FROM pg_stat_activity WHERE pid IN (SELECT pg_locks.pid {_HOLDERS})"
        )
        with self._database.errors():
            name = self._connection.execute(query, _lock_key(self._job)).scalar()
        try:
            _program, doing, pid, since, machine = (name or "").split(" ", 4)
            return Holder(int(pid), datetime.fromtimestamp(int(since), UTC), doing, machine)
        except (ValueError, OverflowError):
            return None


def _holder_name(doing: str, now: datetime) -> str:
    """The machine comes last: the server cuts a long name."""
    return f"orwatch {doing} {os.getpid()} {int(now.timestamp())} {socket.gethostname()}"


_HOLDERS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = :space AND objid = :number AND objsubid = 2"
)


def _lock_key(job: Job) -> dict[str, int]:
    return {"space": _LOCK_SPACE, "number": _JOB_NUMBERS[job]}


class _WholeNumberLoader(Loader):
    """A sum of integers is a NUMERIC to the server; here it is the integer that it is on SQLite."""

    def load(self, data: Buffer) -> int | Decimal:
        """An integer where there is no fraction."""
        number = bytes(data)
        try:
            return int(number)
        except ValueError:
            return Decimal(number.decode("ascii"))


def _engine(address: PostgresAddress, pool: type[Pool]) -> Engine:
    engine = create_engine(
        URL.create(
            "postgresql+psycopg",
            username=address.user,
            password=address.password,
            host=address.host,
            port=address.port,
            database=address.database,
            query={**_CONNECT_OPTIONS, **dict(address.options), "client_encoding": _ENCODING},
        ),
        poolclass=pool,
        # Between two writes a sync may wait for its turn so long that the connection is gone.
        pool_pre_ping=True,
        use_native_hstore=False,
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _forget_access_mode)
    return engine


def _connect(
    dialect: Dialect, _record: Any, arguments: tuple[Any, ...], options: dict[str, Any]
) -> DBAPIConnection:
    """Connect so that signals and the limit of a job are heard: libpq looks up names for ever."""
    try:
        return within(
            _LONGEST_CONNECT_SECONDS,
            lambda: dialect.connect(*arguments, **options),
            lambda late: late.close(),
        )
    except TimeoutError:
        raise psycopg.OperationalError(f"no connection in {_LONGEST_CONNECT_SECONDS:g} seconds") from None


def _forget_access_mode(connection: psycopg.Connection[Any], _record: Any, _proxy: Any) -> None:
    """What a server lets do is the server's to say: a hot standby refuses to begin "read write"."""
    connection.read_only = None
