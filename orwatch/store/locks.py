"""Locks of jobs between processes, and between machines that share a server: they die with their process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from orwatch.clock import Clock
from orwatch.errors import LockHeldError
from orwatch.models import Job
from orwatch.store.backend import JobLock
from orwatch.store.database import Store

# How often a run that waits for another one looks whether that has ended.
_LOOK_AGAIN_SECONDS = 0.5


@contextmanager
def job_lock(store: Store, job: Job, clock: Clock, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of one job on one database, having waited for it so long at most.

    Raises ``LockHeldError``, naming the holder and its age, when another process holds it.
    """
    with store.backend.job_lock(job) as lock:
        deadline = clock.monotonic() + wait_seconds
        while not lock.take():
            seconds_left = deadline - clock.monotonic()
            if seconds_left <= 0:
                holder = _told_holder(lock, clock.now())
                raise LockHeldError(f"another {job} of this database is running{holder}; nothing was done.")
            clock.sleep(min(_LOOK_AGAIN_SECONDS, seconds_left))
        lock.tell(clock.now())
        yield


def is_held(store: Store, job: Job) -> bool:
    """Whether a process holds the lock of a job right now."""
    return store.backend.is_held(job)


def _told_holder(lock: JobLock, now: datetime) -> str:
    holder = lock.holder()
    if holder is None:
        return ""
    machine = f" on {holder.machine}" if holder.machine else ""
    minutes = max(0, int((now - holder.since).total_seconds() // 60))
    return f" (process {holder.pid}{machine}, started {minutes} min ago)"
