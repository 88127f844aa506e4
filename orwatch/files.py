"""Files that are exchanged in one step: nobody ever reads half of one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Exchange a file's content; it is on the disk, with this mode, when this returns.

    What is there keeps its owner and group, and has to be a regular file. Raises ``OSError``.
    """
    # A name that begins with a dot is read neither by cron nor by systemd.
    descriptor, name = tempfile.mkstemp(prefix=".orwatch-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        move_into_place(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def move_into_place(temporary: Path, path: Path) -> None:
    """Rename a file in its folder; it and its new name are on the disk when this returns.

    It gets the owner and group of the regular file that is there. Raises ``OSError``.
    """
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        there = regular_file(path)
        if there is not None:
            _give(descriptor, there)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    _sync(path.parent)


def regular_file(path: Path) -> os.stat_result | None:
    """What the system knows of a file; None where there is none. Raises ``OSError``, also for a link."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a link, a device or the like, and no regular file")
    return found


def _give(descriptor: int, old: os.stat_result) -> None:
    """Let a file belong to whom another one belongs: only root may give one away."""
    new = os.fstat(descriptor)
    if new.st_uid != old.st_uid:
        os.fchown(descriptor, old.st_uid, -1)
    if new.st_gid != old.st_gid:
        try:
            os.fchown(descriptor, -1, old.st_gid)
        except PermissionError:  # nobody of our own group may do what those of the old one could
            os.fchmod(descriptor, stat.S_IMODE(new.st_mode) & ~0o070)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
