"""Locks between processes."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError, StoreUnavailableError, StoreUnusableError
from orwatch.store.engine.database import Store, open_store
from orwatch.store.engine.locks import is_held, job_lock
from tests.store.support import execute, path_of, postgres_only, run_python, sqlite_only, start_python
from tests.support import NOW, FakeClock, root_only

HOLD_UNTIL_KILLED = """
import sys
from orwatch.domain.runs import Job
from orwatch.store.engine.database import open_store
from orwatch.store.engine.locks import job_lock
from tests.support import NOW, FakeClock
with job_lock(open_store(sys.argv[1], NOW), Job.SYNC, FakeClock()):
    print("held", flush=True)
    sys.stdin.readline()
"""


def take(store: Store, job: Job = Job.SYNC, minutes_later: float = 0) -> None:
    with job_lock(store, job, FakeClock(NOW + timedelta(minutes=minutes_later))):
        pass


def here(engine: str) -> str:
    """How a message names this machine: where only one can use the database, not at all."""
    return f" on {socket.gethostname()}" if engine == "postgres" else ""


def test_a_second_holder_is_refused_and_told_of_the_first_ones_process_and_age(
    store: Store, engine: str
) -> None:
    with job_lock(store, Job.SYNC, FakeClock()), pytest.raises(LockHeldError) as refused:
        take(store, minutes_later=12.5)

    assert str(refused.value) == (
        f"another sync of this database is running (process {os.getpid()}{here(engine)}, "
        "started 12 min ago); nothing was done."
    )
    assert refused.value.exit_code == 75


def test_while_the_database_is_copied_that_is_said(store: Store, engine: str) -> None:
    copying = job_lock(store, Job.SYNC, FakeClock(), instead="copy")
    with copying, pytest.raises(LockHeldError) as refused:
        take(store)
    assert str(refused.value) == (
        f"this database is being copied (process {os.getpid()}{here(engine)}, started 0 min ago); "
        "nothing was done."
    )


def test_the_age_of_a_holder_is_never_negative(store: Store) -> None:
    with job_lock(store, Job.SYNC, FakeClock()), pytest.raises(LockHeldError, match="started 0 min ago"):
        take(store, minutes_later=-90)


@sqlite_only
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"pid": "x", "since": 1}', '{"pid": 1, "since": "2026-11-20T12:00:00"}']
)
def test_a_holder_that_did_not_say_who_it_is_still_holds(store: Store, text: str) -> None:
    with job_lock(store, Job.SYNC, FakeClock()):
        (path_of(store).parent / "orwatch.db.sync.lock").write_text(text)
        with pytest.raises(LockHeldError, match="sync of this database is running; nothing was done"):
            take(store)


@postgres_only
@pytest.mark.parametrize("name", ["", "psql", "orwatch sync x y z", f"orwatch sync 1 {10**30} z"])
def test_a_holder_whose_connection_bears_another_name_still_holds(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orwatch.store.engine.postgres._holder_name", lambda _job, _now: name)
    with (
        job_lock(store, Job.SYNC, FakeClock()),
        pytest.raises(LockHeldError, match="sync of this database is running; nothing was done"),
    ):
        take(store)


def test_a_lock_is_free_again_after_its_block_however_that_ends(store: Store) -> None:
    take(store)
    with pytest.raises(ZeroDivisionError), job_lock(store, Job.SYNC, FakeClock()):
        raise ZeroDivisionError

    take(store)

    assert not is_held(store, Job.SYNC)


def test_each_job_and_each_database_has_a_lock_of_its_own(
    store: Store, another_url: Callable[[], str]
) -> None:
    other = open_store(another_url(), NOW)
    with job_lock(store, Job.SYNC, FakeClock()):
        take(store, Job.VALIDATE)
        take(other)

        assert [job for job in Job if is_held(store, job)] == [Job.SYNC]
        assert [job for job in Job if is_held(other, job)] == []
    other.close()


def test_asking_whether_a_lock_is_held_does_not_take_it(store: Store) -> None:
    assert not is_held(store, Job.SYNC)

    with job_lock(store, Job.SYNC, FakeClock()):
        assert is_held(store, Job.SYNC)
        assert is_held(store, Job.SYNC)


def test_a_lock_is_freed_when_its_process_is_killed(store: Store, database_url: str, engine: str) -> None:
    with start_python(HOLD_UNTIL_KILLED, database_url) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(store, Job.SYNC)
        with pytest.raises(LockHeldError, match=rf"process {holder.pid}{here(engine)}, started 7 min ago"):
            take(store, minutes_later=7)

        holder.kill()
        holder.communicate()

    assert holder.returncode == -9
    deadline = time.monotonic() + 30
    while is_held(store, Job.SYNC):  # a server needs a moment to see that a connection is gone
        assert time.monotonic() < deadline
        time.sleep(0.01)
    take(store)


def test_a_program_that_the_holder_starts_does_not_inherit_the_lock(store: Store, database_url: str) -> None:
    script = """
