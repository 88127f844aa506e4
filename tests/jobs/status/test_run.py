"""Status: what needs a person, and what does not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from orwatch.domain import schedule
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind
from orwatch.domain.runs import Job, RunStatus
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key.problems import SUCCESSOR
from orwatch.jobs.runs import history as run_history
from orwatch.jobs.status import run as status_job
from orwatch.jobs.status.result import JobStatus, StatusResult
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import add_key, days_ago, spend
from tests.store.support import dump, execute, on_each_engine
from tests.support import NOW, TODAY, FakeClock

# NOW is Friday, 12:30. Sync was due at 12:00, validate at 02:00 and cleanup last Sunday at 03:00.
LONG_AGO = NOW - timedelta(days=100)
LAST_SLOTS = {
    Job.SYNC: datetime.fromisoformat("2026-11-20T12:00:00+00:00"),
    Job.VALIDATE: datetime.fromisoformat("2026-11-20T02:00:00+00:00"),
    Job.CLEANUP: datetime.fromisoformat("2026-11-15T03:00:00+00:00"),
}


def record(
    store: Store,
    job: Job,
    started_at: datetime,
    outcome: RunStatus | None = RunStatus.OK,
    error: str | None = None,
) -> None:
    """A run as it would have left its record; ``outcome`` None: it never ended."""
    with store.write() as connection:
        run_id = runs.start_run(connection, job, started_at, schedule.latest_slot(job, started_at))
        if outcome is not None:
            runs.finish_run(connection, run_id, status=outcome, counts={}, error=error, now=started_at)


def all_ran(store: Store) -> None:
    for job, slot in LAST_SLOTS.items():
        record(store, job, slot + timedelta(minutes=1))


def make_old(store: Store) -> None:
    """A database, and keys, that have been here for long."""
    seconds = int(LONG_AGO.timestamp())
    execute(store, "UPDATE ledger_state SET created_at = ?", seconds)
    execute(store, "UPDATE api_keys SET created_at = ?", seconds)


def job_of(result: StatusResult, job: Job) -> JobStatus:
    return next(found for found in result.jobs if found.job is job)


@pytest.fixture
def watched(store: Store) -> Store:
    """A database that has watched a key for long, and all of whose jobs ran when they were due."""
    add_key(store)
    make_old(store)
    all_ran(store)
    return store


@on_each_engine
def test_where_all_ran_and_no_key_has_trouble_nothing_needs_a_person(watched: Store) -> None:
    spend(watched, (days_ago(3), "a", "1"), (TODAY, "a", "1"))

    result = status_job.run(watched, NOW)

    assert (result.problems, result.exit_code) == ((), 0)
    assert [(job.job, job.is_missed, job.problem) for job in result.jobs] == [
        (job, False, None) for job in Job
    ]
    assert [key.key.name for key in result.keys] == ["work"]
    assert (result.ledger_rows, result.first_day, result.last_day) == (2, days_ago(3), TODAY)
    assert (result.now, result.database) == (NOW, watched.location)
    assert result.database_bytes == watched.size_bytes() > 0


@on_each_engine
def test_each_job_tells_its_last_run_and_when_it_is_next_due(watched: Store) -> None:
    record(watched, Job.SYNC, NOW - timedelta(minutes=5), RunStatus.PARTIAL, "one key failed")

    result = status_job.run(watched, NOW)

    last = job_of(result, Job.SYNC).last_run
    assert last is not None
    assert job_of(result, Job.SYNC).age_seconds == 300
    assert (last.status, last.started_at, last.error) == (
        RunStatus.PARTIAL,
        NOW - timedelta(minutes=5),
        "one key failed",
    )
    assert {job.job: job.next_due_at for job in result.jobs} == {
        Job.SYNC: LAST_SLOTS[Job.SYNC] + timedelta(hours=1),
        Job.VALIDATE: LAST_SLOTS[Job.VALIDATE] + timedelta(days=1),
        Job.CLEANUP: LAST_SLOTS[Job.CLEANUP] + timedelta(days=7),
    }
    assert result.exit_code == 0


@pytest.mark.parametrize("job", list(Job))
def test_a_job_that_did_not_run_when_it_was_due_was_missed(store: Store, job: Job) -> None:
    add_key(store)
    make_old(store)
    for other, slot in LAST_SLOTS.items():
        record(store, other, slot + timedelta(minutes=-1 if other is job else 1))

    result = status_job.run(store, NOW)

    assert [found.job for found in result.jobs if found.is_missed] == [job]
    due_at = f"{LAST_SLOTS[job]:%Y-%m-%d %H:%M}"
    assert result.problems == (f"{job} was due at {due_at} UTC and did not run",)
    assert result.exit_code == 1


@on_each_engine
def test_jobs_that_never_ran_were_missed(store: Store) -> None:
    add_key(store)
    make_old(store)

    result = status_job.run(store, NOW)

    assert [(job.is_missed, job.last_run) for job in result.jobs] == [(True, None)] * 3


def test_nothing_was_missed_in_a_database_that_is_younger_than_the_slot(store: Store) -> None:
    add_key(store)

    assert status_job.run(store, NOW).problems == ()
    assert status_job.run(store, NOW + timedelta(hours=2)).problems != ()


def test_nothing_was_missed_where_no_key_is_watched(store: Store) -> None:
    add_key(store)
    make_old(store)
    key_jobs.disable(store, "work", NOW)

    assert status_job.run(store, NOW).problems == ()


def test_nothing_was_missed_before_the_first_key_came_into_an_old_database(store: Store) -> None:
    make_old(store)
    add_key(store)

    assert status_job.run(store, NOW).problems == ()
    assert job_of(status_job.run(store, NOW + timedelta(hours=1)), Job.SYNC).is_missed


def test_a_younger_key_does_not_excuse_what_was_missed_for_an_older_one(store: Store) -> None:
    add_key(store)
    make_old(store)
    add_key(store, "younger")

    assert len(status_job.run(store, NOW).problems) == 3


def test_a_failed_run_is_told_with_its_reason(watched: Store) -> None:
    record(watched, Job.SYNC, NOW, RunStatus.FAILED, "no route to host")

    assert status_job.run(watched, NOW).problems == ("the last sync failed: no route to host",)


@pytest.mark.parametrize("outcome", [None, RunStatus.INTERRUPTED])
def test_a_run_that_never_ended_and_holds_no_lock_was_interrupted(
    watched: Store, outcome: RunStatus | None
) -> None:
    record(watched, Job.SYNC, NOW, outcome)

    result = status_job.run(watched, NOW)

    last = job_of(result, Job.SYNC).last_run
    assert last is not None
    assert last.status is RunStatus.INTERRUPTED
    assert result.problems == ("the last sync was interrupted; the next one carries on where it stopped",)


@on_each_engine
def test_a_run_under_way_is_no_trouble(watched: Store) -> None:
    record(watched, Job.SYNC, NOW, None)
    with locks.job_lock(watched, Job.SYNC, FakeClock()):
        result = status_job.run(watched, NOW)

    last = job_of(result, Job.SYNC).last_run
    assert last is not None
    assert last.status is RunStatus.RUNNING
    assert result.problems == ()


@on_each_engine
def test_a_run_that_ends_while_status_looks_is_not_called_interrupted(
    watched: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(watched, Job.SYNC, NOW, None)

    def end_and_free_the_lock(*_arguments: object) -> bool:
        execute(watched, "UPDATE job_runs SET status = 'ok' WHERE status = 'running'")
        return False

    monkeypatch.setattr(locks, "is_held", end_and_free_the_lock)
    result = status_job.run(watched, NOW)

    last = job_of(result, Job.SYNC).last_run
    assert last is not None
    assert last.status is RunStatus.OK
    assert result.problems == ()


def test_a_missed_slot_is_told_before_an_older_failure(watched: Store) -> None:
    with watched.write() as connection:
        connection.exec_driver_sql("DELETE FROM job_runs WHERE job = 'sync'")
    record(watched, Job.SYNC, NOW - timedelta(days=2), RunStatus.FAILED, "old trouble")

    assert [problem[:12] for problem in status_job.run(watched, NOW).problems] == ["sync was due"]


@on_each_engine
def test_an_invalid_key_needs_a_person(watched: Store) -> None:
    with watched.write() as connection:
        stored_keys.set_inactive(connection, 1, InactiveReason.INVALID, NOW)
        stored_keys.record_sync_failure(connection, 1, "401")

    assert status_job.run(watched, NOW).problems == (
        "work: invalid: OpenRouter refuses it. Store its successor's secret with "
        "`orwatch key replace NAME`, or remove or disable this one",
    )


def test_a_disabled_key_is_nobodys_trouble_whatever_it_left_behind(watched: Store) -> None:
    with watched.write() as connection:
        stored_keys.record_sync_failure(connection, 1, "401")
    key_jobs.disable(watched, "work", NOW)

    assert status_job.run(watched, NOW).problems == ()


@on_each_engine
def test_a_removed_key_is_not_told_of(watched: Store) -> None:
    with watched.write() as connection:
        stored_keys.record_sync_failure(connection, 1, "401")
    key_jobs.remove(watched, "work", NOW, with_history=False)

    assert status_job.run(watched, NOW).keys == ()


def test_a_key_whose_last_sync_failed_says_why(watched: Store) -> None:
    with watched.write() as connection:
        stored_keys.record_sync_failure(connection, 1, "GET /usage answered 402")

    assert status_job.run(watched, NOW).problems == ("work: the last sync: GET /usage answered 402",)


@pytest.mark.parametrize(
    ("expires_in", "problems"),
    [
        (timedelta(days=8), ()),
        (timedelta(days=6), (f"work: the key expires at 2026-11-26 12:30 UTC. {SUCCESSOR}",)),
        (timedelta(days=-1), (f"work: the key expired at 2026-11-19 12:30 UTC. {SUCCESSOR}",)),
    ],
)
def test_a_key_that_expires_soon_needs_a_person(
    watched: Store, expires_in: timedelta, problems: tuple[str, ...]
) -> None:
    with watched.write() as connection:
        facts = KeyFacts(KeyKind.INFERENCE, expires_at=NOW + expires_in)
        stored_keys.record_facts(connection, 1, facts, NOW)

    assert status_job.run(watched, NOW).problems == problems


@on_each_engine
def test_status_writes_nothing(watched: Store, clock: FakeClock) -> None:
    cleanup_job.run(watched, 7, clock)
    record(watched, Job.SYNC, NOW, None)
    before = dump(watched, "job_runs")

    status_job.run(watched, NOW)

    assert dump(watched, "job_runs") == before


@on_each_engine
def test_a_run_of_single_keys_does_not_stand_for_the_job(watched: Store) -> None:
    all_ran(watched)
    with watched.write() as connection:
        connection.exec_driver_sql("UPDATE job_runs SET slot = NULL WHERE job = 'sync'")

    (sync_status, *_) = status_job.run(watched, NOW).jobs

    assert sync_status.last_run is not None
    assert sync_status.is_missed


@pytest.mark.parametrize("outcome", [RunStatus.OK, RunStatus.FAILED, RunStatus.INTERRUPTED])
def test_a_last_run_that_is_yet_to_come_had_a_wrong_clock(watched: Store, outcome: RunStatus) -> None:
    record(watched, Job.SYNC, NOW + timedelta(days=365), outcome, "the clock says")

    assert status_job.run(watched, NOW).problems == (
        "the last sync began at 2027-11-20 12:30 UTC, which is yet to come: the clock was wrong",
    )


def test_after_a_run_with_a_wrong_clock_what_is_missed_is_still_told(watched: Store) -> None:
    record(watched, Job.VALIDATE, NOW + timedelta(days=365))
    tomorrow = NOW + timedelta(days=1)

    assert job_of(status_job.run(watched, tomorrow), Job.VALIDATE).is_missed
    assert run_history.missed_jobs(watched, tomorrow) == [Job.VALIDATE]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "; the next one carries on where it stopped"),
        ("stopped by SIGTERM", ": stopped by SIGTERM; the next one carries on where it stopped"),
        (
            "cannot write /var/a; b.db; it is full",
            ": cannot write /var/a; b.db; it is full; the next one carries on where it stopped",
        ),
    ],
)
def test_an_interruption_is_told_with_its_reason(watched: Store, error: str | None, words: str) -> None:
    record(watched, Job.SYNC, NOW - timedelta(minutes=5), RunStatus.INTERRUPTED, error)

    assert status_job.run(watched, NOW).problems == (f"the last sync was interrupted{words}",)
