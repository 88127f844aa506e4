"""Status: how the jobs, the keys and the database stand, and what needs a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orwatch import schedule
from orwatch.jobs.expiry import expiry_warning
from orwatch.models import InactiveReason, Job, JobRun, RunStatus, StoredKey
from orwatch.results import JobStatus, KeyStatus, StatusResult
from orwatch.store import keys as stored_keys
from orwatch.store import ledger, locks, runs, usage_reads
from orwatch.store.database import Store


def run(store: Store, now: datetime) -> StatusResult:
    """Read everything in one transaction. Raises ``StoreUnusableError``, ``StoreUnavailableError``."""
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        last_runs = {job: runs.last_run(connection, job) for job in Job}
        keys = stored_keys.list_keys(connection)
        extent = usage_reads.ledger_extent(connection)
    # With no key to watch there is nothing to miss.
    watched_keys = [key.created_at for key in keys if key.is_active]
    watched_since = max(created_at, min(watched_keys)) if watched_keys else None
    return StatusResult(
        now=now,
        jobs=tuple(_job_status(store, job, last_runs[job], watched_since, now) for job in Job),
        keys=tuple(KeyStatus(key, _key_problem(key, now)) for key in keys),
        database=str(store.path),
        database_bytes=store.size_bytes(),
        ledger_rows=extent.rows,
        first_day=extent.first_day,
        last_day=extent.last_day,
    )


def _job_status(
    store: Store,
    job: Job,
    last_run: JobRun | None,
    watched_since: datetime | None,
    now: datetime,
) -> JobStatus:
    if last_run is not None and last_run.status is RunStatus.RUNNING and not locks.is_held(store.path, job):
        # It may have ended between the two looks; what it recorded before it let go of its lock counts.
        with store.read() as connection:
            latest = runs.last_run(connection, job)
        last_run = replace(last_run, status=RunStatus.INTERRUPTED) if latest == last_run else latest
    last_started_at = None if last_run is None else last_run.started_at
    is_missed = watched_since is not None and schedule.is_missed(job, last_started_at, watched_since, now)
    problem = None
    if is_missed:
        problem = f"{job} was due and did not run: is it in the crontab, and does cron run?"
    elif last_run is not None and last_run.status is RunStatus.INTERRUPTED:
        problem = f"the last {job} was interrupted; the next one carries on where it stopped"
    elif last_run is not None and last_run.status is RunStatus.FAILED:
        problem = f"the last {job} failed: {last_run.error}"
    return JobStatus(job, last_run, schedule.next_slot(job, now), is_missed, problem)


def _key_problem(key: StoredKey, now: datetime) -> str | None:
    if key.inactive_reason is InactiveReason.INVALID:
        return "invalid: OpenRouter refuses it. Add its successor and remove or disable this one"
    if not key.is_active:
        return None
    if key.last_sync_error is not None:
        return f"the last sync: {key.last_sync_error}"
    return expiry_warning(key.facts.expires_at, now)
