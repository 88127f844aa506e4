"""What SQLite and PostgreSQL have in common, each in a module of its own: all that the store asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, inspect

from orwatch.clock import Clock
from orwatch.domain.runs import Job
from orwatch.errors import StoreUnavailableError, StoreUnusableError

# How long a statement waits for another process's write to end before it gives up.
BUSY_TIMEOUT_SECONDS = 30.0


class NoDatabaseError(StoreUnusableError):
    """There is no database yet, and opening it would create one."""


class DamagedError(StoreUnusableError):
    """What is there is no database, or cannot be read whole."""


class TransactionLostError(StoreUnavailableError):
    """The database ended the transaction, or its connection broke: begun again, it may well succeed."""


def in_the_way(location: str, reason: str) -> StoreUnusableError:
    """That a migration cannot change a table on which somebody's own view stands."""
    return StoreUnusableError(
        f"the database {location} cannot be upgraded while something that is not orwatch's uses its tables "
        f"({reason})",
        "Drop that, run `orwatch db upgrade`, and create it again; nothing was changed.",
    )


def own_tables(connection: Connection) -> set[str]:
    """The tables of the schema in which tables are made: PostgreSQL finds those of others behind it too."""
    return set(inspect(connection).get_table_names(connection.dialect.default_schema_name))


class Writing(IntEnum):
    """What no other process writes to meanwhile. On SQLite each stands for the whole database."""

    DATA = 1
    # Its own, so that no request waits for a long write of the ledger.
    REQUEST_LOG = 2


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a job's lock. ``doing``: what for, which may be another thing than the job."""

    pid: int
    since: datetime
    doing: str
    machine: str | None = None


class JobLock(Protocol):
    """The lock of one job, taken or not yet. It dies with its process."""

    def take(self) -> bool:
        """Whether it is held now; else another process holds it."""
        ...

    def name_holder(self, now: datetime, doing: str) -> None:
        """Store who holds it and what for, for whoever finds it held; nothing else depends on it."""
        ...

    def holder(self) -> Holder | None:
        """Who holds it, as far as is known."""
        ...


class Backend(Protocol):
    """One database. ``location`` names it in messages, without a password; ``file`` None: it has a server."""

    @property
    def file(self) -> Path | None: ...

    @property
    def location(self) -> str: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def read_options(self) -> Mapping[str, Any]:
        """Execution options of a connection that is to see one state throughout."""
        ...

    def write_options(self, writing: Writing) -> Mapping[str, Any]:
        """Execution options of a connection whose transaction is to hold that write lock from its start."""
        ...

    def errors(self) -> AbstractContextManager[None]:
        """Turns what the database says into orwatch's errors; what cannot be the user's doing stays a bug."""
        ...

    def ensure(self, *, may_create: bool) -> None:
        """Create what a database needs before it can be read, where it is not there.

        Raises ``NoDatabaseError`` where that may not be.
        """
        ...

    def upgrade_lock(self) -> AbstractContextManager[None]:
        """One upgrade at a time; the lock dies with its process."""
        ...

    def prepare_new(self) -> None:
        """Set what only a database without tables takes."""
        ...

    def job_lock(self, job: Job) -> AbstractContextManager[JobLock]:
        """The lock of a job, not yet taken; free again at the end of the block."""
        ...

    def is_held(self, job: Job) -> bool:
        """Whether a process holds the lock of a job right now."""
        ...

    def now_ms(self, connection: Connection, clock: Clock) -> int:
        """Milliseconds since 1970, on the one clock of all that use this database."""
        ...

    def scratch_copy(self) -> AbstractContextManager[Backend]:
        """A copy to be written to and thrown away."""
        ...

    def size_bytes(self) -> int:
        """The room that the database takes."""
        ...

    def give_space_back(self, pause: Callable[[], None]) -> int:
        """Return the room of deleted rows to the disk, with a pause after each step; how many bytes."""
        ...

    def product(self) -> str:
        """The program that keeps the database."""
        ...

    def require_exists(self) -> None:
        """Raises ``NoDatabaseError`` where opening would create one. Changes nothing."""
        ...

    def integrity_errors(self) -> list[str]:
        """What the database itself finds damaged, in sentences; nothing should be read then."""
        ...

    def find_dangling_rows(self) -> list[str]:
        """Which rows refer to rows that do not exist, in sentences."""
        ...

    def identity(self) -> str:
        """What is different for every other database right now, however this one is addressed."""
        ...

    def is_unencrypted_remote(self) -> bool:
        """Whether what is read and written crosses a network unencrypted."""
        ...
