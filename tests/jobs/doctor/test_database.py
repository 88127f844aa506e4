"""Doctor's look at the database and at the secrets in it."""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orwatch.config.database_url import describe
from orwatch.jobs.doctor.database import FoundDatabase, check_names, find_secrets, open_database
from orwatch.jobs.doctor.result import CheckStatus
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.engine.postgres import PostgresBackend
from orwatch.store.keys import table as stored_keys
from orwatch.store.schema import SCHEMA_REVISION
from tests.jobs.doctor.support import findings, much_room, told
from tests.jobs.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, add_key, spend
from tests.store.support import (
    execute,
    get_key,
    path_of,
    postgres_only,
    pretend_older_schema,
    without_transaction,
)
from tests.support import NOW, SECRET, TODAY, secret_of


@pytest.fixture
def engine() -> str:
    """What these tests are about are SQLite's files."""
    return "sqlite"


@pytest.fixture(autouse=True)
def private(store: Store, engine: str) -> None:
    if engine == "sqlite":
        path_of(store).chmod(0o600)


def look(path: Path, free: int = 10**9) -> FoundDatabase:
    found = open_database(f"sqlite:///{path}", lambda _folder: free)
    if found.store is not None:
        found.store.close()
    return found


def test_a_database_in_order_has_no_finding(store: Store) -> None:
    found = look(path_of(store))
    assert found.store is not None
    assert told(found.checks) == [
        ("schema", "ok", f"{SCHEMA_REVISION}, as this version wants it"),
        ("file", "ok", "SQLite finds it in order"),
        ("database", "ok", f"{path_of(store)} is yours alone to read and write"),
        ("disk", "ok", f"1,000 MB are free on the disk of {path_of(store).parent}"),
        ("totals", "ok", "daily and monthly totals match the ledger"),
    ]


def test_totals_that_are_not_the_ledgers_are_a_finding(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, "m", "1"))
    execute(store, "UPDATE usage_stats SET cost_nano = 7")

    (check,) = [check for check in look(path_of(store)).checks if check.status is CheckStatus.FINDING]

    assert check.subject == "totals"
    assert f"those of {TODAY}, {TODAY:%Y-%m} do not match the ledger" in check.message
    assert check.advice == "`orwatch db check --repair` corrects them."


@pytest.mark.parametrize("content", [None, b""])
def test_no_database_is_a_finding_and_none_is_made(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "new" / "orwatch.db"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    found = look(path)
    assert (found.store, findings(found.checks)) == (None, [("database", f"there is no database {path}")])
    assert (found.checks[0].advice or "").startswith("`orwatch key add NAME` creates it")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_database_without_tables_was_never_finished(tmp_path: Path) -> None:
    path = tmp_path / "orwatch.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert findings(look(path).checks) == [
        ("database", f"the database {path} was never finished: it has no tables")
    ]


def test_an_older_schema_is_a_finding_and_is_left_as_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = pretend_older_schema(store, monkeypatch)
    found = look(path_of(store))
    message = f"has the schema {revision}, this version's is {SCHEMA_REVISION}"
    assert found.store is None
    assert findings(found.checks) == [("database", f"the database {path_of(store)} {message}")]
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == revision


def test_a_newer_schema_is_a_finding(store: Store) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '9999'")
    [(subject, message)] = findings(look(path_of(store)).checks)
    assert (subject, "was written by a newer orwatch (schema 9999" in message) == ("database", True)


def test_tables_of_another_program_are_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    checks = look(path).checks
    assert findings(checks) == [("database", f"{path} holds tables that are not orwatch's (theirs)")]
    assert "Name a database of its own for orwatch in ORWATCH_DATABASE_URL." in {
        check.advice for check in checks
    }


def test_a_file_that_is_no_database_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "orwatch.db"
    path.write_bytes(b"not a database at all" * 100)
    [(_, message)] = findings(look(path).checks)
    assert f"{path} is not a database or is damaged (file is not a database)" in message


def test_a_folder_in_the_place_of_the_database_is_a_finding(tmp_path: Path) -> None:
    [(subject, message)] = findings(look(tmp_path).checks)
    assert (subject, str(tmp_path) in message) == ("database", True)


