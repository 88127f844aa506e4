"""Locks of jobs between processes, and between machines that share a server: they die with their process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from orwatch.clock import Clock
from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError
from orwatch.store.engine.backend import Holder, JobLock
from orwatch.store.engine.database import Store

# How often a run that waits for another one looks whether that has ended.
_LOOK_AGAIN_SECONDS = 0.5

# What holds a lock where it is not the job.
_COPY = "copy"


@contextmanager
def job_lock(
    store: Store, job: Job, clock: Clock, wait_seconds: float = 0.0, *, is_for_copy: bool = False
) -> Iterator[None]:
    """Hold the lock of one job on one database, having waited for it so long at most.

    ``is_for_copy``: the job does not run, and shall not while the database is copied.

    Raises ``LockHeldError``, naming the holder and its age, when another process holds it.
    """
    with store.backend.job_lock(job) as lock:
        deadline = clock.monotonic() + wait_seconds
        while not lock.take():
            seconds_left = deadline - clock.monotonic()
            if seconds_left <= 0:
                raise LockHeldError(_why_not(lock, job, clock.now()))
            clock.sleep(min(_LOOK_AGAIN_SECONDS, seconds_left))
        lock.name_holder(clock.now(), _COPY if is_for_copy else job)
        yield


def is_held(store: Store, job: Job) -> bool:
    """Whether a process holds the lock of a job right now."""
    return store.backend.is_held(job)


def _why_not(lock: JobLock, job: Job, now: datetime) -> str:
    holder = lock.holder()
    is_copied = holder is not None and holder.doing == _COPY
    what = "this database is being copied" if is_copied else f"another {job} of this database is running"
    return f"{what}{_details(holder, now)}; nothing was done."


def _details(holder: Holder | None, now: datetime) -> str:
    if holder is None:
        return ""
    machine = f" on {holder.machine}" if holder.machine else ""
    minutes = max(0, int((now - holder.since).total_seconds() // 60))
    return f" (process {holder.pid}{machine}, started {minutes} min ago)"
