"""The database: created, opened, refused, read and written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.errors import StoreUnavailableError, StoreUnusableError
from orwatch.store.engine import backend, sqlite
from orwatch.store.engine.database import Store, open_store
from orwatch.store.schema import SCHEMA_REVISION, metadata, models
from tests.store.support import (
    add_key,
    dump,
    execute,
    path_of,
    run_python,
    scalar,
    sqlite_only,
    without_transaction,
    write,
)
from tests.support import NOW, TODAY, usage_answer, usage_row

ADD_MODEL = "INSERT INTO models (name) VALUES (?)"


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def make_database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_first_opening_creates_a_private_folder_and_file(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "orwatch.db"
    umask = os.umask(0)
    try:
        store = open_store(url_of(path), NOW)
    finally:
        os.umask(umask)
    execute(store, ADD_MODEL, "a/b")

    assert store.is_new
    assert mode_of(path.parent) == mode_of(path.parent.parent) == 0o700
    assert {file.name: mode_of(file) for file in path.parent.iterdir()} == {
        "orwatch.db": 0o600,
        "orwatch.db-wal": 0o600,
        "orwatch.db-shm": 0o600,
        "orwatch.db.upgrade.lock": 0o600,
    }
    store.close()


def test_the_second_opening_finds_what_the_first_one_left(tmp_path: Path) -> None:
    first = open_store(url_of(tmp_path / "orwatch.db"), NOW)
    execute(first, ADD_MODEL, "a/b")
    first.close()

    second = open_store(url_of(tmp_path / "orwatch.db"), NOW)

    assert not second.is_new
    assert (1, "a/b") in dump(second, "models")
    second.close()


def test_the_second_opening_loads_no_alembic_and_no_driver_but_its_own(
    store: Store, database_url: str, engine: str
) -> None:
    script = """
import sys
from datetime import UTC, datetime
from orwatch.store.engine.database import open_store
store = open_store(sys.argv[1], datetime(2026, 11, 20, tzinfo=UTC))
with store.read() as connection:
    connection.exec_driver_sql("SELECT * FROM usage_stats").all()
