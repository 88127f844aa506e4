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
    """The latest runs, the newest first, as ``settled``."""
    with store.read() as connection:
        listed = runs.list_runs(connection, job, limit)
    return [settled(store, run) for run in listed]


def settled(store: Store, run: JobRun) -> JobRun:
    """A run as it stands: one that never said that it ended was interrupted, unless it holds its lock."""
    if run.status is not RunStatus.RUNNING or locks.is_held(store, run.job):
        return run
    # It may have ended between the two looks; what it recorded before it let go of its lock counts.
    with store.read() as connection:
        latest = runs.last_run(connection, run.job)
    has_ended = latest is not None and latest.id == run.id and latest.status is not RunStatus.RUNNING
    return latest if latest and has_ended else replace(run, status=RunStatus.INTERRUPTED)


def missed_jobs(store: Store, now: datetime) -> list[Job]:
    """Validate and cleanup, where their latest slot passed without a run that was finished.

    A slot younger than cron's tolerance is left to cron, so that both never do it; those from before the
    database was created do not count.
    """
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        done = {job: runs.latest_done_slot(connection, job, now) for job in (Job.VALIDATE, Job.CLEANUP)}
    return [job for job, slot in done.items() if schedule.is_missed(job, slot, created_at, now)]
