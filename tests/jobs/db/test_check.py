"""What is looked at in a database, what is repaired, and what the database is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from orwatch.errors import StoreUnusableError
from orwatch.jobs.db import check as db_check
from orwatch.jobs.db import copy as db_copy
from orwatch.jobs.db import info as db_info
from orwatch.jobs.db import opening as db_opening
from orwatch.jobs.db.result import DbCheckResult
from orwatch.jobs.doctor.result import CheckStatus
from orwatch.store.engine.database import Store, open_as_it_is, open_store, peek_revision
from orwatch.store.schema import SCHEMA_REVISION
from tests.databases import content, filled
from tests.postgres import PostgresServer
from tests.store.support import execute, pretend_next_schema, pretend_older_schema, scalar
from tests.support import NOW, TODAY, FakeClock


@pytest.fixture(scope="session")
def filled_database(postgres: PostgresServer, filled_file: Path) -> Iterator[str]:
    """The name of such a database on PostgreSQL, to copy."""
    with postgres.database() as url:
        db_copy.run(f"sqlite:///{filled_file}", url, FakeClock(), lambda _doing, _done, _total: None)
        yield url.partition("?")[0].rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, filled_file: Path) -> Iterator[str]:
    """A database with something of everything in it."""
    if request.param == "sqlite":
        path = tmp_path / "source" / "orwatch.db"
        path.parent.mkdir(mode=0o700)
        shutil.copy(filled_file, path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database(request.getfixturevalue("filled_database")) as target:
        yield target


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_as_it_is(url)) as store:
        yield store


def findings(result: DbCheckResult) -> dict[str, str]:
    assert all(check.advice for check in result.findings)
    return {check.subject: check.message for check in result.findings}


def test_a_database_that_is_right_has_no_findings(url: str) -> None:
    result = db_check.run(url)
    assert (findings(result), result.exit_code) == ({}, 0)
    assert [check.status for check in result.checks] == [CheckStatus.OK] * 5


def test_wrong_totals_are_found_and_only_changed_when_told_so(url: str, store: Store) -> None:
    right = content(url)
    execute(store, "UPDATE usage_by_key SET cost_nano = cost_nano + 1 WHERE api_key_id = 1")
    november = date(2026, 11, 1).toordinal() - date(1970, 1, 1).toordinal()
    execute(store, "DELETE FROM usage_months WHERE api_key_id = 1 AND month = ?", november)
    wrong = content(url)

    found = db_check.run(url)

    assert found.exit_code == 1
    assert "do not match the ledger" in findings(found)["totals"]
    assert (found.repaired_days, content(url)) == ((), wrong)

    repaired = db_check.run(url, is_repair=True)

    assert (findings(repaired), repaired.exit_code) == ({}, 0)
    # Of the month that cleanup has cut nobody can tell; its days can be told all the same.
    cut = TODAY - timedelta(days=39)
    assert repaired.repaired_days == tuple(cut + timedelta(days=day) for day in range(1, 40))
    assert repaired.repaired_months == (date(2026, 11, 1),)
    mended = content(url)
    assert mended == right

    again = db_check.run(url, is_repair=True)
    assert (again.repaired_days, again.repaired_months, content(url)) == ((), (), mended)


def test_months_that_cleanup_has_cut_are_named_and_found_when_less_than_the_ledger(
    url: str, store: Store
) -> None:
    # The filled database has lost one day of October 2026, whose other days are in the ledger still.
    (totals,) = (check for check in db_check.run(url).checks if check.subject == "totals")
    assert totals.message == (
        "daily and monthly totals match the ledger; "
        "2026-10 and before were cut by cleanup and cannot be judged"
    )
    october = date(2026, 10, 1).toordinal() - date(1970, 1, 1).toordinal()
    for change in (
        "cost_nano = cost_nano * 100",
        "cost_nano = 1",
        "row_count = 1, cost_nano = cost_nano * 9",
    ):
        execute(store, f"UPDATE usage_months SET {change} WHERE month = {october} AND api_key_id = 1")
        found = findings(db_check.run(url, is_repair=True))
        if change.endswith("100"):
            assert found == {}
        else:
            assert found["totals"].startswith("those of 2026-10, which cleanup has cut, are less than")


def test_where_rows_refer_to_nothing_no_totals_are_repaired(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orwatch.db"
    with filled(url, 3):
        pass
    with closing(sqlite3.connect(tmp_path / "orwatch.db")) as connection, connection:
        connection.execute("UPDATE usage_stats SET api_key_id = 999 WHERE api_key_id = 1")
    wrong = content(url)

    result = db_check.run(url, is_repair=True)

    assert result.exit_code == 1
    assert "rows of usage_stats refer to rows that do not exist" in findings(result)["file"]
    (totals,) = (check for check in result.findings if check.subject == "totals")
    assert totals.advice == "Nothing was repaired: rows refer to nothing; correct those first."
    assert (result.repaired_days, content(url)) == ((), wrong)


def test_sums_of_days_that_contradict_each_other_are_found(url: str, store: Store) -> None:
    first = (TODAY - timedelta(days=8)).toordinal() - date(1970, 1, 1).toordinal()
    insert = "INSERT INTO usage_spans (first_day, api_key_id, last_day, cost_nano) VALUES (?, ?, ?, ?)"
    execute(store, insert, first, 3, first + 1, -1)
    execute(store, insert, first, 1, first - 1, 5)
    told = findings(db_check.run(url))["multi-day rows"]
    assert "2026-11-12 to 2026-11-13 of two overlaps that of 2026-11-11 to" in told
    assert "2026-11-12 to 2026-11-13 of two is negative" in told
    assert "2026-11-12 to 2026-11-11 of one ends before it begins" in told


def test_a_missing_name_for_what_is_not_told_is_found(url: str, store: Store) -> None:
    execute(store, "UPDATE providers SET name = 'somebody' WHERE id = 0")
    assert "missing in providers" in findings(db_check.run(url))["names"]


def test_names_that_nothing_refers_to_are_counted_and_harm_nothing(url: str, store: Store) -> None:
    execute(store, "INSERT INTO models (id, name) VALUES (77, 'unused')")
    result = db_check.run(url)
    assert findings(result) == {}
    assert "1 of a model or provider are of no row any more" in result.checks[-1].message


def test_a_name_that_only_the_ledger_refers_to_is_in_use(url: str, store: Store) -> None:
    for table in ("usage_by_model", "usage_months"):
        execute(store, f"DELETE FROM {table}")
    assert db_check.run(url).checks[-1].message == "every row has its own"


def test_a_missing_index_is_found(url: str, store: Store) -> None:
    execute(store, "DROP INDEX ix_job_runs_job_started_at")
    assert list(findings(db_check.run(url)).values()) == ["the index ix_job_runs_job_started_at is missing"]


def test_where_a_table_is_missing_the_rest_is_not_looked_at(url: str, store: Store) -> None:
    execute(store, "DROP VIEW usage_daily")
    execute(store, "DROP TABLE usage_by_key")
    result = db_check.run(url, is_repair=True)
    assert list(findings(result).values()) == ["the table usage_by_key is missing"]
    assert len(result.checks) == 2


def test_an_older_schema_is_not_checked(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_older_schema(store, monkeypatch)
    with pytest.raises(StoreUnusableError, match=r"schema older.*`orwatch db upgrade`"):
        db_check.run(url)


# What the database is


def test_info_tells_what_the_database_is_and_holds(url: str) -> None:
    result = db_info.run(url, free=lambda _folder: 12_345)
    held = content(url)
    assert result.tables == {
        name: len(rows) for name, rows in held.items() if name not in {"alembic_version", "usage_daily"}
    }
    assert (result.first_day, result.last_day) == (TODAY - timedelta(days=38), TODAY)
    assert result.kept_from == TODAY - timedelta(days=38)
    assert result.created_at == datetime.fromtimestamp(int(NOW.timestamp()), UTC)
    assert (result.revision, result.is_current) == (SCHEMA_REVISION, True)
    assert result.size_bytes > 50_000
    assert result.engine_version[0].isdigit()
    if url.startswith("sqlite"):
        assert (result.engine, result.free_bytes) == ("SQLite", 12_345)
        settings = {"journal_mode": "wal", "auto_vacuum": "incremental", "page_size": "4096"}
        assert settings.items() <= dict(result.settings).items()
    else:
        assert (result.engine, result.free_bytes) == ("PostgreSQL", None)
        assert result.settings == (("encoding", "UTF8"),)
    assert result.notes == ()


def test_info_shows_an_older_schema_and_leaves_it(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = pretend_older_schema(store, monkeypatch)
    result = db_info.run(url)
    assert (result.revision, result.wanted_revision, result.is_current) == (revision, SCHEMA_REVISION, False)
    assert peek_revision(url) == revision


def test_info_says_what_to_do_about_settings_that_hinder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orwatch.db"
    with filled(url, 2):
        pass
    with closing(sqlite3.connect(tmp_path / "orwatch.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = 0")
        connection.execute("VACUUM")
    notes = db_info.run(url).notes
    assert ["journal_mode = WAL" in notes[0], "auto_vacuum = 2; VACUUM" in notes[1]] == [True, True]


@pytest.mark.parametrize("revision", ["9999", "0005", "copy-0005-00"])
def test_info_refuses_what_is_not_for_this_version(url: str, store: Store, revision: str) -> None:
    execute(store, f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(StoreUnusableError, match=r"newer orwatch|unreleased version|unfinished copy"):
        db_info.run(url)


def test_an_upgrade_of_a_current_schema_does_nothing(url: str) -> None:
    before = content(url)
    result = db_opening.run(url, NOW)
    assert (result.from_revision, result.to_revision) == (SCHEMA_REVISION, SCHEMA_REVISION)
    assert content(url) == before


def test_an_older_schema_is_shown_as_it_is_and_then_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/orwatch.db"
    table = "usage_by_key"
    with closing(open_store(url, NOW)) as store:
        definition = scalar(store, f"SELECT sql FROM sqlite_schema WHERE name = '{table}'")
        execute(store, f"DROP TABLE {table}")
    revision = pretend_next_schema(tmp_path / "migrations", monkeypatch, definition)

    before = db_info.run(url)
    assert (before.revision, before.is_current) == (SCHEMA_REVISION, False)
    assert table not in before.tables
    upgraded = db_opening.run(url, NOW)
    assert (upgraded.from_revision, upgraded.to_revision) == (SCHEMA_REVISION, revision)
    assert db_info.run(url).is_current
    assert db_check.run(url).exit_code == 0


@pytest.mark.parametrize("job", [db_info.run, partial(db_opening.run, now=NOW), db_check.run])
def test_where_there_is_no_database_none_is_created(job: Callable[[str], object], tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match=r"there is no database .*`orwatch key add NAME` creates it"):
        job(f"sqlite:///{tmp_path}/none/orwatch.db")
    assert list(tmp_path.iterdir()) == []