store.close()
heavy = {"alembic", "mako", "psycopg", "sqlalchemy"}
print(*sorted({name.split(".")[0] for name in sys.modules} & heavy))
"""
    done = run_python(script, database_url)

    expected = {"sqlite": "sqlalchemy\n", "postgres": "psycopg sqlalchemy\n"}
    assert (done.stdout, done.stderr) == (expected[engine], "")


def test_an_empty_file_becomes_a_private_database(tmp_path: Path) -> None:
    path = tmp_path / "orwatch.db"
    path.touch()
    path.chmod(0o644)

    store = open_store(url_of(path), NOW)

    assert store.is_new
    assert mode_of(path) == 0o600
    assert scalar(store, "SELECT version_num FROM alembic_version") == SCHEMA_REVISION
    store.close()


def test_what_is_no_regular_file_is_no_database(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"  # as root a device would be changed for all, were it not refused
    os.mkfifo(pipe, 0o644)
    link = tmp_path / "link.db"
    link.symlink_to(pipe)

    with pytest.raises(StoreUnusableError, match=r"cannot create the database .* it is a link, a device"):
        open_store(url_of(link), NOW)

    assert (pipe.is_fifo(), mode_of(pipe)) == (True, 0o644)


def test_a_new_database_behind_a_link_is_made_where_the_link_leads(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real.db")

    open_store(url_of(link), NOW).close()

    assert link.is_symlink()
    assert mode_of(tmp_path / "real.db") == 0o600


@sqlite_only
def test_a_new_database_logs_ahead_and_can_shrink(store: Store) -> None:
    assert scalar(store, "PRAGMA journal_mode") == "wal"
    assert scalar(store, "PRAGMA auto_vacuum") == 2
    assert scalar(store, "PRAGMA foreign_keys") == 1


def _foreign(path: Path) -> None:
    make_database(path, "CREATE TABLE invoices (id INTEGER)", "INSERT INTO invoices VALUES (7)")


def _foreign_with_alembic(path: Path) -> None:
    make_database(
        path, "CREATE TABLE invoices (id INTEGER)", "CREATE TABLE alembic_version (version_num TEXT)"
    )


def _no_database(path: Path) -> None:
    path.write_text("Dear diary, today I spent too much on tokens.\n" * 100)


def _damaged(path: Path) -> None:
    open_store(url_of(path), NOW).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_foreign, "tables that are not orwatch's"),
        (_foreign_with_alembic, "tables that are not orwatch's"),
        (_no_database, "is not a database or is damaged"),
        (_damaged, "is not a database or is damaged"),
    ],
)
def test_a_file_that_is_not_ours_to_touch_is_refused_without_changing_a_byte(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "orwatch.db")
    before = (tmp_path / "orwatch.db").read_bytes()

    with pytest.raises(StoreUnusableError) as refused:
        open_store(url_of(tmp_path / "orwatch.db"), NOW)

    assert message in str(refused.value)
    assert (tmp_path / "orwatch.db").read_bytes() == before


def test_a_folder_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match="cannot"):
        open_store(url_of(tmp_path), NOW)

    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_counts_no_bytes_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_holds_data", lambda _path: False)  # as some file systems say

    with pytest.raises(StoreUnusableError, match="cannot create the database"):
        open_store(url_of(tmp_path), NOW)


def test_a_path_that_leads_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnusableError, match=r"cannot open the database .*/file/orwatch.db"):
        open_store(url_of(tmp_path / "file" / "orwatch.db"), NOW)


def test_a_write_is_undone_when_its_block_raises(store: Store) -> None:
    def add_and_fail() -> None:
        with store.write() as connection:
            connection.execute(models.insert().values(name="a/b"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()

    assert dump(store, "models") == [(0, None)]


@sqlite_only
def test_what_rows_refer_to_is_checked_again_after_a_write_that_did_without(store: Store) -> None:
    with store.write(checks_references=False) as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0

    with pytest.raises(sqlite3.IntegrityError), store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO usage_days (date, api_key_id, source, read_at) VALUES (1, 9, '', 0)"
        )


def test_a_scratch_copy_holds_everything_and_what_is_written_there_is_gone(store: Store) -> None:
    add_key(store)
    execute(store, ADD_MODEL, "a/b")
    tables = sorted(metadata.tables)
    before = [dump(store, table) for table in tables]

    with store.scratch_copy() as copy:
        assert [dump(copy, table) for table in tables] == before
        execute(copy, ADD_MODEL, "c/d")
        add_key(copy, "second")
        assert {name for _, name in dump(copy, "models")} == {None, "a/b", "c/d"}

    assert [dump(store, table) for table in tables] == before


def test_a_scratch_copy_keeps_nobody_waiting(store: Store) -> None:
    with store.scratch_copy() as copy, copy.write() as connection:
        connection.exec_driver_sql("DELETE FROM models")
        add_key(store)


@sqlite_only
def test_a_scratch_copy_is_private_and_gone_at_the_end(store: Store) -> None:
    before = contents(path_of(store).parent)

    with store.scratch_copy() as copy:
        execute(copy, ADD_MODEL, "c/d")
        folder = path_of(copy).parent
        assert folder.stat().st_mode & 0o077 == 0

    assert contents(path_of(store).parent) == before
    assert not folder.exists()


def test_a_read_sees_one_state_while_another_connection_writes(store: Store) -> None:
    count = "SELECT count(*) FROM models"
    with store.read() as connection:
        before = connection.exec_driver_sql(count).scalar()
        execute(store, ADD_MODEL, "a/b")
        assert connection.exec_driver_sql(count).scalar() == before == 1

    assert scalar(store, count) == 2


def test_a_database_that_stays_busy_is_reported_as_passing_trouble(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT_SECONDS", 0.01)
    second = open_store(database_url, NOW)

    with store.write(), pytest.raises(StoreUnavailableError, match="is locked"):
        execute(second, ADD_MODEL, "a/b")

    assert dump(second, "models") == [(0, None)]
    execute(second, ADD_MODEL, "a/b")
    second.close()


@sqlite_only
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_FULL", StoreUnavailableError),
        ("SQLITE_IOERR_WRITE", StoreUnavailableError),
        ("SQLITE_BUSY_SNAPSHOT", StoreUnavailableError),
        ("SQLITE_LOCKED_SHAREDCACHE", StoreUnavailableError),
        ("SQLITE_READONLY_DIRECTORY", StoreUnusableError),
        ("SQLITE_CORRUPT_INDEX", StoreUnusableError),
    ],
)
def test_what_the_driver_itself_raises_is_translated_too(
    store: Store, name: str, expected: type[Exception]
) -> None:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorname = name

    with pytest.raises(expected) as raised, without_transaction(store):
        raise error

    assert str(path_of(store)) in str(raised.value)


@sqlite_only
def test_an_error_that_is_no_users_doing_stays_what_it_is(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        execute(store, "DELETE FROM nothing_of_that_name")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), without_transaction(store) as raw:
        raw.execute("DELETE FROM nothing_of_that_name")


def test_an_error_of_another_kind_of_database_stays_what_it_is(store: Store) -> None:
    error = DBAPIError("SELECT 1", None, ValueError("not SQLite's"))

    with pytest.raises(DBAPIError) as raised, store.read():
        raise error

    assert raised.value is error


@sqlite_only
def test_the_size_counts_the_write_ahead_log(store: Store) -> None:
    before = store.size_bytes()
    execute(store, ADD_MODEL, "x" * 100_000)
    log = path_of(store).with_name("orwatch.db-wal")

    assert store.size_bytes() == path_of(store).stat().st_size + log.stat().st_size > before
    assert log.stat().st_size > 100_000


def test_the_daily_view_shows_names_dates_and_dollars(store: Store, engine: str) -> None:
    add_key(store, "batch", KeyFacts(KeyKind.INFERENCE))
    write(store, usage_answer(usage_row(provider="azure", cost="1.25"), usage_row(model=None, cost="0.5")))
    with store.read() as connection:
        cursor = connection.exec_driver_sql("SELECT * FROM usage_daily ORDER BY cost_usd")
        rows = [dict(row) for row in cursor.mappings()]

    counts = {
        "requests": 5,
        "tokens_input": 50,
        "tokens_output": 125,
        "tokens_reasoning": None,
        "tokens_cached": None,
        "byok_cost_usd": None,
    }
    known = {"date": TODAY if engine == "postgres" else TODAY.isoformat(), "key_name": "batch", **counts}
    assert rows == [
        {**known, "model": None, "provider": None, "cost_usd": 0.5},
        {**known, "model": "openai/gpt-4.1", "provider": "azure", "cost_usd": 1.25},
    ]
