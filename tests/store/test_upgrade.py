"""The schema, brought up to date: whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import inspect

from orwatch.errors import StoreUnusableError
from orwatch.store.engine import database
from orwatch.store.engine.backend import Backend
from orwatch.store.engine.database import Store, open_store
from orwatch.store.engine.postgres import PostgresBackend
from orwatch.store.engine.sqlite import SqliteBackend
from orwatch.store.schema import SCHEMA_REVISION
from tests.postgres import PostgresServer
from tests.store.support import (
    add_key,
    dump,
    execute,
    postgres_only,
    pretend_next_schema,
    run_python,
    scalar,
    start_python,
    write,
)
from tests.support import NOW, usage_answer, usage_row


def tables_of(url: str) -> set[str]:
    """What is there before anything opens the database as a store."""
    backend = database.open_backend(url)
    with backend.engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
    backend.engine.dispose()
    return tables


@pytest.mark.parametrize("statement", ["CREATE VIEW usage_daily", "alembic_version (version_num) VALUES"])
def test_an_upgrade_that_is_killed_leaves_nothing_and_the_next_opening_does_it_all(
    another_url: Callable[[], str], statement: str, engine: str
) -> None:
    url = another_url()
    script = """
import os, sys
from datetime import UTC, datetime
from sqlalchemy import Engine, event
from orwatch.store.engine.database import open_store

@event.listens_for(Engine, "before_cursor_execute")
def die(_connection, _cursor, statement, *_others):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), 9)

open_store(sys.argv[1], datetime(2026, 11, 20, tzinfo=UTC))
"""
    killed = run_python(script, url, statement)
    assert killed.returncode == -9, killed.stderr
    assert tables_of(url) == set()

    store = open_store(url, NOW)

    assert add_key(store).id == 1
    if engine == "sqlite":
        assert scalar(store, "PRAGMA auto_vacuum") == 2
    store.close()


def test_an_upgrade_that_fails_is_undone(
    another_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = another_url()
    monkeypatch.setattr(database, "ledger_state", Mock(c=Mock(id="no column")))
    with pytest.raises(Exception, match="no column"):
        open_store(url, NOW)
    monkeypatch.undo()

    assert tables_of(url) == set()


def test_threads_that_open_a_new_database_at_once_all_get_it(another_url: Callable[[], str]) -> None:
    url = another_url()
    start = threading.Barrier(4)
    stores: list[Store] = []

    def open_it() -> None:
        start.wait()
        stores.append(open_store(url, NOW))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [scalar(store, "SELECT count(*) FROM ledger_state") for store in stores] == [1] * 4
    for store in stores:
        store.close()


def test_processes_that_open_a_new_database_at_once_all_get_it(another_url: Callable[[], str]) -> None:
    url = another_url()
    script = """
