"""Locks between processes."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from orwatch.errors import LockHeldError, StoreUnavailableError, StoreUnusableError
from orwatch.models import Job
from orwatch.store.locks import is_held, job_lock
from tests.store.support import run_python, start_python
from tests.support import NOW, FakeClock

HOLD_UNTIL_KILLED = """
import sys
from pathlib import Path
from orwatch.models import Job
from orwatch.store.locks import job_lock
from tests.support import FakeClock
with job_lock(Path(sys.argv[1]), Job.SYNC, FakeClock()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orwatch.db"


def take(path: Path, job: Job = Job.SYNC, minutes_later: float = 0) -> None:
    with job_lock(path, job, FakeClock(NOW + timedelta(minutes=minutes_later))):
        pass


def test_a_second_holder_is_refused_and_told_of_the_first_ones_process_and_age(path: Path) -> None:
    with job_lock(path, Job.SYNC, FakeClock()), pytest.raises(LockHeldError) as refused:
        take(path, minutes_later=12.5)

    assert str(refused.value) == (
        f"another sync of this database is running (process {os.getpid()}, started 12 min ago); "
        "nothing was done."
    )
    assert refused.value.exit_code == 75


def test_the_age_of_a_holder_is_never_negative(path: Path) -> None:
    with job_lock(path, Job.SYNC, FakeClock()), pytest.raises(LockHeldError, match="started 0 min ago"):
        take(path, minutes_later=-90)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"pid": "x", "since": 1}', '{"pid": 1, "since": "2026-11-20T12:00:00"}']
)
def test_a_holder_that_did_not_say_who_it_is_still_holds(path: Path, text: str) -> None:
    with job_lock(path, Job.SYNC, FakeClock()):
        (path.parent / "orwatch.db.sync.lock").write_text(text)
        with pytest.raises(LockHeldError, match="sync of this database is running; nothing was done"):
            take(path)


def test_a_lock_is_free_again_after_its_block_however_that_ends(path: Path) -> None:
    take(path)
    with pytest.raises(ZeroDivisionError), job_lock(path, Job.SYNC, FakeClock()):
        raise ZeroDivisionError

    take(path)

    assert not is_held(path, Job.SYNC)


def test_each_job_and_each_database_has_a_lock_of_its_own(path: Path, tmp_path: Path) -> None:
    with job_lock(path, Job.SYNC, FakeClock()):
        take(path, Job.VALIDATE)
        take(tmp_path / "other.db")

        assert [job for job in Job if is_held(path, job)] == [Job.SYNC]


def test_asking_whether_a_lock_is_held_does_not_take_it(path: Path) -> None:
    assert not is_held(path, Job.SYNC)

    with job_lock(path, Job.SYNC, FakeClock()):
        assert is_held(path, Job.SYNC)
        assert is_held(path, Job.SYNC)


def test_a_lock_is_freed_when_its_process_is_killed(path: Path) -> None:
    with start_python(HOLD_UNTIL_KILLED, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(path, Job.SYNC)
        with pytest.raises(LockHeldError, match=rf"process {holder.pid}, started 7 min ago"):
            take(path, minutes_later=7)

        holder.kill()
        holder.communicate()

    assert holder.returncode == -9
    assert not is_held(path, Job.SYNC)
    take(path)


def test_a_program_that_the_holder_starts_does_not_inherit_the_lock(path: Path) -> None:
    script = """
import subprocess, sys
from pathlib import Path
from orwatch.models import Job
from orwatch.store.locks import is_held, job_lock
from tests.support import FakeClock
path = Path(sys.argv[1])
with job_lock(path, Job.SYNC, FakeClock()):
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
print(is_held(path, Job.SYNC))
child.communicate()
"""
    done = run_python(script, path)

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_lock_files_are_private(path: Path) -> None:
    umask = os.umask(0)
    try:
        take(path)
    finally:
        os.umask(umask)

    assert (path.parent / "orwatch.db.sync.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, StoreUnavailableError), (errno.EACCES, StoreUnusableError)]
)
def test_a_lock_file_that_cannot_be_created_is_told_with_its_path(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("orwatch.store.locks.os.open", refuse)

    with pytest.raises(expected, match=r"cannot open the lock file .*orwatch.db.sync.lock for writing: "):
        take(path)


def test_a_run_may_wait_for_the_other_one_to_end(path: Path) -> None:
    class Impatient(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 3:
                other.close()

    other = ExitStack()
    other.enter_context(job_lock(path, Job.SYNC, FakeClock()))
    clock = Impatient()
    with job_lock(path, Job.SYNC, clock, wait_seconds=60):
        assert clock.slept == [0.5, 0.5, 0.5]


def test_a_run_waits_no_longer_than_it_was_told_to(path: Path) -> None:
    clock = FakeClock()
    with (
        job_lock(path, Job.SYNC, FakeClock()),
        pytest.raises(LockHeldError),
        job_lock(path, Job.SYNC, clock, wait_seconds=1.25),
    ):
        pass
    assert clock.slept == [0.5, 0.5, 0.25]
