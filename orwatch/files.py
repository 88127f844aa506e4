"""The one place that makes files and folders, with their modes and owners, and never through a link.

A file is exchanged in one step: nobody ever reads half of one.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from orwatch.leftovers import new_file, remove_leftovers

_NO_REGULAR_FILE = "it is a link, a device or the like, and no regular file"


def make_private_folder(folder: Path) -> None:
    """Create the folder and the missing ones above it, mode 0700; one that is there is left as it is."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists():
            missing.mkdir(mode=0o700, exist_ok=True)


def open_file(path: Path, flags: int, *, owner_of: Path | None = None) -> int:
    """The descriptor of a regular file; where there is none, of a new one with mode 0600.

    What root makes belongs to the owner of ``owner_of``: whose files are beside it can go on using it.
    Raises ``OSError``.
    """
    # Without O_NONBLOCK a pipe would keep us waiting for its other end.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        with suppress(FileNotFoundError):
            return _open_regular(path, flags)
        with suppress(FileExistsError):  # another process was faster
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            if owner_of is not None and os.geteuid() == 0:
                _give_new(descriptor, owner_of)
            return descriptor


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Exchange a file's content; it is on the disk, with this mode, when this returns.

    What is there keeps its owner and group, and has to be a regular file. Raises ``OSError``.
    """
    remove_leftovers(path.parent)
    descriptor, temporary = new_file(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            move_into_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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
        raise OSError(errno.EINVAL, _NO_REGULAR_FILE)
    return found


def _open_regular(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, _NO_REGULAR_FILE) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _NO_REGULAR_FILE)
    return descriptor


def _give_new(descriptor: int, owner_of: Path) -> None:
    # A file system of another machine may not let this one's root.
    with suppress(OSError):
        owner = owner_of.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


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


def exists(path: Path) -> bool:
    """Whether it is there, as far as this user may see."""
    try:
        return path.exists()
    except OSError:
        return False


def is_same_file(first: str | Path, second: str | Path) -> bool:
    """Whether two paths lead to one file, there or not yet."""
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    try:
        return Path(first).samefile(second)  # two names that are no links
    except OSError:
        return False
