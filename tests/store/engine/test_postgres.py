"""What only PostgreSQL does: connections that break, servers that refuse, and numbers of its own types."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from orwatch.config.database_url import PostgresAddress
from orwatch.errors import StoreUnavailableError, StoreUnusableError
from orwatch.store.engine import backend
from orwatch.store.engine.backend import TransactionLostError
from orwatch.store.engine.database import Connection, Store, open_store
from orwatch.store.engine.postgres import PostgresBackend
from orwatch.store.engine.postgres_errors import translated
from orwatch.store.schema import models
from orwatch.store.upkeep.checks import FileState, read_file_state
from orwatch.store.upkeep.facts import read_facts
from tests.postgres import PostgresServer
from tests.store.support import add_key, dump, execute, get_key, scalar, write
from tests.support import NOW, usage_answer, usage_row

PASSWORD = "hunter2-p@ss"


@pytest.fixture
def engine() -> str:
    """What these tests are about is PostgreSQL."""
    return "postgres"


def end_connection(connection: Connection, server: PostgresServer) -> None:
    """What a restart of the server, or a network that breaks, does to a connection."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    server.execute(f"SELECT pg_terminate_backend({pid}, 5000)")


def add_model(connection: Connection) -> None:
    connection.execute(models.insert().values(name="a/b"))


def test_a_write_whose_connection_breaks_is_done_again_from_its_start(
    store: Store, postgres: PostgresServer
) -> None:
    tries = []

    def work(connection: Connection) -> int:
        tries.append(connection)
        add_model(connection)
        if len(tries) == 1:
            end_connection(connection, postgres)
        add_key(store, "meanwhile") if len(tries) == 1 else None
        return connection.execute(text("SELECT count(*) FROM models")).scalar_one()

    assert store.run_write(work) == 2
    assert len(tries) == 2
    assert [name for _, name in dump(store, "models")] == [None, "a/b"]


def test_a_write_whose_connection_breaks_twice_is_passing_trouble(
    store: Store, postgres: PostgresServer
) -> None:
    def work(connection: Connection) -> None:
        end_connection(connection, postgres)
        add_model(connection)

    with pytest.raises(StoreUnavailableError, match=r"What was stored before is whole. Try again later\.$"):
        store.run_write(work)

    assert dump(store, "models") == [(0, None)]


def test_a_copy_whose_connection_breaks_is_a_lost_transaction_too(
    store: Store, postgres: PostgresServer
) -> None:
    add_key(store)

    def write_and_break() -> None:
        with store.write() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            end_connection(connection, postgres)
            with driver.cursor() as cursor, cursor.copy(b"COPY models (name) FROM STDIN"):
                pass

    with pytest.raises(TransactionLostError):
        write_and_break()


def test_a_connection_that_is_used_again_after_it_broke_is_a_lost_transaction(
    store: Store, postgres: PostgresServer
) -> None:
    def use_twice() -> None:
        with store.write() as connection:
            end_connection(connection, postgres)
            with suppress(DBAPIError):
                add_model(connection)
            add_model(connection)

    with pytest.raises(TransactionLostError, match="lost its connection"):
        use_twice()


def test_a_connection_that_broke_while_nobody_used_it_is_not_missed(
    store: Store, postgres: PostgresServer
) -> None:
    with store.read() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    postgres.execute(f"SELECT pg_terminate_backend({pid}, 5000)")

    with store.write() as connection:
        add_model(connection)

    assert len(dump(store, "models")) == 2


def test_of_two_transactions_that_wait_for_each_other_one_is_begun_again(store: Store) -> None:
    """The write lock keeps orwatch's own from it; a person's SQL may do it all the same."""
    execute(store, "INSERT INTO models (name) VALUES ('one'), ('two')")
    tries = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        if len(tries) == 1:
            connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$"
            )
        add_model(connection)

    store.run_write(work)

    assert len(tries) == 2
    assert len(dump(store, "models")) == 4


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("40001", TransactionLostError),
        ("57P01", TransactionLostError),
        ("08006", TransactionLostError),
        ("25P03", TransactionLostError),
        ("55P03", StoreUnavailableError),
        ("53100", StoreUnavailableError),
        ("53300", StoreUnavailableError),
        ("57014", StoreUnavailableError),
        ("25006", StoreUnusableError),
        ("42501", StoreUnusableError),
        ("XX001", StoreUnusableError),
        ("42P01", ProgrammingError),
    ],
)
def test_what_the_server_says_by_its_code_is_passing_or_a_persons_to_see_to(
    store: Store, code: str, expected: type[Exception]
) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'as the server says it' USING ERRCODE = '{code}'; END $$"

    with pytest.raises(Exception, match=r".") as raised:
        execute(store, raising)

    if expected is ProgrammingError:
        assert type(raised.value).__module__ == "psycopg.errors", "a bug stays one"
        return
    assert type(raised.value) is expected
    assert store.location in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_does_not_answer_is_passing_trouble_in_one_line() -> None:
    message = refusal("postgresql://me:hunter2-p%40ss@127.0.0.1:1/orwatch", StoreUnavailableError)

    assert message.startswith("the database postgresql://me@127.0.0.1:1/orwatch does not answer (")
    assert message.endswith("Connection refused). Try again later.")


