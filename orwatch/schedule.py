"""When jobs are due, in UTC: pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from orwatch.models import Job

# A job counts as missed when this long has passed since it was due: cron may start it late.
GRACE = timedelta(minutes=15)

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
