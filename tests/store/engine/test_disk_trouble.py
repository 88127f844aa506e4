"""A full disk and a database that may only be read."""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError, StoreUnavailableError
from orwatch.store.engine import sqlite
from orwatch.store.engine.database import Store, open_store, peek_revision
from orwatch.store.engine.locks import is_held, job_lock
from tests.store.support import add_key, dump, file_size_limit, path_of, run_python, write
from tests.support import NOW, FakeClock, usage_answer, usage_row


@pytest.fixture
def engine() -> str:
    """What these tests are about are SQLite's files."""
    return "sqlite"


PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

WRITE_MANY_ROWS = """
import sys
from orwatch.errors import StoreUnavailableError
from orwatch.store.ledger import write as ledger
from orwatch.store.engine.database import open_store
from tests.store.support import file_size_limit
from tests.support import NOW, usage_answer, usage_row

store = open_store(sys.argv[1], NOW)
many = usage_answer(*(usage_row(model=f"maker/{'x' * 100}-{number}") for number in range(5000)))
try:
    with file_size_limit(int(sys.argv[2])), store.write() as connection:
        ledger.write_usage(connection, 1, many, NOW)
except StoreUnavailableError as error:
    print(error)
# The process goes on with the same connection.
with store.read() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM usage_stats").scalar())
store.close()
"""


# Enough for the database as it is, not for what is to be written.
LITTLE_ROOM = 200_000
MUCH_ROOM = 1_000_000_000


def obey_file_modes() -> None:
    """Give up what lets root read and write whatever the mode says."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")


def test_a_full_disk_fails_the_write_and_leaves_the_database_whole(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(usage_row()))
    before = dump(store, "usage_stats")

    done = run_python(WRITE_MANY_ROWS, f"sqlite:///{store.location}", LITTLE_ROOM)

    assert (done.returncode, done.stderr) == (0, "")
    message, rows = done.stdout.splitlines()
    assert "is its disk full?" in message
    assert rows == "1"
    assert dump(store, "usage_stats") == before
    assert dump(store, "models") == [(0, None), (1, "openai/gpt-4.1")]
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_a_write_that_found_the_disk_full_succeeds_once_there_is_room(store: Store) -> None:
    add_key(store)
    run_python(WRITE_MANY_ROWS, f"sqlite:///{store.location}", LITTLE_ROOM)

    done = run_python(WRITE_MANY_ROWS, f"sqlite:///{store.location}", MUCH_ROOM)

    assert (done.stdout, done.stderr) == ("5000\n", "")


def test_no_room_for_a_new_database_is_passing_trouble_and_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orwatch.db"

    with file_size_limit(5000), pytest.raises(StoreUnavailableError, match="is its disk full"):
        open_store(url, NOW)

    store = open_store(url, NOW)
    assert add_key(store).id == 1
    store.close()


def test_no_room_for_the_file_or_its_folder_is_passing_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "make_private_folder", Mock(side_effect=OSError(errno.ENOSPC, "No space")))

    with pytest.raises(StoreUnavailableError, match=r"cannot create the database.*Make room and try again"):
        open_store(f"sqlite:///{tmp_path}/new/orwatch.db", NOW)


def test_a_database_that_cannot_be_looked_at_on_a_full_disk_is_passing_trouble(store: Store) -> None:
    """As by `db upgrade`: to be read, too, a file is needed beside it."""
    add_key(store)
    store.close()

    with file_size_limit(0), pytest.raises(StoreUnavailableError, match="is its disk full"):
        peek_revision(f"sqlite:///{store.location}")


def test_no_room_for_a_dry_run_is_that_of_the_temporary_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with (
        file_size_limit(5000),
        pytest.raises(StoreUnavailableError, match=f"^{tmp_path}/orwatch-.* has no room .* in TMPDIR"),
        store.scratch_copy(),
    ):
        pass


def test_a_lock_is_held_on_a_full_disk_too_only_its_holder_is_not_told(store: Store) -> None:
    with (
        file_size_limit(0),
        job_lock(store, Job.SYNC, FakeClock()),
        pytest.raises(LockHeldError, match="is running; nothing was done"),
        job_lock(store, Job.SYNC, FakeClock()),
    ):
        pass

    assert not is_held(store, Job.SYNC)


@pytest.fixture(params=["file", "folder", "both"])
def read_only(request: pytest.FixtureRequest, store: Store) -> Iterator[Path]:
    """A database that was used and let go of, and may then only be read."""
    add_key(store)
    write(store, usage_answer(usage_row()))
    store.close()
    folder, files = path_of(store).parent, list(path_of(store).parent.iterdir())
    if request.param != "folder":
        for file in files:
            file.chmod(0o400)
    if request.param != "file":
        folder.chmod(0o500)
    yield path_of(store)
    folder.chmod(0o700)


READ_OR_WRITE = """
import sys
from contextlib import closing
from orwatch.errors import StoreUnusableError
from orwatch.store.engine.database import open_store
from tests.support import NOW, FakeClock
try:
    with closing(open_store(sys.argv[1], NOW)) as store:
        with store.write() if sys.argv[2] == "write" else store.read() as connection:
            if sys.argv[2] == "write":
                connection.exec_driver_sql("DELETE FROM usage_stats")
            print(connection.exec_driver_sql("SELECT count(*) FROM usage_stats").scalar())
