"""When jobs are due, in UTC: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from orwatch.domain.runs import Job

# A job counts as missed when this long has passed since it was due: cron may start it late.
GRACE = timedelta(minutes=15)

# So many of the last slots tell whether a job comes by itself: a day and night of an hourly one.
SLOTS_OF_A_RHYTHM = 25
_FEWEST_SLOTS = 4
_SHORTEST_SPAN = timedelta(days=1)

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_SUNDAY = 6


def latest_slot(job: Job, now: datetime) -> datetime:
    """The last time at or before ``now`` at which the job was due.

    Sync: every hour. Validate: daily, 02:00. Cleanup: Sundays, 03:00.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    if job is Job.SYNC:
        return hour
    if job is Job.VALIDATE:
        slot = hour.replace(hour=2)
        return slot if slot <= now else slot - _DAY
    slot = hour.replace(hour=3) - timedelta(days=(now.weekday() - _SUNDAY) % 7)
    return slot if slot <= now else slot - 7 * _DAY


def next_slot(job: Job, now: datetime) -> datetime:
    """The first time after ``now`` at which the job is due."""
    interval = {Job.SYNC: _HOUR, Job.VALIDATE: _DAY, Job.CLEANUP: 7 * _DAY}[job]
    return latest_slot(job, now) + interval


def is_missed(job: Job, last_slot: datetime | None, watched_since: datetime, now: datetime) -> bool:
    """Whether the job's latest slot, grace over, passed without a run; ``last_slot``: that of its last run.

    ``watched_since``: slots before it are nobody's fault.
    """
    slot = latest_slot(job, now - GRACE)
    return watched_since < slot and (last_slot is None or last_slot < slot)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How a job comes by itself: the usual gap between two runs, and the longest that there was."""

    usual: timedelta
    longest: timedelta


def rhythm(slots: Sequence[datetime]) -> Rhythm | None:
    """The rhythm in which a job came, from the slots of its last runs, newest first.

    None: there is none, as when somebody runs it by hand. One run after a long silence is no new rhythm.
    """
    if len(slots) < _FEWEST_SLOTS or slots[0] - slots[-1] < _SHORTEST_SPAN:
        return None
    gaps = [later - earlier for later, earlier in pairwise(slots)]
    usual = sorted(gaps)[len(gaps) // 2]
    regular = sum(abs(gap - usual) <= usual / 6 for gap in gaps)
    return Rhythm(usual, max(gaps[1:])) if regular * 4 >= len(gaps) * 3 else None


def has_stopped(slots: Sequence[datetime], watched_since: datetime, now: datetime) -> bool:
    """Whether a job that came by itself has not come for twice as long as it ever took.

    For schedules that are not orwatch's own: their times are not known. ``watched_since`` as above.
    """
    found = rhythm(slots)
    return found is not None and now - max(slots[0], watched_since) > 2 * found.longest + GRACE
