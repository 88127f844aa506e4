"""The history of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orwatch.domain import schedule
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.ledger import write as ledger


def list_runs(store: Store, job: Job | None, limit: int) -> list[JobRun]:
    """The latest runs, the newest first; one that is under way holds its lock, any other was interrupted."""
    with store.read() as connection:
        listed = runs.list_runs(connection, job, limit)
    return [
        replace(run, status=RunStatus.INTERRUPTED)
        if run.status is RunStatus.RUNNING and not locks.is_held(store, run.job)
        else run
        for run in listed
    ]


def missed_jobs(store: Store, now: datetime) -> list[Job]:
    """Validate and cleanup, where their latest slot passed without a run that was finished.

    A slot younger than cron's tolerance is left to cron, so that both never do it; those from before the
    database was created do not count.
    """
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        done = {job: runs.latest_done_slot(connection, job, now) for job in (Job.VALIDATE, Job.CLEANUP)}
    return [job for job, slot in done.items() if schedule.is_missed(job, slot, created_at, now)]