def test_a_torn_page_is_a_finding_and_nothing_is_read_from_it(store: Store) -> None:
    add_key(store)
    spend(store, *((TODAY, f"model-{number}", "0.01") for number in range(2000)))
    store.close()
    with closing(sqlite3.connect(path_of(store))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage_stats'").fetchone()[
            0
        ]
    content = bytearray(path_of(store).read_bytes())
    content[(root - 1) * 4096 + 100 : (root - 1) * 4096 + 4000] = b"\xee" * 3900
    path_of(store).write_bytes(content)
    found = look(path_of(store))
    assert found.store is None
    assert {subject for subject, _ in findings(found.checks)} <= {"file", "database"}
    assert findings(found.checks)


def test_a_missing_index_and_rows_that_refer_to_nothing_are_told(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, "m", "1"))
    execute(store, "DROP INDEX ix_api_keys_name")
    with without_transaction(store) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM models WHERE name = 'm'")
    found = look(path_of(store))
    assert found.store is not None
    assert findings(found.checks) == [
        (
            "file",
            "the index ix_api_keys_name is missing; "
            "1 rows of usage_by_model refer to rows that do not exist; "
            "1 rows of usage_months refer to rows that do not exist; "
            "1 rows of usage_stats refer to rows that do not exist",
        )
    ]


def test_a_missing_table_is_told_and_nothing_more_is_read(store: Store) -> None:
    execute(store, "DROP TABLE request_log")
    found = look(path_of(store))
    assert (found.store, findings(found.checks)) == (None, [("file", "the table request_log is missing")])


def test_a_disk_that_is_nearly_full_is_a_finding(store: Store) -> None:
    assert findings(look(path_of(store), 99_999_999).checks) == [
        ("disk", f"99 MB are free on the disk of {path_of(store).parent}")
    ]
    assert findings(look(path_of(store), 100_000_000).checks) == []


def test_a_disk_that_cannot_be_asked_is_unknown(store: Store) -> None:
    def refuse(_folder: Path) -> int:
        raise OSError(5, "Input/output error")

    found = open_database(f"sqlite:///{store.location}", refuse)
    assert found.store is not None
    found.store.close()
    assert told(found.checks)[-2] == ("disk", "unknown", "its free space is not known: Input/output error")


def test_the_real_disk_can_be_asked(store: Store) -> None:
    found = open_database(f"sqlite:///{store.location}")
    assert found.store is not None
    found.store.close()
    assert found.checks[-1].status in {CheckStatus.OK, CheckStatus.FINDING}
    assert much_room(path_of(store)) == 10**9


def secrets_checks(store: Store, *encryption_keys: str) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    return told(find_secrets(store, keys, Keyring(encryption_keys)).checks)


def test_an_encryption_key_that_opens_everything_is_fine(store: Store) -> None:
    assert secrets_checks(store) == [("encryption key", "skipped", "no secret is stored yet")]
    add_key(store, "work")
    add_key(store, "home")
    assert secrets_checks(store, ENCRYPTION_KEY) == [("encryption key", "ok", "it opens every secret (2)")]
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    found = find_secrets(store, keys, Keyring([ENCRYPTION_KEY]))
    assert found.secrets == {1: secret_of("work"), 2: secret_of("home")}
    assert secret_of("work") not in repr(found)


def test_a_rotation_under_way_is_no_finding(store: Store) -> None:
    add_key(store, "work")
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    keyring = Keyring([OTHER_ENCRYPTION_KEY], lambda: [ENCRYPTION_KEY])
    assert find_secrets(store, keys, keyring).secrets == {1: secret_of("work")}


def test_the_names_of_secrets_that_do_not_open_are_told(store: Store) -> None:
    add_key(store, "work")
    add_key(store, "home")
    execute(store, "UPDATE api_keys SET secret_encrypted = 'torn' WHERE name = 'work'")
    assert secrets_checks(store, ENCRYPTION_KEY) == [
        ("encryption key", "finding", "it does not open the secrets of work")
    ]
    execute(store, "DELETE FROM api_keys WHERE name = 'work'")
    for number in range(13):
        add_key(store, f"k{number:02}")
    [(_, status, message)] = secrets_checks(store, OTHER_ENCRYPTION_KEY)
    assert (status, message.count(","), message.endswith(" and 4 more")) == ("finding", 9, True)


