"""Doctor's look at the jobs and at the schedule that starts them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orwatch.domain import schedule
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import BrokenMarksError, UnreadableError
from orwatch.jobs.cron.result import CronPlace, CronShowResult, CronWarning, ScheduleState
from orwatch.jobs.doctor.jobs import check_jobs, check_schedule
from orwatch.store import runs
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.doctor.support import GOOD_SCHEDULE, INSTALLED, findings, told
from tests.jobs.support import add_key
from tests.store.support import execute
from tests.support import NOW

NOTHING = CronShowResult(NOW, ())
REFUSED = "the crontab of me cannot be read: you are not allowed."
UNREADABLE = CronShowResult(NOW, (), unreadable=(UnreadableError(REFUSED),))
OWN = CronShowResult(NOW, (), own_lines=("/etc/crontab",))


def test_a_schedule_as_this_version_writes_it_is_fine() -> None:
    assert told(check_schedule(GOOD_SCHEDULE, is_missed=False)) == [
        ("user-crontab", "ok", "the crontab of me is as this version writes it")
    ]


def test_entries_that_this_version_would_write_otherwise_are_a_finding() -> None:
    units = replace(INSTALLED, place=CronPlace.SYSTEMD, location="/units", state=ScheduleState.DIFFERS)
    [check] = check_schedule(CronShowResult(NOW, (units,)), is_missed=False)
    assert told([check]) == [("systemd", "finding", "/units is not as this version writes it")]
    assert check.advice == "`orwatch cron install --systemd` corrects it."


def test_what_keeps_the_entries_from_running_is_a_finding_and_a_warning_is_told() -> None:
    warnings = (CronWarning("no cron daemon is running: start one.", True), CronWarning("only logged in"))
    shown = CronShowResult(NOW, (replace(INSTALLED, warnings=warnings),), (CronWarning("in two places"),))
    checks = list(check_schedule(shown, is_missed=False))
    assert findings(checks) == [("user-crontab", "no cron daemon is running: start one.")]
    assert told(checks)[2:] == [
        ("user-crontab", "ok", "only logged in"),
        ("schedule", "ok", "in two places"),
    ]


def test_where_a_schedule_is_found_another_place_that_cannot_be_read_does_not_matter() -> None:
    shown = replace(UNREADABLE, schedules=(INSTALLED,))
    assert findings(check_schedule(shown, is_missed=False)) == []
    broken = replace(shown, warnings=(CronWarning("the marks are no pair", is_fatal=True),))
    assert findings(check_schedule(broken, is_missed=False)) == [("schedule", "the marks are no pair")]


def test_jobs_that_are_in_a_crontab_twice_are_a_finding() -> None:
    shown = CronShowResult(
        NOW, (INSTALLED,), broken=(BrokenMarksError("tab: the marks are no pair", "Delete them."),)
    )
    [check] = check_schedule(shown, is_missed=False)
    assert findings([check]) == [("schedule", "tab: the marks are no pair")]
    assert check.advice == "Delete them."


@pytest.mark.parametrize(
    ("shown", "status", "words"),
    [
        (NOTHING, "ok", "not installed; no job was missed"),
        (OWN, "ok", "lines of your own in /etc/crontab; no job was missed"),
        (UNREADABLE, "unknown", REFUSED.rstrip(".")),
    ],
)
def test_whoever_runs_the_jobs_otherwise_is_not_told_to_install_anything(
    shown: CronShowResult, status: str, words: str
) -> None:
    assert told(check_schedule(shown, is_missed=False)) == [("schedule", status, words)]


@pytest.mark.parametrize(
    ("shown", "message"), [(NOTHING, "not installed"), (OWN, "lines of your own in /etc/crontab")]
)
def test_without_a_database_nobody_knows_whether_a_job_was_missed(
    shown: CronShowResult, message: str
) -> None:
    assert told(check_schedule(shown, is_missed=None)) == [
        ("schedule", "unknown", f"{message}; whether a job was missed is not known")
    ]


@pytest.mark.parametrize(
    ("shown", "advice"),
    [
        (NOTHING, "`orwatch cron install` lets cron run the jobs."),
        (OWN, "See that they are right, and that cron runs."),
        (UNREADABLE, "`orwatch cron show` says what to do."),
    ],
)
def test_where_a_job_was_missed_the_lack_of_a_schedule_is_a_finding(
    shown: CronShowResult, advice: str
) -> None:
    [check] = check_schedule(shown, is_missed=True)
    assert (check.status.value, check.advice) == ("finding", advice)


def test_a_schedule_with_other_settings_is_none_for_these() -> None:
    other = replace(INSTALLED, other_env_file="/other.env", state=ScheduleState.DIFFERS)
    shown = CronShowResult(NOW, (other,))
    message = "the crontab of me runs the jobs with other settings, of /other.env"
    assert told(check_schedule(shown, is_missed=False)) == [
        ("schedule", "ok", f"{message}; no job was missed")
    ]
    assert findings(check_schedule(shown, is_missed=True)) == [("schedule", message)]
    both = replace(shown, schedules=(other, INSTALLED))
    assert told(check_schedule(both, is_missed=True))[0] == ("user-crontab", "ok", message)


def job_checks(store: Store, shown: CronShowResult = GOOD_SCHEDULE) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        return told(check_jobs(connection, stored_keys.list_keys(connection), shown, NOW))


def record_at(store: Store, job: Job, moment: datetime, status: RunStatus = RunStatus.OK) -> None:
    with store.write() as connection:
        run_id = runs.start_run(connection, job, moment, schedule.latest_slot(job, moment))
        error = "work: GET /key answered 503" if status is RunStatus.FAILED else None
        runs.finish_run(connection, run_id, status=status, counts={}, error=error, now=moment)


def record(store: Store, job: Job, hours_ago: float, status: RunStatus = RunStatus.OK) -> None:
    record_at(store, job, NOW - timedelta(hours=hours_ago), status)


def make_old(store: Store) -> None:
    seconds = int((NOW - timedelta(days=100)).timestamp())
    execute(store, "UPDATE ledger_state SET created_at = ?", seconds)
    execute(store, "UPDATE api_keys SET created_at = ?", seconds)


def test_without_a_key_nothing_is_due(store: Store) -> None:
    assert job_checks(store)[0] == ("jobs", "skipped", "no key is watched, so no job is due")


def test_a_new_database_has_missed_nothing(store: Store) -> None:
    add_key(store)
    assert [status for _, status, _ in job_checks(store)] == ["ok"] * 4


def test_a_job_that_was_due_and_did_not_run_is_a_finding(store: Store) -> None:
    add_key(store)
    make_old(store)
    record(store, Job.SYNC, 0.4)
    record(store, Job.VALIDATE, 30)
    assert job_checks(store)[:3] == [
        ("sync", "ok", "next due 2026-11-20 13:00 UTC; last ran 2026-11-20 12:06 UTC"),
        (
            "validate",
            "finding",
            "was due at 2026-11-20 02:00 UTC and did not run; last ran 2026-11-19 06:30 UTC",
        ),
        ("cleanup", "finding", "was due at 2026-11-15 03:00 UTC and did not run"),
    ]


def test_without_a_schedule_of_orwatchs_its_times_are_nobodys(store: Store) -> None:
    add_key(store)
    make_old(store)
    record(store, Job.SYNC, 20)
    assert job_checks(store, NOTHING) == [
        ("sync", "ok", "last ran 2026-11-19 16:30 UTC"),
        ("validate", "ok", "never ran"),
        ("cleanup", "ok", "never ran"),
        ("schedule", "ok", "not installed; no job was missed"),
    ]


def test_a_crontab_that_was_removed_is_a_finding(store: Store) -> None:
    add_key(store)
    make_old(store)
    for hours_ago in range(40, 3, -1):
        record(store, Job.SYNC, hours_ago)
    found = [check for check in job_checks(store, NOTHING) if check[1] == "finding"]
    assert found == [
        (
            "sync",
            "finding",
            "came every hour until 2026-11-20 08:00 UTC, and not since; last ran 2026-11-20 08:30 UTC",
        ),
        ("schedule", "finding", "not installed"),
    ]


def test_a_job_that_failed_is_a_finding_with_its_error(store: Store) -> None:
    add_key(store)
    record(store, Job.SYNC, 0.4, RunStatus.FAILED)
    assert job_checks(store)[0] == (
        "sync",
        "finding",
        "last ran 2026-11-20 12:06 UTC, and failed: work: GET /key answered 503",
    )


def test_a_last_run_that_is_yet_to_come_is_a_finding(store: Store) -> None:
    add_key(store)
    record(store, Job.SYNC, -48)
    assert job_checks(store)[0] == (
        "sync",
        "finding",
        "the last one began at 2026-11-22 12:30 UTC, which is yet to come: the clock was wrong",
    )
