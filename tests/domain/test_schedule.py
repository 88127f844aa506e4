"""When jobs are due, and when one was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orwatch.domain.runs import Job
from orwatch.domain.schedule import GRACE, Rhythm, has_stopped, is_missed, latest_slot, next_slot, rhythm

INTERVALS = {Job.SYNC: timedelta(hours=1), Job.VALIDATE: timedelta(days=1), Job.CLEANUP: timedelta(days=7)}
SECOND = timedelta(seconds=1)
# 2026-11-20 is a Friday.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("job", list(Job))
def test_at_every_quarter_of_an_hour_of_a_year_now_lies_between_two_slots(job: Job) -> None:
    start = at("2027-12-25")  # over a turn of the year and a 29th of February
    slots = set()
    for quarter in range(366 * 96):
        now = start + quarter * timedelta(minutes=15)
        latest, following = latest_slot(job, now), next_slot(job, now)
        assert latest <= now < following
        assert following - latest == INTERVALS[job]
        assert latest_slot(job, following) == following
        assert next_slot(job, latest) == following
        slots.add(latest)
    times = {(slot.hour, slot.minute, slot.second, slot.microsecond) for slot in slots}
    days_of_the_week = {slot.weekday() for slot in slots}
    if job is Job.SYNC:
        assert times == {(hour, 0, 0, 0) for hour in range(24)}
    else:
        assert times == {(2 if job is Job.VALIDATE else 3, 0, 0, 0)}
    assert days_of_the_week == ({6} if job is Job.CLEANUP else set(range(7)))


@pytest.mark.parametrize(
    ("job", "now", "latest"),
    [
        (Job.SYNC, "2026-11-20T12:30:59.999999", "2026-11-20T12:00"),
        (Job.SYNC, "2026-11-20T12:00", "2026-11-20T12:00"),
        (Job.SYNC, "2026-11-20T00:00", "2026-11-20T00:00"),
        (Job.VALIDATE, "2026-11-20T01:59:59.999999", "2026-11-19T02:00"),
        (Job.VALIDATE, "2026-11-20T02:00", "2026-11-20T02:00"),
        (Job.VALIDATE, "2026-11-01T00:30", "2026-10-31T02:00"),
        (Job.CLEANUP, "2026-11-20T12:30", "2026-11-15T03:00"),
        (Job.CLEANUP, "2026-11-22T02:59:59", "2026-11-15T03:00"),
        (Job.CLEANUP, "2026-11-22T03:00", "2026-11-22T03:00"),
        (Job.CLEANUP, "2026-11-23T00:00", "2026-11-22T03:00"),
        (Job.CLEANUP, "2027-01-01T00:00", "2026-12-27T03:00"),
    ],
)
def test_the_latest_slot_of_a_job(job: Job, now: str, latest: str) -> None:
    assert latest_slot(job, at(now)) == at(latest)


@pytest.mark.parametrize("job", list(Job))
@pytest.mark.parametrize("started_after", [timedelta(0), SECOND, timedelta(minutes=14)])
def test_a_job_that_started_at_its_slot_or_later_was_not_missed(job: Job, started_after: timedelta) -> None:
    slot = latest_slot(job, at("2026-11-20T12:30"))
    for later in (GRACE, INTERVALS[job] - SECOND, INTERVALS[job] + GRACE - SECOND):
        assert not is_missed(job, slot + started_after, LONG_AGO, slot + later)


@pytest.mark.parametrize("job", list(Job))
@pytest.mark.parametrize("last_started_before", [SECOND, timedelta(days=40), None])
def test_a_job_that_did_not_start_is_missed_when_the_grace_is_over(
    job: Job, last_started_before: timedelta | None
) -> None:
    slot = latest_slot(job, at("2026-11-20T12:30"))
    last = None if last_started_before is None else slot - last_started_before
    assert is_missed(job, last, LONG_AGO, slot + GRACE)
    assert is_missed(job, last, LONG_AGO, slot + INTERVALS[job] - SECOND)


@pytest.mark.parametrize("job", list(Job))
def test_a_job_is_not_missed_before_the_grace_is_over(job: Job) -> None:
    slot = latest_slot(job, at("2026-11-20T12:30"))
    for now in (slot, slot + SECOND, slot + GRACE - SECOND):
        assert not is_missed(job, slot - SECOND, LONG_AGO, now)


@pytest.mark.parametrize("job", list(Job))
def test_slots_before_the_database_existed_are_nobody_s_fault(job: Job) -> None:
    slot = latest_slot(job, at("2026-11-20T12:30"))
    for watched_since in (slot, slot + SECOND, slot + GRACE):
        assert not is_missed(job, None, watched_since, slot + GRACE)
        assert not is_missed(job, None, watched_since, slot + INTERVALS[job] + GRACE - SECOND)
    assert is_missed(job, None, slot - SECOND, slot + GRACE)
    assert is_missed(job, None, slot + SECOND, slot + INTERVALS[job] + GRACE)


HOUR = timedelta(hours=1)


def slots(*gaps_in_hours: int) -> list[datetime]:
    """Slots, newest first, with these gaps between them: the newest is at 12:00."""
    found = [at("2026-11-20T12:00")]
    for gap in gaps_in_hours:
        found.append(found[-1] - gap * HOUR)
    return found


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([1] * 24, Rhythm(HOUR, HOUR)),  # every hour, for a day
        ([1] * 20 + [9] + [1] * 3, Rhythm(HOUR, 9 * HOUR)),  # a laptop, asleep at night
        ([6] * 8, Rhythm(6 * HOUR, 6 * HOUR)),
        ([24, 23, 25, 24], Rhythm(24 * HOUR, 25 * HOUR)),  # once a day, around the full hour
        ([24] * 4 + [72] + [24] * 4, Rhythm(24 * HOUR, 72 * HOUR)),  # on workdays
        ([168] * 3, Rhythm(168 * HOUR, 168 * HOUR)),
    ],
)
def test_what_comes_by_itself_has_a_rhythm(gaps: list[int], expected: Rhythm) -> None:
    assert rhythm(slots(*gaps)) == expected


@pytest.mark.parametrize(
    "gaps",
    [
        [],
        [1],
        [24, 24],  # too few
        [1] * 9,  # somebody tries it for an afternoon
        [1, 1, 2, 60, 1, 3, 20, 90, 2],  # by hand, now and then
        [30, 2, 45, 19, 170, 26, 8],
    ],
)
def test_what_somebody_runs_by_hand_has_no_rhythm(gaps: list[int]) -> None:
    found = slots(*gaps)
    assert rhythm(found) is None
    assert rhythm([]) is None
    assert not has_stopped(found, LONG_AGO, found[0] + timedelta(days=300))


def test_a_rhythm_has_stopped_after_twice_its_longest_gap() -> None:
    hourly = slots(*[1] * 24)
    for quiet in (timedelta(0), HOUR, 2 * HOUR + GRACE):
        assert not has_stopped(hourly, LONG_AGO, hourly[0] + quiet)
    assert has_stopped(hourly, LONG_AGO, hourly[0] + 2 * HOUR + GRACE + SECOND)
    laptop = slots(*[1] * 20, 9, 1, 1, 1)
    assert not has_stopped(laptop, LONG_AGO, laptop[0] + 18 * HOUR)
    assert has_stopped(laptop, LONG_AGO, laptop[0] + 19 * HOUR)


def test_one_run_by_hand_after_a_long_silence_is_no_new_rhythm() -> None:
    found = slots(500, *[1] * 23)
    assert has_stopped(found, LONG_AGO, found[0] + 3 * HOUR)


def test_a_rhythm_from_before_the_first_key_has_not_stopped() -> None:
    hourly = slots(*[1] * 24)
    now = hourly[0] + timedelta(days=30)
    assert not has_stopped(hourly, now - HOUR, now)


def test_the_grace_is_shorter_than_the_shortest_interval() -> None:
    assert timedelta(0) < GRACE < min(INTERVALS.values())