except StoreUnusableError as error:
    print(error)
"""


def test_a_database_that_may_only_be_read_is_read_or_says_what_to_check(read_only: Path) -> None:
    done = run_python(READ_OR_WRITE, f"sqlite:///{read_only}", "read", preexec_fn=obey_file_modes)

    assert done.stderr == ""
    assert done.stdout == "1\n" or "Check the owner and the mode of the file and of its folder" in done.stdout


def test_writing_to_a_database_that_may_only_be_read_says_what_to_check(read_only: Path) -> None:
    done = run_python(READ_OR_WRITE, f"sqlite:///{read_only}", "write", preexec_fn=obey_file_modes)

    assert done.stderr == ""
    assert "Check the owner and the mode of the file and of its folder" in done.stdout
    read_only.parent.chmod(0o700)
    read_only.chmod(0o600)
    left = sqlite3.connect(read_only)
    assert left.execute("SELECT count(*) FROM usage_stats").fetchone() == (1,)
    left.close()


def test_a_folder_that_may_not_be_written_refuses_a_new_database_with_advice(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)

    done = run_python(READ_OR_WRITE, f"sqlite:///{folder}/sub/orwatch.db", "read", preexec_fn=obey_file_modes)

    assert done.stderr == ""
    assert "cannot create the database" in done.stdout
    assert "Name a place that can be written in ORWATCH_DATABASE_URL" in done.stdout


@pytest.mark.parametrize("purpose", ["the lock of a job", "whether it is held"])
def test_a_folder_that_may_not_be_written_refuses_the_lock_of_a_job(store: Store, purpose: str) -> None:
    script = """
import sys
from pathlib import Path
from orwatch.errors import StoreUnusableError
from orwatch.domain.runs import Job
from orwatch.store.engine.database import Store
from orwatch.store.engine.locks import is_held, job_lock
from orwatch.store.engine.sqlite import SqliteBackend
from tests.support import NOW, FakeClock
store = Store(SqliteBackend(Path(sys.argv[1])), is_new=False)
try:
    if sys.argv[2] == "whether it is held":
        is_held(store, Job.SYNC)
    else:
        job_lock(store, Job.SYNC, FakeClock()).__enter__()
except StoreUnusableError as error:
    print(error)
"""
    path_of(store).parent.chmod(0o500)
    done = run_python(script, path_of(store), purpose, preexec_fn=obey_file_modes)
    path_of(store).parent.chmod(0o700)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "cannot open the lock file" in done.stdout
