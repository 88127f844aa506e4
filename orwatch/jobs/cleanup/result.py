"""What ``orwatch cleanup`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar

from orwatch.domain.runs import Job, RunStatus


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """What ``orwatch cleanup`` removed, or would remove. Days before ``kept_from`` are expired."""

    job: ClassVar[Job] = Job.CLEANUP
    status: ClassVar[RunStatus] = RunStatus.OK
    retention_days: int
    kept_from: date
    rows_removed: int
    days_removed: int
    cost_moved_usd: Decimal
    records_removed: int
    bytes_freed: int
    duration_seconds: float
    is_dry_run: bool = False