import subprocess, sys
from orwatch.domain.runs import Job
from orwatch.store.engine.database import open_store
from orwatch.store.engine.locks import is_held, job_lock
from tests.support import NOW, FakeClock
store = open_store(sys.argv[1], NOW)
with job_lock(store, Job.SYNC, FakeClock()):
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
print(is_held(store, Job.SYNC))
store.close()
child.communicate()
"""
    done = run_python(script, database_url)

    assert (done.stdout, done.stderr) == ("False\n", "")


@postgres_only
def test_a_lock_whose_connection_broke_ends_without_a_word(store: Store) -> None:
    with job_lock(store, Job.SYNC, FakeClock()):
        execute(
            store, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = 11 AND locktype = 'advisory'"
        )

    take(store)


@sqlite_only
def test_lock_files_are_private(store: Store) -> None:
    umask = os.umask(0)
    try:
        take(store)
    finally:
        os.umask(umask)

    assert (path_of(store).parent / "orwatch.db.sync.lock").stat().st_mode & 0o777 == 0o600


@sqlite_only
def test_a_database_has_one_lock_by_whatever_link_it_is_reached(store: Store, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path_of(store))
    folder = tmp_path / "folder"
    folder.symlink_to(path_of(store).parent)
    for path in (link, folder / path_of(store).name):
        with closing(open_store(f"sqlite:///{path}", NOW)) as other, job_lock(store, Job.SYNC, FakeClock()):
            assert is_held(other, Job.SYNC)
            with pytest.raises(LockHeldError):
                take(other)
            take(other, Job.VALIDATE)


@sqlite_only
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_with_the_database_and_what_to_do(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    new = tmp_path / "new.db"
    monkeypatch.setattr(fcntl, "flock", refuse)
    for path, doing in (
        (path_of(store), lambda: take(store)),
        (path_of(store), lambda: is_held(store, Job.SYNC)),
        (new, lambda: open_store(f"sqlite:///{new}", NOW)),
    ):
        with pytest.raises(StoreUnusableError) as raised:
            doing()
        assert str(raised.value) == (
            f"the database {path} cannot be locked ({os.strerror(number)}): its file system has no locks. "
            "Move it to a local disk, and name its new place in ORWATCH_DATABASE_URL."
        )


@sqlite_only
@pytest.mark.parametrize("doing", [take, lambda store: is_held(store, Job.SYNC)])
def test_a_lock_file_that_is_a_link_is_refused_and_its_target_left_alone(
    store: Store, tmp_path: Path, doing: Callable[[Store], object]
) -> None:
    dear = tmp_path / "dear"
    dear.write_text("dear")
    lock_file = path_of(store).with_name("orwatch.db.sync.lock")
    lock_file.symlink_to(dear)

    with pytest.raises(StoreUnusableError, match=r"orwatch.db.sync.lock for writing: it is a link"):
        doing(store)

    assert dear.read_text() == "dear"


@sqlite_only
@root_only
def test_a_lock_file_that_root_makes_is_the_databases_owners(store: Store) -> None:
    os.chown(path_of(store), 1234, 2345)
    take(store)

    made = path_of(store).with_name("orwatch.db.sync.lock").stat()
    assert (made.st_uid, made.st_gid) == (1234, 2345)


@sqlite_only
@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, StoreUnavailableError), (errno.EACCES, StoreUnusableError)]
)
def test_a_lock_file_that_cannot_be_created_is_told_with_its_path(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("orwatch.files.os.open", refuse)

    with pytest.raises(expected, match=r"cannot open the lock file .*orwatch.db.sync.lock for writing: "):
        take(store)


def test_a_run_may_wait_for_the_other_one_to_end(store: Store) -> None:
    class Impatient(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 3:
                other.close()

    other = ExitStack()
    other.enter_context(job_lock(store, Job.SYNC, FakeClock()))
    clock = Impatient()
    with job_lock(store, Job.SYNC, clock, wait_seconds=60):
        assert clock.slept == [0.5, 0.5, 0.5]


def test_a_run_waits_no_longer_than_it_was_told_to(store: Store) -> None:
    clock = FakeClock()
    with (
        job_lock(store, Job.SYNC, FakeClock()),
        pytest.raises(LockHeldError),
        job_lock(store, Job.SYNC, clock, wait_seconds=1.25),
    ):
        pass
    assert clock.slept == [0.5, 0.5, 0.25]
