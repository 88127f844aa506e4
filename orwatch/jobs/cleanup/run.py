"""Cleanup: move days past the retention to the monthly totals, and forget old records."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from orwatch.clock import Clock
from orwatch.domain.money import sum_exactly
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import WrongClockError
from orwatch.jobs.cleanup.result import CleanupResult
from orwatch.jobs.runs.recorded import RunOptions, recorded_run
from orwatch.store import runs
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention, spans
from orwatch.store.ledger import write as ledger

# The rate limit looks back one minute, `status` at the last run of each job: a day and the retention of
# the usage itself are more than either needs.
_REQUESTS_KEPT = timedelta(days=1)

# Cleanup asks no server for the time; a good sync has compared the clock with the API's. So long after the
# last one the clock is believed.
_CLOCK_IS_BELIEVED = timedelta(days=30)

# Among so many of the latest runs there is one that did not fail.
_RUNS_LOOKED_AT = 100

# Who waits to write to SQLite, as long as a day's removal takes, looks every 15 ms whether it may: without
# a pause in which it finds the database free it would wait until all is done.
_PAUSE_SECONDS = 0.02

log = logging.getLogger(__name__)


def run(
    store: Store,
    retention_days: int,
    clock: Clock,
    *,
    is_dry_run: bool = False,
    options: RunOptions | None = None,
) -> CleanupResult:
    """Remove what is older than ``retention_days`` UTC days; a row exactly that old stays.

    Each day goes in a transaction of its own; the monthly totals have it from the start. Raises
    ``WrongClockError``, ``LockHeldError``, ``StoreUnusableError``, ``StoreUnavailableError``.
    """
    if is_dry_run:
        return _cleanup(store, retention_days, clock, is_dry_run=True)
    with recorded_run(store, Job.CLEANUP, clock, options) as outcome:
        result = _cleanup(store, retention_days, clock, is_dry_run=False)
        outcome.counts = {
            "rows_removed": result.rows_removed,
            "days_removed": result.days_removed,
            "records_removed": result.records_removed,
            "bytes_freed": result.bytes_freed,
        }
    return result


def last_retention(store: Store) -> int | None:
    """How many days the last cleanup kept; None where none is known."""
    with store.read() as connection:
        kept_from = ledger.kept_from(connection)
        past = runs.list_runs(connection, Job.CLEANUP, _RUNS_LOOKED_AT)
    done = next((run for run in past if run.status is RunStatus.OK), None)
    return None if done is None or kept_from is None else (done.started_at.date() - kept_from).days


def _cleanup(store: Store, retention_days: int, clock: Clock, *, is_dry_run: bool) -> CleanupResult:
    started_at = clock.monotonic()
    now = clock.now()
    kept_from = now.date() - timedelta(days=retention_days)
    old_records = (now - timedelta(days=retention_days), now - _REQUESTS_KEPT)
    with store.read() as connection:
        _check_clock(connection, now)
        days = retention.expired_days(connection, kept_from)
        records = retention.count_old_records(connection, *old_records)
    freed = 0

    def pause() -> None:
        clock.sleep(_PAUSE_SECONDS)

    if not is_dry_run:
        for removed in days:
            with store.write(checks_references=False) as connection:
                retention.remove_day(connection, removed.day)
            pause()
        with store.write() as connection:
            spans.forget_readings(connection, kept_from)
            retention.raise_watermark(connection, kept_from)
            retention.delete_old_records(connection, *old_records)
        pause()
        freed = store.backend.give_space_back(pause)
    result = CleanupResult(
        retention_days=retention_days,
        kept_from=kept_from,
        rows_removed=sum(day.rows for day in days),
        days_removed=len(days),
        cost_moved_usd=sum_exactly(day.cost_usd for day in days),
        records_removed=records,
        bytes_freed=freed,
        duration_seconds=clock.monotonic() - started_at,
        is_dry_run=is_dry_run,
    )
    log.info(
        "%s%d rows of %d days before %s moved to the monthly totals, %d old records and %d bytes given back",
        "would have: " if is_dry_run else "",
        result.rows_removed,
        result.days_removed,
        kept_from,
        records,
        freed,
        extra={"job": Job.CLEANUP, "duration_seconds": round(result.duration_seconds, 3)},
    )
    return result


def _check_clock(connection: Connection, now: datetime) -> None:
    """Raises ``WrongClockError`` where the time is far from that of the last good sync of a watched key.

    With a clock that is years ahead everything would be expired, and no sync could bring it back.
    """
    synced = [key.last_synced_at for key in stored_keys.list_with_old_secrets(connection) if key.is_active]
    last = max((moment for moment in synced if moment is not None), default=now)
    if now - last > _CLOCK_IS_BELIEVED:
        raise WrongClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and the last good sync was at "
            f"{last:%Y-%m-%d %H:%M}: nothing was removed. Run `orwatch sync` first: it compares the clock "
            "with the API's."
        )
