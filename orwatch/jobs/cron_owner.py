"""Whose the installed entries are: this command's, or another set-up's with an env file of its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from orwatch import crontab
from orwatch.crontab import Entry, Invocation
from orwatch.errors import OrwatchError
from orwatch.results.cron import CronPlace


def other_env_file(entries: Sequence[Entry], env_file: str) -> str | None:
    """The env file that entries read, where that is another one than this command's, and there.

    None as well where it is gone: such entries are nobody's, and this command's after a move.
    """
    # An entry that was changed by hand belongs to somebody as well.
    named = (
        entry.invocation.env_file if entry.invocation else crontab.env_file_named_in(entry.command)
        for entry in entries
    )
    others = (name for name in named if name is not None and not is_same(name, env_file))
    return next((name for name in others if not is_gone(name)), None)


def has_moved(installed: Invocation, env_file: str) -> bool:
    """Whether the entries' env file is gone, and this command has another one."""
    return installed.env_file != env_file and is_gone(installed.env_file)


def is_same(path: str, other: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return path == other or Path(path).samefile(other)
    except OSError:
        return False


def is_gone(path: str | Path) -> bool:
    """Whether a file is not there; one that this user may not see is not gone."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def removal_of(place: CronPlace, env_file: str) -> str:
    """The command that takes a set-up's entries out."""
    sudo = "sudo " if place is CronPlace.ETC_CRON_D else ""
    return f"{sudo}orwatch --env-file {shlex.quote(env_file)} cron remove"


def refuse_other(
    place: CronPlace, location: str, entries: Sequence[Entry], env_file: str, *, or_else: str = ""
) -> None:
    """Raises ``OrwatchError`` where entries are another set-up's. ``or_else``: what else could be done."""
    other = other_env_file(entries, env_file)
    if other is not None:
        removal = removal_of(place, other)
        raise OrwatchError(
            f"{location} runs the jobs of another set-up, with the env file {other}, and this command's is "
            f"{env_file}; nothing was changed there. Take them out with `{removal}`{or_else}."
        )