def test_a_server_that_is_not_known_is_passing_trouble_a_network_may_be_down() -> None:
    message = refusal("postgresql://me:hunter2-p%40ss@no-such-host.invalid/orwatch", StoreUnavailableError)

    assert "postgresql://me@no-such-host.invalid:5432/orwatch does not answer" in message


def test_a_name_that_is_looked_up_for_ever_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def connect(**_options: object) -> None:
        is_over.wait(30)
        raise psycopg.OperationalError("too late")

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setattr("orwatch.store.engine.postgres._LONGEST_CONNECT_SECONDS", 0.1)
    with pytest.raises(StoreUnavailableError, match=r"no connection in 0\.1 seconds"):
        open_store("postgresql://me@db.example/x", NOW)
    is_over.set()


def test_a_wrong_password_is_a_persons_to_see_to(postgres: PostgresServer) -> None:
    with postgres.password_user("reader", "another") as name:
        url = postgres.url_of("postgres", name, "hunter2-p%40ss")
        message = refusal(url, StoreUnusableError)

    assert f'password authentication failed for user "{name}"' in message
    assert "Correct ORWATCH_DATABASE_URL" in message


@pytest.mark.parametrize(
    "words",
    [
        "terminating connection due to administrator command",
        "canceling authentication due to timeout",
        "could not write init file: No space left on device",
        "Too many open files in system",
        "out of memory",
    ],
)
def test_a_server_that_breaks_off_while_connecting_is_passing_trouble(words: str) -> None:
    said = psycopg.OperationalError(f"connection failed: connection to server failed: FATAL:  {words}")

    assert type(translated(said, "db", is_lost=False)) is StoreUnavailableError


@pytest.mark.parametrize(("database", "user"), [("no_such_database", None), ("postgres", "no_such_user")])
def test_an_unknown_database_or_user_is_a_persons_to_see_to(
    postgres: PostgresServer, database: str, user: str | None
) -> None:
    url = postgres.url_of(database, user, "hunter2-p%40ss")

    message = refusal(url, StoreUnusableError)

    assert f'"{user or database}" does not exist' in message


@pytest.mark.parametrize(
    "option",
    [
        "no_such_option=1",
        "sslmode=no-such-mode",
        "connect_timeout=soon",
        "options=-cstatement_timeout%3Dsoon",
    ],
)
def test_an_option_that_the_driver_does_not_know_is_a_persons_to_see_to(
    postgres: PostgresServer, option: str
) -> None:
    url = postgres.url_of("postgres", "me", "hunter2-p%40ss")

    refusal(f"{url}&{option}", StoreUnusableError)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_refused_before_anything_is_made(
    postgres: PostgresServer, encoding: str
) -> None:
    with postgres.database(f"template0 ENCODING '{encoding}' LOCALE 'C'") as url:
        message = refusal(url, StoreUnusableError)
        tables = postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url)

    assert f"has the encoding {encoding}, not UTF8. Create one for orwatch: CREATE DATABASE" in message
    assert tables == [(0,)]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "no such"])
def test_the_encoding_that_the_environment_asks_for_is_not_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PGCLIENTENCODING", encoding)
        store = open_store(database_url, NOW)
        add_key(store, "büro ✓")

    assert get_key(store, "büro ✓").name == "büro ✓"
    store.close()


@pytest.fixture
def read_only(store: Store, postgres: PostgresServer) -> Store:
    """What a hot standby is to who reads: every transaction begins as one that cannot write."""
    name = scalar(store, "SELECT current_database()")
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store.backend.engine.dispose()
    return store


def test_a_server_that_takes_no_writes_is_said_to_before_the_work_begins(read_only: Store) -> None:
    begun = False

    with pytest.raises(StoreUnusableError, match="Name the primary server"), read_only.write():
        begun = True

    assert not begun


