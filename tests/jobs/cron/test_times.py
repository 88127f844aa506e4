"""When the entries fire: once for each slot, in every zone, all year, and however late cron is."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from orwatch.domain.runs import Job
from orwatch.domain.schedule import latest_slot, next_slot
from orwatch.jobs.cron.text import Invocation, entries, next_times

# Offsets of half and three quarters of an hour, clocks that change by half an hour, at midnight, or for a
# month of fasting; both hemispheres, and the ends of the world.
ZONES = (
    "UTC",
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Marquesas",
)
QUARTER = timedelta(minutes=15)
START = datetime(2027, 12, 25, tzinfo=UTC)  # over a turn of the year and a 29th of February
QUARTERS = [START + number * QUARTER for number in range(366 * 96)]


def guards() -> dict[str, tuple[str, tuple[str, ...]]]:
    """What each entry asks `date -u` for, and its patterns, as the text says."""
    text = entries(Invocation("/bin/orwatch", "/env"))
    found = re.findall(r'\+([\\%a-zA-Z]+)\)" in ([^)]+)\) \S+ --env-file \S+ (\w+)', text)
    return {job: (asked.replace("\\", ""), tuple(patterns.split("|"))) for asked, patterns, job in found}


GUARDS = guards()


@cache
def matches(patterns: tuple[str, ...], answer: str) -> bool:
    """What the shell's `case` says: these patterns mean the same to it."""
    return any(fnmatchcase(answer, pattern) for pattern in patterns)


def starts(job: Job, moment: datetime) -> bool:
    """Whether the entry runs its command when cron starts it at that moment."""
    asked, patterns = GUARDS[job.value]
    # strftime is slow, and there are a million of these.
    time = f"{moment.hour:02}{moment.minute:02}"
    answer = {"%M": time[2:], "%H%M": time, "%u%H%M": f"{moment.isoweekday()}{time}"}[asked]
    return matches(patterns, answer)


@cache
def slots_of_a_year(job: Job) -> set[datetime]:
    # The first slot of the longer intervals began before the year did.
    return {slot for slot in (latest_slot(job, moment) for moment in QUARTERS) if slot >= START}


@cache
def started(job: Job, late: timedelta) -> dict[datetime, datetime]:
    """The quarters in which the entry runs its command, and the slots of those: the same in every zone."""
    return {moment: latest_slot(job, moment) for moment in QUARTERS if starts(job, moment + late)}


def wakes(zone: ZoneInfo) -> list[datetime]:
    """When a cron in that zone fires `*/15 * * * *`: whenever its own clock shows such a minute."""
    return [moment for moment in QUARTERS if moment.astimezone(zone).minute in {0, 15, 30, 45}]


@pytest.mark.parametrize("zone", ZONES)
def test_each_job_runs_once_for_each_slot_of_a_year_in_every_zone(zone: str) -> None:
    moments = wakes(ZoneInfo(zone))
    for job in Job:
        for late in (timedelta(0), timedelta(minutes=14, seconds=59)):
            slots = started(job, late)
            runs = Counter(slots[moment] for moment in moments if moment in slots)
            assert set(runs) == slots_of_a_year(job)
            assert set(runs.values()) == {1}


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_in_every_zone_shows_a_quarter_of_an_hour_when_utc_does_and_only_then(zone: str) -> None:
    local = ZoneInfo(zone)
    for day in range(366):
        noon = START + timedelta(days=day, hours=2)
        for minute in range(60):
            moment = noon + timedelta(minutes=minute)
            assert (moment.astimezone(local).minute % 15 == 0) is (moment.minute % 15 == 0)


def test_the_zones_have_what_makes_schedules_go_wrong() -> None:
    offsets = {moment.astimezone(ZoneInfo(zone)).utcoffset() for zone in ZONES for moment in QUARTERS[::96]}
    minutes = {int(offset.total_seconds()) // 60 % 60 for offset in offsets if offset is not None}
    assert minutes == {0, 30, 45}


@pytest.mark.parametrize("job", list(Job))
def test_the_next_times_are_the_next_slots_in_both_times(job: Job) -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    for now in QUARTERS[::37]:
        times = next_times(job, now, 3, kathmandu)
        assert times[0].utc == next_slot(job, now) > now
        for time, following in pairwise(times):
            assert following.utc == next_slot(job, time.utc)
        assert all(starts(job, time.utc) and time.utc.tzinfo is UTC for time in times)
        assert all(time.local == time.utc and time.local.tzinfo is kathmandu for time in times)


def test_no_next_times_are_asked_for() -> None:
    assert next_times(Job.SYNC, START, 0) == ()


def test_over_a_clock_change_the_local_hour_changes_and_the_utc_one_does_not() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    times = next_times(Job.CLEANUP, datetime(2027, 3, 20, tzinfo=UTC), 2, berlin)
    assert [f"{time.utc:%d %H:%M} {time.local:%H:%M %z}" for time in times] == [
        "21 03:00 04:00 +0100",
        "28 03:00 05:00 +0200",
    ]
