"""What every job has in common: its lock and its record."""

from __future__ import annotations

import logging

import pytest

from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import (
    InterruptedRunError,
    LockHeldError,
    OrwatchError,
    StoreUnavailableError,
    WrongClockError,
)
from orwatch.jobs.runs.recorded import recorded_run
from orwatch.redaction import keep_api_key
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from tests.store.support import dump, on_each_engine, run_python
from tests.support import NOW, SECRET, FakeClock

KILLED_RUN = """
import os, sys
from orwatch.jobs.runs.recorded import recorded_run
from orwatch.domain.runs import Job
from orwatch.store.engine.database import open_store
from tests.support import NOW, FakeClock
with recorded_run(open_store(sys.argv[1], NOW), Job.SYNC, FakeClock()):
    os.kill(os.getpid(), 9)
"""


def records(store: Store) -> list[tuple[str, str, str | None]]:
    """Job, status and error of every run."""
    return [(row[1], row[4], row[6]) for row in dump(store, "job_runs")]


def fail(store: Store, clock: FakeClock, error: BaseException) -> None:
    with recorded_run(store, Job.SYNC, clock):
        raise error


def test_a_run_is_under_way_and_holds_its_lock_until_it_ends(store: Store, clock: FakeClock) -> None:
    with recorded_run(store, Job.SYNC, clock):
        assert records(store) == [("sync", "running", None)]
        assert locks.is_held(store, Job.SYNC)
        clock.advance(minutes=4)

    assert records(store) == [("sync", "ok", None)]
    assert not locks.is_held(store, Job.SYNC)
    assert dump(store, "job_runs")[0][2:4] == (int(NOW.timestamp()), int(NOW.timestamp()) + 240)


def test_a_job_says_itself_how_it_went(store: Store, clock: FakeClock) -> None:
    with recorded_run(store, Job.SYNC, clock) as outcome:
        outcome.status, outcome.error = RunStatus.PARTIAL, "one key failed"
        outcome.counts["keys"] = 2

    assert records(store) == [("sync", "partial", "one key failed")]
    assert dump(store, "job_runs")[0][5] == '{"keys": 2}'


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (OrwatchError("what failed"), "failed", "what failed"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(143), "interrupted", "143"),
        (InterruptedRunError("stopped"), "interrupted", "stopped"),
    ],
)
def test_a_run_that_raises_is_recorded_and_raises_on(
    store: Store, clock: FakeClock, error: BaseException, status: str, text: str
) -> None:
    with pytest.raises(type(error)) as raised:
        fail(store, clock, error)

    assert raised.value is error
    assert records(store) == [("sync", status, text)]
    assert not locks.is_held(store, Job.SYNC)


def test_the_first_error_is_the_one_told_when_the_run_cannot_be_recorded_either(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def find_no_room(*_arguments: object, **_others: object) -> None:
        raise StoreUnavailableError("no room for the record")

    monkeypatch.setattr(runs, "finish_run", find_no_room)

    with pytest.raises(OrwatchError, match=r"^what failed first$"):
        fail(store, clock, OrwatchError("what failed first"))

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "the run could not be recorded: no room for the record"
    ]


def test_a_run_that_went_well_but_cannot_be_recorded_is_a_failure(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_room(*_arguments: object, **_others: object) -> None:
        raise StoreUnavailableError("no room")

    monkeypatch.setattr(runs, "finish_run", find_no_room)

    with pytest.raises(StoreUnavailableError, match="no room"), recorded_run(store, Job.SYNC, clock):
        pass


@on_each_engine
def test_a_run_that_ended_for_its_wrong_clock_stands_for_no_slot(store: Store, clock: FakeClock) -> None:
    for error in (OrwatchError("no answer"), WrongClockError("a day off")):
        with pytest.raises(type(error)):
            fail(store, clock, error)

    with store.read() as connection:
        assert [run.slot is None for run in runs.list_runs(connection, Job.SYNC, 2)] == [True, False]


def test_a_second_run_of_the_same_job_is_refused_and_not_recorded(store: Store, clock: FakeClock) -> None:
    with recorded_run(store, Job.SYNC, clock):
        with pytest.raises(LockHeldError, match="another sync"), recorded_run(store, Job.SYNC, clock):
            pytest.fail("two at once")
        with recorded_run(store, Job.VALIDATE, clock):
            pass

    assert records(store) == [("sync", "ok", None), ("validate", "ok", None)]


def test_a_killed_run_stays_running_until_the_next_one_calls_it_interrupted(
    store: Store, database_url: str, clock: FakeClock
) -> None:
    killed = run_python(KILLED_RUN, database_url)
    assert (killed.returncode, records(store)) == (-9, [("sync", "running", None)])

    with recorded_run(store, Job.SYNC, clock):
        assert [status for _, status, _ in records(store)] == ["interrupted", "running"]

    assert records(store)[0] == (
        "sync",
        "interrupted",
        "the run ended without saying so (killed, or power lost)",
    )


def test_no_secret_is_in_the_record_of_a_run(store: Store, clock: FakeClock) -> None:
    keep_api_key(SECRET)
    with pytest.raises(RuntimeError), recorded_run(store, Job.SYNC, clock):
        raise RuntimeError(f"\x1b[1mno {SECRET}")
    with recorded_run(store, Job.SYNC, clock) as outcome:
        outcome.error = f"ci: {SECRET}"
    with store.read() as connection:
        later, first = runs.list_runs(connection, Job.SYNC, 2)
    assert (first.error, later.error) == ("\ufffd[1mno sk-or-…a29f", "ci: sk-or-…a29f")
