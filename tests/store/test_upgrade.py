"""The schema, brought up to date: whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
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
from orwatch.store.ledger import rollups
from orwatch.store.schema import ledger_state, to_day_number
from tests.postgres import PostgresServer
from tests.store.support import (
    add_key,
    execute,
    get_key,
    postgres_only,
    run_python,
    scalar,
    start_python,
    write,
)
from tests.support import NOW, TODAY, usage_answer, usage_row


def tables_of(url: str) -> set[str]:
    """What is there before anything opens the database as a store."""
    backend = database.open_backend(url)
    with backend.engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
    backend.engine.dispose()
    return tables


@pytest.mark.parametrize("statement", ["CREATE VIEW usage_daily", "INSERT INTO alembic_version"])
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
    if statement.strip().startswith(sys.argv[2]):
        os.kill(os.getpid(), 9)

open_store(sys.argv[1], datetime.now(UTC))
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
store = database.open_store(sys.argv[1], datetime.now(UTC))
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


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/orwatch.db"
    with monkeypatch.context() as patch:
        patch.setattr(database, "SCHEMA_REVISION", "0001")
        old = open_store(url, NOW)
        with old.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO api_keys (name, key_hash, hint, is_active, created_at, kind) "
                "VALUES ('work', 'hash', '…', 1, 0, 'unknown')"
            )
            connection.exec_driver_sql("INSERT INTO models (id, name) VALUES (1, 'openai/gpt-4.1')")
            connection.exec_driver_sql(
                "INSERT INTO usage_stats (date, api_key_id, model_id, provider_id, requests, tokens_input, "
                "tokens_output, cost_nano) VALUES (?, 1, 1, 0, 5, 50, 125, 15000000)",
                (to_day_number(TODAY),),
            )
            for month, requests in ((date(2026, 9, 1), 7), (date(2026, 11, 1), None)):
                connection.exec_driver_sql(
                    "INSERT INTO usage_months (month, api_key_id, model_id, provider_id, requests, "
                    "cost_nano) VALUES (?, 1, 1, 0, ?, 5)",
                    (to_day_number(month), requests),
                )
            connection.execute(ledger_state.update().values(kept_from=TODAY - timedelta(days=7)))
        old.close()

    store = open_store(url, NOW)

    assert scalar(store, "SELECT version_num FROM alembic_version") == database.SCHEMA_REVISION
    assert get_key(store).source_setting is None
    assert scalar(store, "SELECT sum(cost_nano) FROM usage_stats") == 15_000_000
    assert write(store, usage_answer(usage_row())).rows_written == 0
    with store.read() as connection:
        assert rollups.wrong_days(connection) == set()
        columns = "month, row_count, requests, requests_told, cost_nano, counted_nano"
        months = connection.exec_driver_sql(f"SELECT {columns} FROM usage_months ORDER BY month")
        assert [tuple(row) for row in months] == [
            (to_day_number(date(2026, 9, 1)), 1, 7, 1, 5, 5),
            (to_day_number(date(2026, 11, 1)), 2, 5, 1, 15_000_005, 15_000_000),
        ]
    store.close()


@postgres_only
@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE invoices (id INTEGER)"],
        ["CREATE TABLE invoices (id INTEGER)", "CREATE TABLE alembic_version (version_num TEXT)"],
    ],
)
def test_a_database_of_another_program_is_refused_and_left_alone(
    postgres: PostgresServer, another_url: Callable[[], str], statements: list[str]
) -> None:
    url = another_url()
    for statement in statements:
        postgres.execute(statement, url)
    before = tables_of(url)

    with pytest.raises(StoreUnusableError, match="tables that are not orwatch's"):
        open_store(url, NOW)

    assert tables_of(url) == before


def test_a_database_of_a_newer_version_is_refused(store: Store, database_url: str) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreUnusableError, match=r"written by a newer orwatch \(schema 9999"):
        open_store(database_url, NOW)