@pytest.mark.parametrize("column", ["name", "listed_name", "label", "workspace"])
def test_a_secret_that_is_stored_as_a_name_is_a_finding_and_can_be_renamed(store: Store, column: str) -> None:
    key = add_key(store, "work")
    with store.write() as connection:
        stored_keys.update_key(connection, key.id, {column: f"my {SECRET}"})

    with store.read() as connection:
        like_secrets = stored_keys.names_like_secrets(connection)
    [check] = check_names(like_secrets)
    name = "my sk-or-…a29f" if column == "name" else "work"
    assert like_secrets == [name]
    assert check.message.endswith(f"as names or labels of {name}")
    assert f"`orwatch key rename {shlex.quote(name)} NAME`" in (check.advice or "")
    assert SECRET not in repr((check, get_key(store, name)))
    key_jobs.rename(store, name, "home")
    assert get_key(store, "home").id == key.id


def test_a_name_of_a_key_that_had_another_secret_before_is_named_once(store: Store) -> None:
    add_key(store, "work")
    replacing.replace(store, Keyring([ENCRYPTION_KEY]), "work", secret_of("new"), None, NOW)
    key_jobs.rename(store, "work", f"my {SECRET}")

    with store.read() as connection:
        assert stored_keys.names_like_secrets(connection) == ["my sk-or-…a29f"]


def test_a_name_of_every_day_is_no_finding() -> None:
    assert [*check_names([])] == []


@pytest.mark.parametrize("encryption_keys", [(), ("nonsense",)])
def test_no_key_and_a_malformed_one_are_findings(store: Store, encryption_keys: tuple[str, ...]) -> None:
    add_key(store)
    [(_, status, message)] = secrets_checks(store, *encryption_keys)
    assert (status, "ORWATCH_ENCRYPTION_KEY" in message, "nonsense" in message) == ("finding", True, False)


@postgres_only
def test_of_a_server_is_told_what_is_seen_from_here(store: Store, database_url: str) -> None:
    found = open_database(database_url)
    assert found.store is not None
    found.store.close()
    assert [check.subject for check in found.checks] == ["schema", "server", "connection", "totals"]
    assert findings(found.checks) == []
    assert re.fullmatch(r"PostgreSQL [\d.]+ finds it in order", found.checks[1].message)


@postgres_only
def test_an_unencrypted_connection_to_another_machine_is_a_finding(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresBackend, "is_unencrypted_remote", lambda _backend: True)
    found = open_database(database_url)
    assert found.store is not None
    found.store.close()
    assert findings(found.checks) == [("connection", "it goes to another machine and is not encrypted")]


@postgres_only
def test_a_server_s_missing_tables_and_indices_are_told(store: Store, database_url: str) -> None:
    execute(store, "DROP INDEX ix_api_keys_name")
    found = open_database(database_url)
    assert found.store is not None
    found.store.close()
    assert findings(found.checks) == [("server", "the index ix_api_keys_name is missing")]


@postgres_only
def test_an_empty_database_on_a_server_is_a_finding_and_stays_empty(another_url: Callable[[], str]) -> None:
    url = another_url()
    for _ in range(2):
        found = open_database(url)
        [(subject, message)] = findings(found.checks)
        assert (found.store, subject) == (None, "database")
        assert message == f"the database {describe(url)} has no tables yet"


def test_a_server_that_is_away_is_a_finding() -> None:
    found = open_database("postgresql://me:hunter2@127.0.0.1:1/orwatch")
    [(subject, message)] = findings(found.checks)
    assert (found.store, subject) == (None, "database")
    assert "postgresql://me@127.0.0.1:1/orwatch does not answer" in message
    assert found.checks[0].advice == "Check the server and the network; then run this again."
    assert "hunter2" not in str(found)
