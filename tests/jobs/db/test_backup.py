"""A backup: whole or not there, of one moment, and private."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orwatch.errors import OrwatchError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.jobs.db import backup as db_backup
from orwatch.store.engine.database import Store, open_store
from orwatch.store.upkeep import backup as store_backup
from tests.databases import content, filled
from tests.store.support import execute, file_size_limit, postgres_only
from tests.support import NOW


def silent(_done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/source/orwatch.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with filled(url) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "backup.db"


@pytest.fixture(autouse=True)
def _folder(file: Path) -> None:
    file.parent.mkdir()


def test_a_backup_holds_all_that_the_database_holds(store: Store, url: str, file: Path) -> None:
    result = db_backup.run(url, file, silent)
    held = content(url)
    assert content(f"sqlite:///{file}") == held
    assert result.tables.items() <= {name: len(rows) for name, rows in held.items()}.items()
    assert result.size_bytes == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_backup_is_ready_to_be_used(store: Store, url: str, file: Path) -> None:
    db_backup.run(url, file, silent)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_backup_beside_a_sync_is_of_one_moment_and_keeps_nobody_waiting(
    store: Store, url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_backup, "PAGES_PER_STEP", 1)
    before = content(url)
    steps: list[int] = []

    def write_meanwhile(done: int, _total: int) -> None:
        steps.append(done)
        writer = threading.Thread(target=execute, args=(store, "UPDATE usage_stats SET cost_nano = 0"))
        writer.start()
        writer.join()

    db_backup.run(url, file, write_meanwhile)

    assert content(f"sqlite:///{file}") == before != content(url)
    assert steps == sorted(set(steps)), "it began again"
    assert len(steps) > 10


def test_a_file_that_is_there_is_only_overwritten_when_told_so(store: Store, url: str, file: Path) -> None:
    file.write_text("dear")
    with pytest.raises(UsageError, match=r"is there already.*--force"):
        db_backup.run(url, file, silent)
    assert file.read_text() == "dear"
    db_backup.run(url, file, silent, is_forced=True)
    assert content(f"sqlite:///{file}") == content(url)


def test_the_database_itself_a_folder_and_a_database_in_use_are_never_overwritten(
    store: Store, url: str, file: Path
) -> None:
    database = Path(url.removeprefix("sqlite:///"))
    with pytest.raises(UsageError, match="the database itself"):
        db_backup.run(url, database, silent, is_forced=True)
    with pytest.raises(UsageError, match="is a folder"):
        db_backup.run(url, file.parent, silent, is_forced=True)
    with filled(f"sqlite:///{file}", 2), pytest.raises(UsageError, match="a database in use"):
        db_backup.run(url, file, silent, is_forced=True)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal", ".sync.lock", ".upgrade.lock"])
def test_what_belongs_to_the_database_is_never_overwritten(
    store: Store, url: str, tmp_path: Path, ending: str
) -> None:
    database = Path(url.removeprefix("sqlite:///"))
    before = sorted(database.parent.iterdir())
    link = tmp_path / "link"
    link.symlink_to(database.parent)
    for folder in (database.parent, link):
        with pytest.raises(UsageError, match="belongs to the database itself"):
            db_backup.run(url, folder / f"{database.name}{ending}", silent, is_forced=True)
    assert sorted(database.parent.iterdir()) == before


def test_only_a_regular_file_is_overwritten(store: Store, url: str, file: Path) -> None:
    os.mkfifo(file)
    dangling = file.with_name("link")
    dangling.symlink_to(file.with_name("nothing"))
    for place in (file, dangling):
        with pytest.raises(UsageError, match="is a link, a device or the like"):
            db_backup.run(url, place, silent, is_forced=True)
    assert file.is_fifo()
    assert sorted(file.parent.iterdir()) == [file, dangling]


def test_what_stops_a_backup_leaves_the_older_one_and_nothing_else(
    store: Store, url: str, file: Path
) -> None:
    file.write_text("older")

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        db_backup.run(url, file, stop, is_forced=True)
    assert (file.read_text(), list(file.parent.iterdir())) == ("older", [file])


def test_a_full_disk_is_told_and_leaves_nothing(store: Store, url: str, file: Path) -> None:
    with file_size_limit(100_000), pytest.raises(StoreUnavailableError, match=f"{file} cannot be written"):
        db_backup.run(url, file, silent)
    assert list(file.parent.iterdir()) == []


def test_a_place_that_is_not_there_is_told(store: Store, url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match="cannot be written: No such file or directory"):
        db_backup.run(url, tmp_path / "nowhere" / "backup.db", silent)


def test_a_damaged_database_makes_no_backup(store: Store, url: str, file: Path) -> None:
    store.close()
    database = Path(url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(database)) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'ix_job_runs_job_started_at'"
        ).fetchone()[0]
    with database.open("r+b") as damaged:
        damaged.seek((page - 1) * 4096)
        damaged.write(b"\xff" * 200)
    with pytest.raises(OrwatchError, match=r"was not written: what was copied is damaged|is damaged"):
        db_backup.run(url, file, silent)
    assert list(file.parent.iterdir()) == []


def test_an_older_schema_is_backed_up_as_it_is(store: Store, url: str, file: Path) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '0005'")
    db_backup.run(url, file, silent)
    assert content(f"sqlite:///{file}")["alembic_version"] == [("0005",)]


def test_where_there_is_no_database_there_is_no_backup(tmp_path: Path, file: Path) -> None:
    with pytest.raises(StoreUnusableError, match="there is no database"):
        db_backup.run(f"sqlite:///{tmp_path}/none.db", file, silent)
    assert list(file.parent.iterdir()) == []


@postgres_only
def test_a_server_is_backed_up_by_its_own_means(database_url: str, file: Path) -> None:
    with pytest.raises(UsageError, match=r"with pg_dump"):
        db_backup.run(database_url, file, silent)
    open_store(database_url, NOW).close()
    with pytest.raises(UsageError, match=r"with pg_dump"):
        db_backup.run(database_url, file, silent)
    assert list(file.parent.iterdir()) == []


def test_an_empty_database_is_backed_up_too(database_url: str, file: Path) -> None:
    db_backup.run(database_url, file, silent)
    assert content(f"sqlite:///{file}") == content(database_url)
