"""Locks of jobs between processes, and between machines that share a server: they die with their process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from orwatch.clock import Clock
from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError
from orwatch.store.engine.backend import Holder, JobLock
from orwatch.store.engine.database import Store

# How often a run that waits for another one looks whether that has ended.
_LOOK_AGAIN_SECONDS = 0.5

# What holds a lock where it is not the job, and what then happens to the database.
_INSTEAD = {"copy": "copied", "restore": "restored"}


@contextmanager
def job_lock(
    store: Store, job: Job, clock: Clock, wait_seconds: float = 0.0, *, instead: str | None = None
) -> Iterator[None]:
    """Hold the lock of one job on one database, having waited for it so long at most.

    ``instead``: the job does not run, and shall not during this: ``copy`` or ``restore``.

    Raises ``LockHeldError``, naming the holder and its age, when another process holds it.
    """
    with store.backend.job_lock(job) as lock:
        deadline = clock.monotonic() + wait_seconds
        while not lock.take():
            seconds_left = deadline - clock.monotonic()
            if seconds_left <= 0:
                raise LockHeldError(_why_not(lock, job, clock.now()))
            clock.sleep(min(_LOOK_AGAIN_SECONDS, seconds_left))
        lock.name_holder(clock.now(), instead or job)
        yield


@contextmanager
def all_jobs(store: Store, clock: Clock, instead: str) -> Iterator[None]:
    """Keep every job from a database. Raises ``LockHeldError`` when one runs."""
    with ExitStack() as held:
        for job in Job:
            held.enter_context(job_lock(store, job, clock, instead=instead))
        yield


def is_held(store: Store, job: Job) -> bool:
    """Whether a process holds the lock of a job right now."""
    return store.backend.is_held(job)


def _why_not(lock: JobLock, job: Job, now: datetime) -> str:
    holder = lock.holder()
    is_being = None if holder is None else _INSTEAD.get(holder.doing)
    what = f"this database is being {is_being}" if is_being else f"another {job} of this database is running"
    return f"{what}{_details(holder, now)}; nothing was done."


def _details(holder: Holder | None, now: datetime) -> str:
    if holder is None:
        return ""
    machine = f" on {holder.machine}" if holder.machine else ""
    minutes = max(0, int((now - holder.since).total_seconds() // 60))
    return f" (process {holder.pid}{machine}, started {minutes} min ago)"
