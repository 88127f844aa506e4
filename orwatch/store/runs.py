"""Reads and writes of ``job_runs``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from orwatch.models import Job, JobRun, RunStatus
from orwatch.store.schema import job_runs


def start_run(connection: Connection, job: Job, now: datetime) -> int:
    """Record that a run began; its id.

    The caller holds the job's lock, so a run of it that never said that it ended is a dead one.
    """
    connection.execute(
        job_runs.update()
        .where(job_runs.c.job == job, job_runs.c.status == RunStatus.RUNNING)
        .values(status=RunStatus.INTERRUPTED, error="the run ended without saying so (killed, or power lost)")
    )
    result = connection.execute(
        job_runs.insert().values(job=job, started_at=now, status=RunStatus.RUNNING, pid=os.getpid())
    )
    return int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0


def finish_run(
    connection: Connection,
    run_id: int,
    *,
    status: RunStatus,
    counts: Mapping[str, int],
    error: str | None,
    now: datetime,
) -> None:
    """Record how a run ended."""
    connection.execute(
        job_runs.update()
        .where(job_runs.c.id == run_id)
        .values(status=status, counts=json.dumps(counts) if counts else None, error=error, finished_at=now)
    )


def last_run(connection: Connection, job: Job) -> JobRun | None:
    """The latest run of a job, under way or over."""
    query = select(job_runs).where(job_runs.c.job == job).order_by(job_runs.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return JobRun(
        id=row["id"],
        job=Job(row["job"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        status=RunStatus(row["status"]),
        error=row["error"],
    )