import sys
from datetime import UTC, datetime
from orwatch.store.engine import database
import alembic.command
print("ready", flush=True)
sys.stdin.readline()
store = database.open_store(sys.argv[1], datetime(2026, 11, 20, tzinfo=UTC))
with store.read() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM ledger_state").scalar())
store.close()
"""
    processes = [start_python(script, url) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    assert [process.communicate(timeout=60) for process in processes] == [("1\n", "")] * 3


def test_only_one_process_at_a_time_upgrades(tmp_path: Path) -> None:
    path = tmp_path / "orwatch.db"
    with (
        SqliteBackend(path).upgrade_lock(),
        (tmp_path / "orwatch.db.upgrade.lock").open() as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_opening_that_is_overtaken_by_another_one_does_nothing_twice(
    another_url: Callable[[], str], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = another_url()
    kind = PostgresBackend if engine == "postgres" else SqliteBackend

    def overtaken(backend: Backend) -> AbstractContextManager[None]:
        monkeypatch.undo()
        open_store(url, NOW).close()
        return backend.upgrade_lock()

    monkeypatch.setattr(kind, "upgrade_lock", overtaken)
    store = open_store(url, NOW)

    assert scalar(store, "SELECT count(*) FROM ledger_state") == 1
    assert not store.is_new, "the other one has created it"
    store.close()


def test_a_database_of_the_schema_before_is_brought_up_to_date_with_all_it_holds(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(store)
    answer = usage_answer(usage_row())
    write(store, answer)
    revision = pretend_next_schema(
        tmp_path / "migrations",
        monkeypatch,
        "CREATE TABLE dollars AS SELECT date, cost_nano / 1000000000.0 AS usd FROM usage_stats",
    )

    upgraded = open_store(database_url, NOW)

    assert scalar(upgraded, "SELECT version_num FROM alembic_version") == revision
    assert float(scalar(upgraded, "SELECT usd FROM dollars")) == 0.015
    assert write(upgraded, answer).rows_unchanged == 1
    upgraded.close()


def test_an_upgrade_that_fails_halfway_changes_nothing(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables_of(database_url)
    pretend_next_schema(
        tmp_path / "migrations",
        monkeypatch,
        "CREATE TABLE half (id INTEGER)",
        "INSERT INTO no_such VALUES (1)",
    )

    with pytest.raises(Exception, match="no_such"):
        open_store(database_url, NOW)

    assert tables_of(database_url) == before
    assert scalar(store, "SELECT version_num FROM alembic_version") == SCHEMA_REVISION


def test_a_database_of_the_first_schema_takes_replaced_secrets(
    another_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = another_url()
    monkeypatch.setattr(database, "SCHEMA_REVISION", "1")
    first = open_store(url, NOW)
    columns = "(name, key_hash, hint, is_active, created_at, kind, removed_at)"
    for name, removed_at in (("work", None), ("work", 1), ("other", None)):
        values = (name, f"hash {name} {removed_at}", "#", True, 1, "unknown", removed_at)
        execute(first, f"INSERT INTO api_keys {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
    write(first, usage_answer(usage_row()))
    before = dump(first, "usage_daily")
    first.close()
    monkeypatch.undo()

    store = open_store(url, NOW)

    assert scalar(store, "SELECT version_num FROM alembic_version") == SCHEMA_REVISION
    assert scalar(store, "SELECT count(*) FROM api_keys WHERE replaced_by IS NULL") == 3
    assert dump(store, "usage_daily") == before
    execute(store, "UPDATE api_keys SET replaced_by = 3 WHERE id = 1")
    execute(store, "UPDATE api_keys SET name = 'work' WHERE id = 3")
    with pytest.raises(Exception, match=r"(?i)unique constraint"):
        execute(store, "UPDATE api_keys SET replaced_by = NULL WHERE id = 1")
    with pytest.raises(Exception, match=r"(?i)foreign key constraint"):
        execute(store, "UPDATE api_keys SET replaced_by = 99 WHERE id = 1")
    store.close()


def test_a_view_of_somebodys_own_that_is_in_the_way_of_an_upgrade_is_named(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(store, "CREATE VIEW my_slow_jobs AS SELECT * FROM job_runs")
    pretend_next_schema(
        tmp_path / "migrations",
        monkeypatch,
        "CREATE TABLE new_runs AS SELECT * FROM job_runs",
        "DROP TABLE job_runs",
        "ALTER TABLE new_runs RENAME TO job_runs",
    )

    with pytest.raises(StoreUnusableError, match=r"view my_slow_jobs.*nothing was changed\.$") as raised:
        open_store(database_url, NOW)

    assert "\n" not in str(raised.value)
    assert scalar(store, "SELECT version_num FROM alembic_version") == SCHEMA_REVISION
    assert dump(store, "my_slow_jobs") == []


@postgres_only
def test_a_view_is_in_the_way_also_where_a_column_gets_another_type(store: Store) -> None:
    with pytest.raises(StoreUnusableError, match="view usage_daily depends on column"):
        execute(store, "ALTER TABLE usage_stats ALTER COLUMN cost_nano TYPE numeric")


@pytest.mark.parametrize("revision", ["0001", "0005"])
def test_a_database_of_an_unreleased_version_is_refused(
    store: Store, database_url: str, revision: str
) -> None:
    execute(store, f"UPDATE alembic_version SET version_num = '{revision}'")

    with pytest.raises(StoreUnusableError, match=rf"unreleased version of orwatch \(schema {revision}\)"):
        open_store(database_url, NOW)

    assert scalar(store, "SELECT version_num FROM alembic_version") == revision


@postgres_only
@pytest.mark.parametrize(
    ("revision", "shown"),
    [
        (None, "(bills, customers, invoices, …)"),
        ("NULL", "(bills, customers, invoices, …)"),
        ("'9f3c'", "(bills, customers, invoices, …; Alembic's revision is 9f3c)"),
        (f"'{SCHEMA_REVISION}'", f"(bills, customers, invoices, …; Alembic's revision is {SCHEMA_REVISION})"),
    ],
    ids=["no Alembic", "before its first step", "a revision of its own", "the same revision as orwatch's"],
)
def test_a_database_of_another_program_is_refused_and_left_alone(
    postgres: PostgresServer, another_url: Callable[[], str], revision: str | None, shown: str
) -> None:
    url = another_url()
    for table in ("invoices", "customers", "bills", "users"):
        postgres.execute(f"CREATE TABLE {table} (id INTEGER)", url)
    if revision is not None:
        postgres.execute(f"CREATE TABLE alembic_version AS SELECT {revision} AS version_num", url)
    before = tables_of(url)

    with pytest.raises(StoreUnusableError, match=re.escape(f"tables that are not orwatch's {shown}")):
        open_store(url, NOW)

    assert tables_of(url) == before


def test_a_database_of_a_newer_version_is_refused(store: Store, database_url: str) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreUnusableError, match=r"written by a newer orwatch \(schema 9999"):
        open_store(database_url, NOW)
