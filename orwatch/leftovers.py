"""Temporary files and folders that a program which was killed has left behind.

Their owner holds a lock on each for as long as it lives: what is free is nobody's any more.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A name that begins with a dot is read neither by cron nor by systemd.
_FILE_PREFIX = ".orwatch-part-"
_FOLDER_PREFIX = "orwatch-copy-"
_NAME = re.compile(f"(?:{re.escape(_FILE_PREFIX)}|{_FOLDER_PREFIX})[a-z0-9_]{{8}}")

# What SQLite keeps beside a database.
SQLITE_LOGS = ("-wal", "-shm", "-journal")


def new_file(folder: Path) -> tuple[int, Path]:
    """A new file in a folder, mode 0600, and the open descriptor that says that it is in use.

    Raises ``OSError``.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_FILE_PREFIX, dir=folder)
        if _is_claimed(descriptor, Path(name)):
            return descriptor, Path(name)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder where the system has temporary files, mode 0700; gone at the end."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _is_claimed(descriptor, folder):
                break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _is_claimed(descriptor: int, path: Path) -> bool:
    """Lock it; False, and it is closed, where another process has just taken it for a leftover."""
    with suppress(OSError):  # a file system without locks: then nobody can tell, and all is left alone
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if path.exists():
        return True
    os.close(descriptor)
    return False


def remove_leftovers(folder: Path) -> None:
    """Remove what is left in a folder of this user's programs that are gone; what cannot be removed stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        for name in names:
            with suppress(OSError):
                _remove_if_left(folder / name)


def _remove_if_left(path: Path) -> None:
    """Raises ``OSError`` where it is in use."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path)
        elif stat.S_ISREG(found.st_mode):
            remove_with_logs(path)
    finally:
        os.close(descriptor)


def remove_with_logs(path: Path) -> None:
    """Remove a file, if it is there, and what SQLite may have put beside it. Raises ``OSError``."""
    for suffix in (*SQLITE_LOGS, ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
