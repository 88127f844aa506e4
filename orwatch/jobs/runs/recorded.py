"""What every job that cron starts has in common: its lock, and the record of its run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from orwatch.clock import Clock
from orwatch.domain import schedule
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import InterruptedRunError, OrwatchError, WrongClockError
from orwatch.redaction import presentable
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunOutcome:
    """What a job fills in for its record while it works."""

    status: RunStatus = RunStatus.OK
    counts: dict[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How long to wait for another run of the job to end, and what to call when this one begins."""

    wait_seconds: float = 0.0
    on_start: Callable[[], None] = lambda: None


def run_error(trouble: str | None, errors: Iterable[tuple[str, str | None]]) -> str | None:
    """For a run's record: its trouble as a whole, and the errors of the first five keys with their names."""
    of_keys = "; ".join(f"{name}: {error}" for name, error in islice(errors, 5))
    return " ".join(filter(None, (trouble, of_keys))) or None


@contextmanager
def recorded_run(
    store: Store,
    job: Job,
    clock: Clock,
    options: RunOptions | None = None,
    *,
    is_whole: bool = True,
) -> Iterator[RunOutcome]:
    """Hold the job's lock and record the run, however it ends.

    ``is_whole`` False: it does a part of the job only, so that it does not stand for a slot of the schedule.
    Raises ``LockHeldError`` when the same job runs already. A run that is killed stays ``running`` until
    the next one, which finds its lock free and calls it ``interrupted``.
    """
    options = options or RunOptions()
    with locks.job_lock(store, job, clock, options.wait_seconds):
        started_at = clock.now()
        slot = schedule.latest_slot(job, started_at) if is_whole else None
        with store.write() as connection:
            run_id = runs.start_run(connection, job, started_at, slot)
        options.on_start()
        outcome = RunOutcome()
        try:
            yield outcome
        except BaseException as error:
            is_stopped = isinstance(error, InterruptedRunError) or not isinstance(error, Exception)
            outcome.status = RunStatus.INTERRUPTED if is_stopped else RunStatus.FAILED
            # What follows from an interruption is said by those who report it.
            reason = error.problem if isinstance(error, InterruptedRunError) else str(error)
            outcome.error = reason or type(error).__name__
            # The first error is what the user has to see, not that it could not be recorded.
            try:
                _finish(store, run_id, outcome, clock, has_slot=not isinstance(error, WrongClockError))
            except OrwatchError as second:
                log.warning("the run could not be recorded: %s", second)
            raise
        _finish(store, run_id, outcome, clock)


def _finish(store: Store, run_id: int, outcome: RunOutcome, clock: Clock, *, has_slot: bool = True) -> None:
    with store.write() as connection:
        if not has_slot:
            runs.forget_slot(connection, run_id)
        runs.finish_run(
            connection,
            run_id,
            status=outcome.status,
            counts=outcome.counts,
            error=None if outcome.error is None else presentable(outcome.error),
            now=clock.now(),
        )
