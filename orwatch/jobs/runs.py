"""The history of runs."""

from __future__ import annotations

from dataclasses import replace

from orwatch.models import Job, JobRun, RunStatus
from orwatch.store import locks, runs
from orwatch.store.database import Store


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
