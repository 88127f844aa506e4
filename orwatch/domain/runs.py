"""The jobs and the records of their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Job(StrEnum):
    """The jobs that cron starts, as ``job_runs`` names them."""

    SYNC = "sync"
    VALIDATE = "validate"
    CLEANUP = "cleanup"


class RunStatus(StrEnum):
    """How a run stands or ended. ``INTERRUPTED``: it never said that it ended."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class JobRun:
    """One row of ``job_runs``. ``slot`` None: it did a part of the job only."""

    id: int
    job: Job
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    error: str | None
    slot: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
