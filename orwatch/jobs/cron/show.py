"""``orwatch cron show``: what is installed where, and whether this version would write the same."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

from orwatch.config.env_file import find_env_file
from orwatch.config.settings import Settings
from orwatch.errors import BrokenMarksError, OrwatchError, UnreadableError
from orwatch.files import is_same_file
from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron import ours as cron_owner
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.host import Host
from orwatch.jobs.cron.ours import Found, first_invocation, invocation_of
from orwatch.jobs.cron.places import Place, places
from orwatch.jobs.cron.result import (
    CronEntry,
    CronPlace,
    CronSchedule,
    CronShowResult,
    CronWarning,
    ScheduleState,
)
from orwatch.jobs.cron.text import Entry, Invocation
from orwatch.jobs.cron.user_crontab import UserCrontab

_TIMES_SHOWN = 3
_GLANCE_SECONDS = 2.0


def look(host: Host, settings: Settings, now: datetime) -> CronShowResult:
    """As ``show``, but for commands whose concern is another one: it never fails, and hardly waits."""
    host = replace(host, timeout_seconds=_GLANCE_SECONDS)
    try:
        return show(host, settings, now)
    except OSError as error:
        return CronShowResult(
            now, (), unreadable=(UnreadableError(f"the schedule cannot be looked at: {error}"),)
        )


def show(
    host: Host,
    settings: Settings,
    now: datetime,
    zone: tzinfo | None = None,
    *,
    compares_shell: bool = False,
) -> CronShowResult:
    """What is installed, and whether this version would write the same. ``zone`` None: the machine's own.

    ``compares_shell``: also whether the jobs will have the settings of this shell.
    """
    schedules: list[CronSchedule] = []
    warnings: list[CronWarning] = []
    unreadable: list[OrwatchError] = []
    broken: list[OrwatchError] = []
    for place in places(host):
        try:
            found = place.find()
        except BrokenMarksError as error:
            broken.append(BrokenMarksError(f"{place.location}: {error.problem}", error.advice))
            continue
        except UnreadableError as error:
            unreadable.append(error)
            continue
        if found is not None:
            schedule = _schedule(place, found, settings, now, zone)
            is_ours = schedule.other_env_file is None
            if is_ours and compares_shell:
                shell = tuple(_differences_of_shell(found, host, settings))
                schedule = replace(schedule, warnings=(*schedule.warnings, *shell))
            if is_ours and place.kind is not CronPlace.SYSTEMD:
                daemon = tuple(cron_checks.check_daemon(host, place.kind))
                schedule = replace(schedule, warnings=(*schedule.warnings, *daemon))
            schedules.append(schedule)
    # With other settings they are other jobs.
    if sum(schedule.other_env_file is None for schedule in schedules) > 1:
        warnings.append(
            CronWarning(
                "the jobs are installed in more than one place, so that each is started more than once: "
                "`orwatch cron remove` removes them everywhere; then install once more."
            )
        )
    if ours := [schedule for schedule in schedules if schedule.other_env_file is None]:
        warnings += warn_of_own_lines(ours[0].location, host, settings)
    # A crontab that could not be read would only be waited for once more.
    is_found = bool(schedules or broken)
    own_lines = () if is_found else tuple(_own_lines(host, with_crontab=not unreadable))
    return CronShowResult(
        now,
        tuple(schedules),
        tuple(warnings),
        tuple(unreadable),
        own_lines,
        tuple(broken),
        has_crontab=host.find_command("crontab") is not None,
    )


def _own_lines(host: Host, *, with_crontab: bool) -> Iterator[str]:
    """The tables in which lines that orwatch has not written start it."""
    crontab_of_user = UserCrontab(host)
    if with_crontab:
        with suppress(UnreadableError):
            if crontab.calls_of_orwatch(crontab_of_user.read_if_any()):
                yield crontab_of_user.location
    for path, text in host.system_tables():
        if crontab.calls_of_orwatch(text):
            yield str(path)


def _differences_of_shell(found: Found, host: Host, settings: Settings) -> Iterator[CronWarning]:
    installed = first_invocation(found.entries)
    if installed is None or cron_owner.has_moved(installed, str(settings.env_file)):
        return
    user = _as_user_of(found, host)
    is_theirs = user.user == host.user
    yield from cron_checks.check_environment(installed, user, settings, is_their_shell=is_theirs)


def _schedule(
    place: Place,
    found: Found,
    settings: Settings,
    now: datetime,
    zone: tzinfo | None,
) -> CronSchedule:
    other = cron_owner.other_env_file(found.entries, str(settings.env_file))
    entries = _timed(found.entries, now, zone)
    if other is not None:
        # With other settings it is no concern of this command whether they can work.
        warning = CronWarning(
            f"the entries read {other}, and this command reads {settings.env_file}; "
            f"`{cron_owner.removal_of(place.kind, other)}` removes them."
        )
        state = ScheduleState.OTHER_SETTINGS
        return CronSchedule(place.kind, place.location, state, entries, (warning,), other)
    installed = first_invocation(found.entries)
    expected = invocation_of(place.host, settings, installed)
    warnings = list(found.warnings)
    try:
        is_same = found.text == found.expected(expected)
    except OrwatchError as error:
        is_same = False
        warnings.append(CronWarning(str(error), is_fatal=True))
    if installed is not None:
        warnings += _differences(installed, expected)
        is_moved = cron_owner.has_moved(installed, expected.env_file)
        checked = replace(installed, env_file=expected.env_file) if is_moved else installed
        warnings += cron_checks.check_files(checked, _as_user_of(found, place.host))
    state = ScheduleState.INSTALLED if is_same else ScheduleState.DIFFERS
    return CronSchedule(place.kind, place.location, state, entries, tuple(warnings))


def _timed(entries: Sequence[Entry], now: datetime, zone: tzinfo | None) -> tuple[CronEntry, ...]:
    return tuple(
        CronEntry(
            entry.job,
            entry.command,
            crontab.next_times(entry.job, now, _TIMES_SHOWN, zone) if entry.job else (),
        )
        for entry in entries
    )


def _as_user_of(found: Found, host: Host) -> Host:
    name = next((entry.user for entry in found.entries if entry.user), host.user)
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return host
    return replace(host, user=name, uid=user.pw_uid, home=Path(user.pw_dir))


def _differences(installed: Invocation, expected: Invocation) -> Iterator[CronWarning]:
    if installed.program != expected.program:
        yield CronWarning(f"the entries run {installed.program}, and this program is {expected.program}.")
    if cron_owner.has_moved(installed, expected.env_file):
        yield CronWarning(
            f"the entries read {installed.env_file}, which is gone; this command reads {expected.env_file}: "
            "run `orwatch cron install` again.",
            is_fatal=True,
        )
    elif installed.env_file != expected.env_file:
        yield CronWarning(
            f"the entries read {installed.env_file}, and this command reads {expected.env_file}."
        )


def warn_of_own_lines(installed_in: str, host: Host, settings: Settings) -> Iterator[CronWarning]:
    """Whether lines that orwatch has not written start the jobs as well, for this user and these settings."""
    tables = list(host.system_tables())
    of_user = re.compile(rf"(?<!\S){re.escape(host.user)}(?!\S)")
    found = [
        (str(path), line)
        for path, text in tables
        for line in crontab.calls_of_orwatch(text)
        if of_user.search(line)
    ]
    crontab_of_user = UserCrontab(host)
    with suppress(OrwatchError):
        text = crontab.without_block(crontab_of_user.read_if_any())
        found += [(crontab_of_user.location, line) for line in crontab.calls_of_orwatch(text)]
    # Under cron, which has no variables of this shell.
    usual = find_env_file({"XDG_CONFIG_HOME": str(host.home / ".config")}, None)
    for where, line in found:
        if is_same_file(crontab.env_file_named_in(line) or usual, settings.env_file):
            yield CronWarning(
                f"{where} has a line of your own that starts orwatch, beside the entries in {installed_in}, "
                f"so that jobs are started twice: delete it ({line})."
            )


def warn_of_others(place: Place, settings: Settings) -> Iterator[CronWarning]:
    """Whether the jobs, with these settings, are started from another place as well."""
    for other in places(place.host):
        try:
            found = None if other.kind is place.kind else other.find()
        except OrwatchError:
            continue  # that place does not matter here
        if found is not None and cron_owner.other_env_file(found.entries, str(settings.env_file)) is None:
            yield CronWarning(
                f"{other.location} has the jobs too, so that each would be started twice: "
                "`orwatch cron remove` removes them everywhere; then install once more."
            )
