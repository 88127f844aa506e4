"""Back to a backup: the old database or the new one, and what was there is kept."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.jobs.db import backup as db_backup
from orwatch.jobs.db import restore as db_restore
from orwatch.jobs.db.result import DbRestoreResult
from orwatch.jobs.key import replace as replacing
from orwatch.secrets import Keyring
from orwatch.store.engine import locks
from orwatch.store.engine.database import open_as_it_is, open_store
from orwatch.store.upkeep import restore as store_restore
from orwatch.store.upkeep.restore import OnProgress
from tests.cli.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, add_key
from tests.databases import Content, content, filled
from tests.store.support import (
    dump,
    execute,
    file_size_limit,
    postgres_only,
    pretend_next_schema,
    start_python,
)
from tests.support import NOW, FakeClock, secret_of

KEPT = "orwatch-before-restore-20261120T123000Z.db"


@pytest.fixture(scope="module")
def backup(filled_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of 40 days, made by the command."""
    backup = tmp_path_factory.mktemp("backup") / "backup.db"
    db_backup.run(url_of(filled_file), backup, lambda *_: None)
    return backup


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("three days") / "orwatch.db"
    with filled(url_of(path), 3):
        return path


@pytest.fixture
def file(tmp_path: Path, backup: Path) -> Path:
    """The backup, a copy for each test."""
    return shutil.copy(backup, tmp_path / "backup.db")


@pytest.fixture
def place(tmp_path: Path, three_days: Path) -> Path:
    """Where the database is: one of 3 days, unless a test takes it away."""
    folder = tmp_path / "share"
    folder.mkdir(mode=0o700)
    return shutil.copy(three_days, folder / "orwatch.db")


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def restore(
    place: Path, file: Path, *encryption_keys: str, on_progress: OnProgress = lambda *_: None
) -> DbRestoreResult:
    return restore_at(url_of(place), file, *encryption_keys, on_progress=on_progress)


def restore_at(
    url: str, file: Path, *encryption_keys: str, on_progress: OnProgress = lambda *_: None
) -> DbRestoreResult:
    with db_restore.checked(url, file, encryption_keys, NOW) as backup:
        return db_restore.run(backup, FakeClock(), on_progress)


def without_locks(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir() if not each.name.endswith(".lock")}


def damage(file: Path, offset: int = 0) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 4096)


def test_the_database_is_the_backup_and_what_was_there_is_kept(place: Path, file: Path) -> None:
    before, wanted, bytes_before = content(url_of(place)), content(url_of(file)), file.read_bytes()
    progress: set[str] = set()

    result = restore(place, file, on_progress=lambda doing, _done, _total: progress.add(doing))

    assert content(url_of(place)) == wanted != before
    assert content(url_of(place.with_name(KEPT))) == before
    assert (result.kept, result.file) == (str(place.with_name(KEPT)), str(file))
    assert result.tables["usage_stats"] == len(wanted["usage_stats"])
    assert file.read_bytes() == bytes_before
    assert progress == {"Keeping", "Restoring"}
    assert without_locks(place.parent) == {place.name, KEPT}


def test_each_restoration_keeps_its_own_file(place: Path, file: Path) -> None:
    restore(place, file)
    assert restore(place, file).kept == str(place.with_name(KEPT.replace(".db", "-2.db")))


