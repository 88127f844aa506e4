"""What was missed: jobs whose slot has begun without a finished run."""

from __future__ import annotations

from datetime import datetime

from orwatch import schedule
from orwatch.models import Job
from orwatch.store import ledger, runs
from orwatch.store.database import Store


def missed_jobs(store: Store, now: datetime) -> list[Job]:
    """Validate and cleanup, where their latest slot passed without a run that was finished.

    A slot younger than cron's tolerance is left to cron, so that both never do it; those from before the
    database was created are nobody's.
    """
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        done = {job: runs.latest_done_slot(connection, job, now) for job in (Job.VALIDATE, Job.CLEANUP)}
    return [job for job, slot in done.items() if schedule.is_missed(job, slot, created_at, now)]
