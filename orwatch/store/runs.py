"""Reads and writes of ``job_runs``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, select

from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.store.schema import job_runs
from orwatch.text import without_secrets


def start_run(connection: Connection, job: Job, now: datetime, slot: datetime | None = None) -> int:
    """Record that a run began, for a slot of the schedule; its id.

    The caller holds the job's lock, so a run of it that never said that it ended is a dead one.
    """
    connection.execute(
        job_runs.update()
        .where(job_runs.c.job == job, job_runs.c.status == RunStatus.RUNNING)
        .values(status=RunStatus.INTERRUPTED, error="the run ended without saying so (killed, or power lost)")
    )
    result = connection.execute(
        job_runs.insert().values(
            job=job, started_at=now, status=RunStatus.RUNNING, pid=os.getpid(), slot=slot
        )
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
    return next(iter(list_runs(connection, job, 1)), None)


def list_runs(connection: Connection, job: Job | None, limit: int) -> list[JobRun]:
    """The latest runs of a job, or of all, the newest first."""
    query = select(job_runs).order_by(job_runs.c.id.desc()).limit(limit)
    if job is not None:
        query = query.where(job_runs.c.job == job)
    return [_to_run(row) for row in connection.execute(query).mappings()]


def forget_slot(connection: Connection, run_id: int) -> None:
    """Let a run stand for no slot: its clock was wrong."""
    connection.execute(job_runs.update().where(job_runs.c.id == run_id).values(slot=None))


def recent_slots(connection: Connection, job: Job, limit: int, now: datetime) -> list[datetime]:
    """The latest slots of a job for which runs began, each once, the newest first.

    One later than ``now`` is not believed: a run with a wrong clock left it.
    """
    query = (
        select(job_runs.c.slot)
        .where(job_runs.c.job == job, job_runs.c.slot <= now)
        .distinct()
        .order_by(job_runs.c.slot.desc())
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def latest_done_slot(connection: Connection, job: Job, now: datetime) -> datetime | None:
    """The latest slot of a job, ``now`` at most, for which a run was finished.

    One that failed as a whole finished nothing.
    """
    query = select(func.max(job_runs.c.slot)).where(
        job_runs.c.job == job,
        job_runs.c.slot <= now,
        job_runs.c.status.in_([RunStatus.OK, RunStatus.PARTIAL]),
    )
    moment: datetime | None = connection.execute(query).scalar()
    return moment


def _to_run(row: RowMapping) -> JobRun:
    return JobRun(
        id=row["id"],
        job=Job(row["job"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        status=RunStatus(row["status"]),
        error=None if row["error"] is None else without_secrets(row["error"]),
        slot=row["slot"],
        counts=json.loads(row["counts"]) if row["counts"] else {},
    )