def test_no_transaction_asks_a_server_for_more_than_it_gives(read_only: Store) -> None:
    """A hot standby refuses even to begin one that says "read write"."""
    assert scalar(read_only, "SHOW transaction_read_only") == "on"

    with read_only.backend.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def test_what_another_program_has_behind_the_own_schema_is_neither_taken_nor_touched(
    postgres: PostgresServer, another_url: Callable[[], str]
) -> None:
    """The same names and Alembic too, in the schema that a search path goes on with."""
    url = another_url()
    for table in ("api_keys", "job_runs", "usage_daily"):
        postgres.execute(f"CREATE TABLE {table} (theirs INTEGER)", url)
    postgres.execute("CREATE TABLE alembic_version AS SELECT 'theirs' AS version_num", url)
    postgres.execute("CREATE SCHEMA own", url)
    own_url = f"{url}&options=-csearch_path%3Down,public"

    open_store(own_url, NOW).close()
    store = open_store(own_url, NOW, may_create=False)
    key = add_key(store)

    assert (store.is_new, read_file_state(store), read_facts(store).rows["api_keys"]) == (
        False,
        FileState(),
        1,
    )
    with store.scratch_copy() as copy:
        assert get_key(copy) == key
    store.close()
    theirs = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    assert postgres.execute(theirs, url) == [
        ("alembic_version",),
        ("api_keys",),
        ("job_runs",),
        ("usage_daily",),
    ]
    assert postgres.execute(
        "SELECT version_num, (SELECT count(*) FROM api_keys) FROM alembic_version", url
    ) == [("theirs", 0)]


def test_a_user_who_may_create_nothing_is_told_what_is_missing(
    postgres: PostgresServer, another_url: Callable[[], str]
) -> None:
    database = another_url().rpartition("?")[0].rpartition("/")[2]
    with postgres.password_user("guest", "guest") as name:
        message = refusal(postgres.url_of(database, name, "guest"), StoreUnusableError)

    assert "permission denied for schema public" in message
    assert "The user has to own the database" in message


def refusal(url: str, expected: type[Exception]) -> str:
    """The message of the error, which is one line and nowhere shows the password, traceback included."""
    with pytest.raises(expected) as raised:
        open_store(url, NOW)
    message = str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in shown + repr(raised.value)
    assert "\n" not in message
    return message


def test_no_password_is_in_the_repr_of_anything() -> None:
    backend = PostgresBackend(PostgresAddress("orwatch", "me", PASSWORD, "db"))

    shown = [backend.location, repr(backend), repr(backend.engine), str(backend.engine.url)]
    assert PASSWORD not in "".join(shown)


def test_without_its_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "orwatch.store.engine.postgres")

    message = refusal("postgresql://me:hunter2-p%40ss@db/orwatch", StoreUnusableError)

    assert "in a clone, pip install '.[postgres]'" in message


def test_one_who_writes_makes_others_wait_and_they_see_what_was_written(store: Store) -> None:
    with store.write() as connection:
        snapshot = connection.exec_driver_sql("SELECT count(*) FROM models").scalar()
    execute(store, "INSERT INTO models (name) VALUES ('a/b')")

    with store.write() as connection:
        first = connection.exec_driver_sql("SELECT count(*) FROM models").scalar()

    assert (snapshot, first) == (1, 2)


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnusableError, match="can only be read"), store.read() as connection:
        add_model(connection)


def test_sums_of_whole_numbers_are_whole_numbers_of_any_size(store: Store) -> None:
    largest = 2**63 - 1
    sums = (
        f"SELECT sum(n), -sum(n), sum(n) * 0.5 FROM (VALUES ({largest}::bigint), ({largest}), (1)) AS v (n)"
    )
    with store.read() as connection:
        whole, negative, half = connection.exec_driver_sql(sums).one()

    assert (whole, negative) == (2**64 - 1, 1 - 2**64)
    assert type(whole) is type(negative) is int
    assert half == Decimal("9223372036854775807.5")


@pytest.mark.parametrize("cost", ["0.000000001", "9007199.254740993", "9223372036.854775807"])
def test_the_daily_view_has_exact_dollars(store: Store, cost: str) -> None:
    add_key(store)
    write(store, usage_answer(usage_row(cost=cost)))

    assert scalar(store, "SELECT cost_usd FROM usage_daily") == Decimal(cost)


def test_several_answers_in_one_transaction_do_not_mix(store: Store) -> None:
    add_key(store, "one")
    add_key(store, "two")
    from orwatch.store.ledger import write as ledger

    with store.write() as connection:
        ledger.write_usage(connection, 1, usage_answer(usage_row(cost="1")), NOW)
        connection.exec_driver_sql("DELETE FROM usage_stats WHERE api_key_id = 1")
        ledger.write_usage(connection, 2, usage_answer(usage_row(cost="2")), NOW)

    assert [row[1] for row in dump(store, "usage_stats")] == [2]


def test_the_wait_for_the_write_lock_has_an_end(store: Store, database_url: str) -> None:
    assert backend.BUSY_TIMEOUT_SECONDS == 30
    assert scalar(store, "SHOW lock_timeout") == "30s"


def test_the_size_is_what_the_server_says(store: Store) -> None:
    assert store.size_bytes() == scalar(store, "SELECT pg_database_size(current_database())")
    assert store.backend.give_space_back(lambda: None) == 0
