"""What SQLite says of locks that it cannot have, and what that means."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from orwatch.errors import StoreUnavailableError, StoreUnusableError
from orwatch.store.engine.database import Store
from orwatch.store.engine.sqlite import SqliteBackend
from tests.store.support import path_of, sqlite_only, without_transaction

NAMES = ("SQLITE_BUSY", "SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_SHMLOCK")


def error_named(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorname = name
    return error


@sqlite_only
@pytest.mark.parametrize("name", NAMES)
def test_on_a_file_system_without_locks_that_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(StoreUnusableError) as raised, without_transaction(store):
        raise error_named(name)
    assert str(raised.value) == (
        f"the database {path_of(store)} cannot be locked (No locks available): its file system has no locks. "
        "Move it to a local disk, and name its new place in ORWATCH_DATABASE_URL."
    )


@sqlite_only
@pytest.mark.parametrize("name", NAMES[1:])
def test_where_the_system_has_locks_it_may_pass(store: Store, name: str) -> None:
    with pytest.raises(StoreUnavailableError) as raised, without_transaction(store):
        raise error_named(name)
    assert str(raised.value) == (
        f"the database {path_of(store)} cannot be locked (locking protocol). Try again; where it stays so, "
        "move it to a local disk: not every file system has locks that SQLite can use."
    )


@pytest.mark.parametrize(("name", "said"), [("SQLITE_BUSY", "is locked"), ("SQLITE_PROTOCOL", "be locked")])
def test_a_look_whether_there_is_a_database_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    path = tmp_path / "orwatch.db"
    path.write_bytes(b"something")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise error_named(name)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(StoreUnavailableError, match=said):
        SqliteBackend(path).require_exists()
