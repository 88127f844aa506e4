"""What status knows of the installed schedule, and of those who run the jobs otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import BrokenMarksError, UnreadableError
from orwatch.jobs.cron.result import CronPlace, CronShowResult, CronWarning, ScheduleState
from orwatch.jobs.doctor.jobs import check_schedule
from orwatch.jobs.status import run as status_job
from orwatch.jobs.status.result import StatusResult
from orwatch.store.engine.database import Store
from tests.jobs.doctor.support import GOOD_SCHEDULE, INSTALLED, findings
from tests.jobs.status.test_run import all_ran, make_old, record
from tests.jobs.support import add_key
from tests.support import NOW

NOTHING = CronShowResult(NOW, ())
REFUSED = "the crontab of me cannot be read: you are not allowed."
ADVICE = "Where users may have no crontab, use `--systemd`."
UNREADABLE = CronShowResult(NOW, (), unreadable=(UnreadableError(REFUSED, ADVICE),))
OWN = CronShowResult(NOW, (), own_lines=("/etc/crontab", "/etc/cron.d/mine"))
DIFFERENT = CronShowResult(NOW, (replace(INSTALLED, place=CronPlace.SYSTEMD, state=ScheduleState.DIFFERS),))
OTHER = CronShowResult(
    NOW, (replace(INSTALLED, state=ScheduleState.OTHER_SETTINGS, other_env_file="/other.env"),)
)
GONE = CronShowResult(
    NOW, (replace(INSTALLED, warnings=(CronWarning("logged in only"), CronWarning("/o is gone.", True))),)
)
BROKEN_MARKS = CronShowResult(
    NOW, (), broken=(BrokenMarksError("tab: the marks are no pair", "Delete them."),)
)
NO_NEED = (GOOD_SCHEDULE, NOTHING, UNREADABLE, OWN, OTHER)


@pytest.fixture
def watched(store: Store) -> Store:
    """A database that has watched a key for long."""
    add_key(store)
    make_old(store)
    return store


def ran(store: Store, job: Job, newest: datetime, gap: timedelta, count: int = 30) -> None:
    """Runs with the same gap between them."""
    for number in reversed(range(count)):
        record(store, job, newest - number * gap)


def state_of(result: StatusResult) -> ScheduleState:
    assert result.schedule is not None
    return result.schedule.state


@pytest.mark.parametrize("shown", NO_NEED)
def test_jobs_that_run_on_time_are_fine_whatever_starts_them(watched: Store, shown: CronShowResult) -> None:
    all_ran(watched)
    assert status_job.run(watched, NOW, shown).problems == ()


@pytest.mark.parametrize("shown", [GOOD_SCHEDULE, NOTHING, OWN, OTHER, DIFFERENT, GONE, BROKEN_MARKS])
def test_status_doctor_and_cron_show_agree_on_what_needs_a_person(
    watched: Store, shown: CronShowResult
) -> None:
    all_ran(watched)
    result = status_job.run(watched, NOW, shown)
    assert result.exit_code == shown.exit_code == bool(findings(list(check_schedule(shown, is_missed=False))))
    assert bool(result.problems) == (shown in {DIFFERENT, GONE, BROKEN_MARKS})


@pytest.mark.parametrize("shown", [NOTHING, UNREADABLE, OWN, OTHER])
def test_somebody_who_runs_it_by_hand_now_and_then_misses_nothing(
    watched: Store, shown: CronShowResult
) -> None:
    for hours_ago in (400, 399, 300, 210, 200, 100, 99):
        record(watched, Job.SYNC, NOW - timedelta(hours=hours_ago))

    result = status_job.run(watched, NOW, shown)

    assert (result.problems, result.exit_code, result.runs_by_itself) == ((), 0, False)
    assert [(job.is_missed, job.next_due_at) for job in result.jobs] == [(False, None)] * 3


@pytest.mark.parametrize("minutes_ago", [1, 35, 59])
@pytest.mark.parametrize("gap", [timedelta(hours=1), timedelta(hours=6), timedelta(days=1)])
def test_a_scheduler_of_ones_own_may_come_at_any_minute_and_as_often_as_it_likes(
    watched: Store, minutes_ago: int, gap: timedelta
) -> None:
    ran(watched, Job.SYNC, NOW - timedelta(minutes=minutes_ago), gap)
    # With --catch-up it does these as well, some time after their slots.
    ran(watched, Job.VALIDATE, NOW - timedelta(hours=9), timedelta(days=1))
    ran(watched, Job.CLEANUP, NOW - timedelta(days=5), timedelta(days=7), count=8)

    result = status_job.run(watched, NOW, NOTHING)

    assert (result.problems, result.runs_by_itself) == ((), True)


def test_a_crontab_that_was_removed_is_told_once_its_jobs_do_not_come_any_more(watched: Store) -> None:
    ran(watched, Job.SYNC, NOW - timedelta(hours=4), timedelta(hours=1))

    result = status_job.run(watched, NOW, NOTHING)

    assert result.problems == (
        "sync came every hour until 2026-11-20 08:00 UTC, and not since",
        "schedule: not installed. `orwatch cron install` lets cron run the jobs.",
    )
    assert (result.exit_code, state_of(result)) == (1, ScheduleState.NOT_INSTALLED)


@pytest.mark.parametrize(
    ("gap", "words"),
    [(timedelta(days=1), "every day until"), (timedelta(hours=6), "every 6 hours until")],
)
def test_another_rhythm_that_stopped_is_told_as_well(watched: Store, gap: timedelta, words: str) -> None:
    ran(watched, Job.SYNC, NOW - 3 * gap, gap)
    assert words in status_job.run(watched, NOW, OWN).problems[0]


def test_where_no_sync_ever_ran_that_is_told_without_a_schedule_too(watched: Store) -> None:
    assert status_job.run(watched, NOW, NOTHING).problems == (
        "sync has never run",
        "schedule: not installed. `orwatch cron install` lets cron run the jobs.",
    )


@pytest.mark.parametrize(
    ("shown", "state", "words"),
    [
        (
            GOOD_SCHEDULE,
            ScheduleState.INSTALLED,
            "the crontab of me has the jobs, and yet one did not start. "
            "`orwatch cron show` says whether cron runs and can start them.",
        ),
        (
            DIFFERENT,
            ScheduleState.DIFFERS,
            "the crontab of me, not as this version writes it. `orwatch cron install --systemd` corrects it.",
        ),
    ],
)
def test_where_it_is_installed_its_times_count(
    watched: Store, shown: CronShowResult, state: ScheduleState, words: str
) -> None:
    all_ran(watched)
    result = status_job.run(watched, NOW + timedelta(hours=1), shown)
    assert result.problems == ("sync was due at 2026-11-20 13:00 UTC and did not run", f"schedule: {words}")
    assert state_of(result) is state
    assert None not in {job.next_due_at for job in result.jobs}


def test_jobs_that_are_in_a_crontab_twice_are_told_before_anything_is_missed(watched: Store) -> None:
    all_ran(watched)
    result = status_job.run(watched, NOW, BROKEN_MARKS)
    assert result.problems == ("schedule: tab: the marks are no pair. Delete them.",)
    assert (result.exit_code, state_of(result)) == (1, ScheduleState.UNCLEAR)


def test_an_installed_schedule_that_cannot_work_is_told_before_anything_is_missed(watched: Store) -> None:
    all_ran(watched)
    result = status_job.run(watched, NOW, GONE)
    assert result.problems == (
        "schedule: the crontab of me: /o is gone. `orwatch cron show` says what to do.",
    )
    assert state_of(result) is ScheduleState.BROKEN


@pytest.mark.parametrize(
    ("shown", "state", "words"),
    [
        (UNREADABLE, ScheduleState.UNKNOWN, f"{REFUSED} `orwatch cron show` says what to do."),
        (
            BROKEN_MARKS,
            ScheduleState.UNCLEAR,
            "tab: the marks are no pair. Delete them.",
        ),
        (
            OWN,
            ScheduleState.OWN,
            "lines of your own in /etc/crontab, /etc/cron.d/mine. "
            "See that they are right, and that cron runs.",
        ),
        (
            OTHER,
            ScheduleState.OTHER_SETTINGS,
            "the crontab of me runs the jobs with other settings, of /other.env. "
            "`orwatch --env-file /other.env cron remove` removes them, then `orwatch cron install` "
            "lets cron run this command's.",
        ),
    ],
)
def test_when_the_jobs_have_stopped_what_is_known_of_the_schedule_is_told(
    watched: Store, shown: CronShowResult, state: ScheduleState, words: str
) -> None:
    ran(watched, Job.SYNC, NOW - timedelta(hours=4), timedelta(hours=1))
    result = status_job.run(watched, NOW, shown)
    assert result.problems[1:] == (f"schedule: {words}",)
    assert state_of(result) is state
