"""Whose the installed entries are: this command's, or another set-up's with an env file of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orwatch.config.settings import Settings
from orwatch.errors import BrokenMarksError, OrwatchError
from orwatch.files import is_same_file
from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.host import Host, is_gone
from orwatch.jobs.cron.result import CronChange, CronPlace, CronWarning
from orwatch.jobs.cron.text import Entry, Invocation


def other_env_file(entries: Sequence[Entry], env_file: str) -> str | None:
    """The env file that entries read, where that is another one than this command's, and there.

    None as well where it is gone: such entries are this command's after a move.
    """
    # An entry that was changed by hand has an owner as well.
    named = (
        entry.invocation.env_file if entry.invocation else crontab.env_file_named_in(entry.command)
        for entry in entries
    )
    others = (name for name in named if name is not None and not is_same_file(name, env_file))
    return next((name for name in others if not is_gone(name)), None)


def has_moved(installed: Invocation, env_file: str) -> bool:
    """Whether the entries' env file is gone, and this command has another one."""
    return installed.env_file != env_file and is_gone(installed.env_file)


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


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """Where to install, and what the entries set. None: as it is there already, if it is."""

    place: CronPlace = CronPlace.USER_CRONTAB
    log_file: str | None = None
    heartbeat_url: str | None = None
    is_dry_run: bool = False
    # Whether another set-up's entries may be replaced.
    replaces: bool = False


def entries_in(text: str) -> tuple[Entry, ...]:
    """What our lines start. Raises ``OrwatchError`` where they cannot be changed without a loss."""
    try:
        block = crontab.find_block(text)
    except BrokenMarksError as error:
        raise BrokenMarksError(error.problem, f"{error.advice} Nothing was changed.") from None
    if block and (foreign := crontab.foreign_lines(block)):
        raise OrwatchError(
            "between the marks of orwatch's lines, which it writes anew, are lines that it has not written: "
            f"{'; '.join(foreign)}. Nothing was changed: move them above or below the marks first."
        )
    return crontab.read_entries(block.text) if block else ()


def wanted_invocation(
    request: InstallRequest, location: str, host: Host, settings: Settings, entries: Sequence[Entry]
) -> Invocation:
    """What the entries are to call. Raises ``OrwatchError`` where they are another set-up's."""
    env_file = str(settings.env_file)
    if not request.replaces:
        or_else = f", or write this one's in their place with `{request.place.install_command} --replace`"
        refuse_other(request.place, location, entries, env_file, or_else=or_else)
    problem = cron_checks.log_file_problem(request.log_file, host) if request.log_file else None
    if problem is not None:
        raise OrwatchError(f"{problem} Nothing was changed.")
    # Another set-up's heartbeat and log file are not this one's.
    is_ours = other_env_file(entries, env_file) is None
    installed = first_invocation(entries) if is_ours else None
    return invocation_of(host, settings, installed, request.log_file, request.heartbeat_url)


def change_between(before: str, after: str) -> CronChange:
    if before == after:
        return CronChange.UNCHANGED
    return CronChange.CORRECTED if crontab.find_block(before) else CronChange.INSTALLED


def check_invocation(
    invocation: Invocation, host: Host, settings: Settings, *, is_their_shell: bool = True
) -> Iterator[CronWarning]:
    yield from cron_checks.check_files(invocation, host)
    yield from cron_checks.check_environment(invocation, host, settings, is_their_shell=is_their_shell)


def invocation_of(
    host: Host,
    settings: Settings,
    installed: Invocation | None,
    log_file: str | None = None,
    heartbeat_url: str | None = None,
) -> Invocation:
    """What the entries are to call. What an installed one sets stays, unless it is asked for anew."""
    return Invocation(
        _program(host, installed),
        str(settings.env_file),
        log_file or (installed.log_file if installed else None),
        heartbeat_url or (installed.heartbeat_url if installed else None),
    )


def _program(host: Host, installed: Invocation | None) -> str:
    """This program; spelt as in the entry where that is another way (a link) to the same file."""
    if installed and is_same_file(installed.program, host.program):
        return installed.program
    return str(host.program)


@dataclass(frozen=True, slots=True)
class Found:
    """What is installed in one place, and what would be written there for an invocation."""

    entries: tuple[Entry, ...]
    text: str
    expected: Callable[[Invocation], str]
    warnings: tuple[CronWarning, ...] = ()


def first_invocation(entries: Sequence[Entry]) -> Invocation | None:
    """What the first entry that is ours calls."""
    return next((entry.invocation for entry in entries if entry.invocation), None)
