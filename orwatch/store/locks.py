"""Locks between processes: files beside the database, locked by the kernel, so that they die with it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from orwatch.clock import Clock
from orwatch.errors import LockHeldError, StoreUnavailableError, StoreUnusableError
from orwatch.models import Job

# How often a run that waits for another one looks whether that has ended.
_LOOK_AGAIN_SECONDS = 0.5


@contextmanager
def job_lock(database: Path, job: Job, clock: Clock, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of one job on one database, having waited for it so long at most.

    Raises ``LockHeldError``, naming the holder and its age, when another process holds it.
    """
    with open_lock_file(database, job) as file:
        deadline = clock.monotonic() + wait_seconds
        while not _try_lock(file):
            seconds_left = deadline - clock.monotonic()
            if seconds_left <= 0:
                holder = _holder(file, clock.now())
                raise LockHeldError(f"another {job} of this database is running{holder}; nothing was done.")
            clock.sleep(min(_LOOK_AGAIN_SECONDS, seconds_left))
        _write_holder(file, clock.now())
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(database: Path, job: Job) -> bool:
    """Whether a process holds the lock of a job right now."""
    with open_lock_file(database, job) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def open_lock_file(database: Path, purpose: str) -> Iterator[IO[str]]:
    """The lock file for a purpose, open and not yet locked. It stays behind."""
    path = database.with_name(f"{database.name}.{purpose}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"cannot open the lock file {path} for writing: {error.strerror}."
        if error.errno == errno.ENOSPC:
            raise StoreUnavailableError(f"{message} Make room and try again.") from error
        raise StoreUnusableError(f"{message} Check the owner and the mode of it and its folder.") from error
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        yield file


def _write_holder(file: IO[str], now: datetime) -> None:
    """Say who holds the lock, for the message of whoever finds it held; nothing else depends on it."""
    text = json.dumps({"pid": os.getpid(), "since": now.isoformat(timespec="seconds")})
    try:
        # Past the file's own buffer: what a full disk does not take would fail again at its closing.
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), text.encode("ascii"), 0)
    except OSError:
        return  # a full disk: the kernel's lock holds all the same


def _holder(file: IO[str], now: datetime) -> str:
    try:
        holder = json.load(file)
        pid, since = int(holder["pid"]), datetime.fromisoformat(holder["since"])
        minutes = max(0, int((now - since).total_seconds() // 60))
    except (ValueError, KeyError, TypeError):
        return ""
    return f" (process {pid}, started {minutes} min ago)"