def test_where_there_is_no_database_it_is_created(tmp_path: Path, file: Path) -> None:
    place = tmp_path / "new" / "orwatch.db"
    result = restore(place, file)
    assert content(url_of(place)) == content(url_of(file))
    assert result.kept is None
    assert without_locks(place.parent) == {place.name}
    assert (place.stat().st_mode & 0o777, place.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_who_reads_the_database_meanwhile_sees_the_old_one_whole(place: Path, file: Path) -> None:
    with closing(open_as_it_is(url_of(place))) as store:
        before = dump(store, "usage_stats")
        with store.read() as connection:
            connection.exec_driver_sql("SELECT 1 FROM usage_stats").all()
            restore(place, file)
            found = [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM usage_stats")]
            assert sorted(found, key=repr) == before
        assert dump(store, "usage_stats") != before


def test_what_is_in_the_log_of_the_old_database_is_not_applied_to_the_new_one(
    place: Path, file: Path
) -> None:
    with closing(open_as_it_is(url_of(place))) as store:
        execute(store, "UPDATE usage_stats SET cost_nano = 7")
        assert place.with_name("orwatch.db-wal").stat().st_size > 0
        restore(place, file)
    assert content(url_of(place)) == content(url_of(file))


@pytest.mark.parametrize("offset", [0, 3 * 4096], ids=["the first page", "another page"])
def test_a_damaged_database_is_replaced_and_kept_as_it_is(place: Path, file: Path, offset: int) -> None:
    damage(place, offset)
    damaged = place.read_bytes()

    result = restore(place, file)

    assert content(url_of(place)) == content(url_of(file))
    assert result.kept == str(place.with_name(KEPT))
    assert place.with_name(KEPT).read_bytes() == damaged
    assert without_locks(place.parent) == {place.name, KEPT}
    assert place.stat().st_mode & 0o777 == 0o600


def test_the_log_of_a_damaged_database_is_kept_and_not_applied(place: Path, file: Path) -> None:
    # With a reader that holds it open, for else SQLite itself takes the log away.
    with closing(open_as_it_is(url_of(place))) as store:
        execute(store, "UPDATE usage_stats SET cost_nano = 7")
        log = place.with_name(f"{place.name}-wal").read_bytes()
        damage(place)

        restore(place, file)

        assert content(url_of(place)) == content(url_of(file))
        assert place.with_name(f"{KEPT}-wal").read_bytes() == log != b""


def test_an_older_schema_is_upgraded_and_the_file_left_as_it_is(
    place: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_before = file.read_bytes()
    pretend_next_schema(tmp_path / "migrations", monkeypatch, "CREATE TABLE made_up (id INTEGER)")
    restore(place, file)
    with closing(open_as_it_is(url_of(place))) as store:
        assert dump(store, "alembic_version") == [("made up",)]
        assert dump(store, "made_up") == []
    assert file.read_bytes() == bytes_before


def assert_refused(place: Path, file: Path, message: str, kind: type[Exception] = StoreUnusableError) -> None:
    before, names = content(url_of(place)), without_locks(place.parent)
    with pytest.raises(kind, match=message) as refused:
        restore(place, file)
    assert "/backup.db (" not in str(refused.value) or str(file) in str(refused.value)
    assert content(url_of(place)) == before
    assert without_locks(place.parent) == names


def test_what_is_no_whole_database_of_orwatch_is_refused(place: Path, file: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("a text, and no database" * 100)
    assert_refused(place, text, rf"{text} is not a database.*Nothing was restored")
    empty = tmp_path / "empty.db"
    empty.touch()
    assert_refused(place, empty, f"{empty} holds no tables of orwatch")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    assert_refused(place, other, f"{other} holds tables that are not orwatch's")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE usage_spans")
    assert_refused(place, file, f"{file} is damaged .*the table usage_spans is missing")
    damage(file, 5 * 4096)
    assert_refused(place, file, f"{file} is")


@pytest.mark.parametrize(
    ("revision", "message"), [("0005", "of an unreleased version"), ("9999", "written by a newer orwatch")]
)
def test_a_backup_of_a_version_that_is_not_known_is_refused(
    place: Path, file: Path, revision: str, message: str
) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert_refused(place, file, f"the database {file} .*{message}.*name another backup")


def test_no_file_and_the_database_itself_are_usage_errors(place: Path, tmp_path: Path) -> None:
    assert_refused(place, tmp_path / "none.db", "there is no file", UsageError)
    assert_refused(place, tmp_path, "there is no file", UsageError)
    assert_refused(place, place, "is the database itself", UsageError)


def test_a_backup_in_a_folder_that_is_read_only_is_restored(place: Path, file: Path) -> None:
    wanted = content(url_of(file))
    folder = file.parent / "read only"
    folder.mkdir()
    shutil.move(file, folder / "backup.db")
    folder.chmod(0o500)
    try:
        restore(place, folder / "backup.db")
        assert [each.name for each in folder.iterdir()] == ["backup.db"]
    finally:
        folder.chmod(0o700)
    assert content(url_of(place)) == wanted


def test_a_database_in_use_is_restored_as_it_is_with_its_log(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "orwatch.db"
    with filled(url_of(other), 9) as store:
        execute(store, "UPDATE usage_stats SET cost_nano = 7")
        restore(place, other)
        assert content(url_of(place)) == content(url_of(other))


def test_another_program_s_tables_stay(place: Path, file: Path) -> None:
    place.unlink()
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreUnusableError, match="holds tables that are not orwatch's"):
        restore(place, file)
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("recipes",)]


def test_pages_of_another_size_are_refused(place: Path, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM")
    assert_refused(place, file, "8192 bytes, those of .* 4096.*Move the database away")


@pytest.mark.parametrize("job", Job)
def test_while_a_job_runs_nothing_is_restored(place: Path, file: Path, job: Job) -> None:
    with closing(open_as_it_is(url_of(place))) as store, locks.job_lock(store, job, FakeClock()):
        assert_refused(place, file, f"another {job} of this database is running", LockHeldError)


def test_no_job_begins_while_it_is_restored(place: Path, file: Path) -> None:
    refused = []

    def sync(_doing: str, _done: int, _total: int) -> None:
        with closing(open_as_it_is(url_of(place))) as store:
            with pytest.raises(LockHeldError, match="this database is being restored") as error:
                locks.job_lock(store, Job.SYNC, FakeClock()).__enter__()
            refused.append(error)

    restore(place, file, on_progress=sync)
    assert refused


def test_what_another_process_writes_meanwhile_is_not_lost(place: Path, file: Path) -> None:
    def write(_doing: str, _done: int, _total: int) -> None:
        with closing(open_as_it_is(url_of(place))) as store:
            execute(store, "UPDATE api_keys SET label = 'new'")

    with pytest.raises(StoreUnavailableError, match=r"has written to .* meanwhile; nothing was restored"):
        restore(place, file, on_progress=write)
    assert without_locks(place.parent) == {place.name}
    assert {row[0] for row in _query(place, "SELECT label FROM api_keys")} == {"new"}


def test_a_database_that_is_locked_is_left_alone(
    place: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orwatch.store.engine.backend.BUSY_TIMEOUT_SECONDS", 0.1)
    with closing(sqlite3.connect(place, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert_refused(place, file, "is locked by another process", StoreUnavailableError)


def _query(place: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute(statement).fetchall()


def test_what_stops_it_leaves_the_old_database(
    place: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_restore, "PAGES_PER_STEP", 5)

    def stop(doing: str, done: int, _total: int) -> None:
        if doing == "Restoring" and done > 5:
            raise KeyboardInterrupt

    before = content(url_of(place))
    with pytest.raises(KeyboardInterrupt):
        restore(place, file, on_progress=stop)
    assert content(url_of(place)) == before


def test_a_full_disk_leaves_the_old_database(place: Path, file: Path) -> None:
    before = content(url_of(place))
    with file_size_limit(100_000), pytest.raises(StoreUnavailableError, match="Is the disk full"):
        restore(place, file)
    assert content(url_of(place)) == before
    damage(place)
    damaged = place.read_bytes()
    with (
        db_restore.checked(url_of(place), file, (), NOW) as backup,
        file_size_limit(100_000),
        pytest.raises(StoreUnavailableError, match="cannot be replaced"),
    ):
        db_restore.run(backup, FakeClock(), lambda *_: None)
    assert place.read_bytes() == damaged


_KILLED = """
import os, signal, sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from orwatch.cli.context import SystemClock
from orwatch.jobs.db import restore
from orwatch.store.upkeep import restore as store_restore

store_restore.PAGES_PER_STEP = 5
url, file, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def on_progress(doing, done, total):
    if doing == "Restoring" and done >= steps:
        os.kill(os.getpid(), signal.SIGKILL)

with restore.checked(url, file, (), datetime.now(UTC)) as backup:
    restore.run(backup, SystemClock(), on_progress)
"""


def kill_at(pages: int, place: Path, file: Path) -> Content:
    """The database after a restoration that was killed when so many pages were copied."""
    with start_python(_KILLED, url_of(place), file, pages) as process:
        _out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    assert _query(place, "PRAGMA integrity_check") == [("ok",)]
    return content(url_of(place))


def test_kill_9_in_the_middle_leaves_the_old_database_or_the_new(place: Path, file: Path) -> None:
    before, wanted = content(url_of(place)), content(url_of(file))
    pages = int(str(_query(file, "PRAGMA page_count")[0][0]))
    assert kill_at(pages // 2, place, file) == before
    assert kill_at(pages, place, file) == wanted


def test_keys_that_the_encryption_key_does_not_open_are_named(place: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sealed.db"
    with closing(open_store(url, NOW)) as store:
        add_key(store, "production")
        replacing.replace(store, Keyring([ENCRYPTION_KEY]), "production", secret_of("new"), None, NOW)
    file = tmp_path / "sealed.db"
    assert restore(place, file, ENCRYPTION_KEY).unopened == ()
    assert restore(place, file, OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY).unopened == ()
    assert restore(place, file, OTHER_ENCRYPTION_KEY).unopened == ("production",)
    assert restore(place, file).unopened == ("production",)


@postgres_only
def test_a_server_is_restored_by_its_own_means(database_url: str, file: Path) -> None:
    with pytest.raises(UsageError, match=r"with pg_restore.*orwatch db copy --to URL"):
        restore_at(database_url, file)
