"""What the tests of the store share: a key in a line, and everything a table holds."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.usage import UsageAnswer
from orwatch.jobs.db import info as db_info
from orwatch.jobs.db import opening as db_opening
from orwatch.secrets import hash_secret
from orwatch.store import migrations
from orwatch.store.engine import database
from orwatch.store.engine.database import Store
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts
from orwatch.store.schema import SCHEMA_REVISION
from tests.support import NOW

ROOT = Path(__file__).parents[2]

# Which kinds of databases a test runs on: some are about what one of them has for itself.
on_each_engine = pytest.mark.parametrize("engine", ["sqlite", "postgres"])
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"])
postgres_only = pytest.mark.parametrize("engine", ["postgres"])


def add_key(store: Store, name: str = "work", facts: KeyFacts | None = None) -> StoredKey:
    """A stored key; its secret is made up, and nothing opens it."""
    with store.write() as connection:
        stored_keys.insert_key(
            connection,
            name=name,
            key_hash=hash_secret(name),
            hint="sk-or-…a29f",
            secret_encrypted=f"token of {name}",
            facts=facts,
            now=NOW,
        )
    return get_key(store, name)


def get_key(store: Store, name: str = "work") -> StoredKey:
    with store.read() as connection:
        return next(key for key in stored_keys.list_keys(connection, with_removed=True) if key.name == name)


def write(store: Store, answer: UsageAnswer, key_id: int = 1, now: datetime = NOW) -> WriteCounts:
    with store.write() as connection:
        return ledger.write_usage(connection, key_id, answer, now)


def pretend_older_schema(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """As if the database were of the version before this one; its revision."""
    monkeypatch.setattr(database, "KNOWN_REVISIONS", ("older", SCHEMA_REVISION))
    execute(store, "UPDATE alembic_version SET version_num = 'older'")
    return "older"


def pretend_next_schema(folder: Path, monkeypatch: pytest.MonkeyPatch, *statements: str) -> str:
    """As if this version had one more migration, which executes these statements; its revision."""
    shutil.copytree(Path(migrations.__file__).parent, folder)
    (folder / "versions" / "m9999_made_up.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = 'made up', {SCHEMA_REVISION!r}\n"
        "def upgrade():\n"
        f"    for statement in {statements!r}:\n"
        "        op.execute(statement)\n"
    )
    monkeypatch.setattr(database, "MIGRATIONS", str(folder))
    monkeypatch.setattr(database, "KNOWN_REVISIONS", (SCHEMA_REVISION, "made up"))
    for module in (database, db_info, db_opening):
        monkeypatch.setattr(module, "SCHEMA_REVISION", "made up")
    return "made up"


def dump(store: Store, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table or view, in order."""
    with store.read() as connection:
        return sorted((tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")), key=repr)


def scalar(store: Store, statement: str) -> Any:
    with store.read() as connection:
        return connection.exec_driver_sql(statement).scalar()


def execute(store: Store, statement: str, *values: object) -> None:
    """Run a statement as SQLite's driver takes it."""
    with store.write() as connection:
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), values)


def without_transaction(store: Store) -> AbstractContextManager[sqlite3.Connection]:
    """SQLite's own connection, for pragmas."""
    assert isinstance(store.backend, SqliteBackend)
    return store.backend.without_transaction()


def path_of(store: Store) -> Path:
    """The file of a SQLite database."""
    return Path(store.location)


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow past that: as on a full disk, writing fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def start_python(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a script in a process of its own, from the root of the project."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run_python(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, to its end."""
    with start_python(script, *arguments, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
