"""``orwatch cron show``: what is installed where, and whether this version would write the same."""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from orwatch import crontab
from orwatch.config import Settings, find_env_file
from orwatch.crontab import Entry, Invocation
from orwatch.errors import BrokenMarksError, OrwatchError, UnreadableError
from orwatch.jobs import cron_checks, cron_owner, cron_places
from orwatch.jobs.cron_places import Surroundings
from orwatch.models import Job
from orwatch.results.cron import CronEntry, CronPlace, CronSchedule, CronShowResult, CronState, CronWarning

_TIMES_SHOWN = 3
_GLANCE_SECONDS = 2.0


def look(surroundings: Surroundings, settings: Settings, now: datetime, *, is_glance: bool) -> CronShowResult:
    """As ``show``, but for commands whose concern is another one: it never fails, and waits for nothing.

    ``is_glance``: it is not looked whether a cron runs, for that is a look at every process.
    """
    surroundings = replace(surroundings, timeout_seconds=_GLANCE_SECONDS)
    try:
        return show(surroundings, settings, now, is_glance=is_glance)
    except OSError as error:
        return CronShowResult(now, (), unreadable=(f"the schedule cannot be looked at: {error}",))


def show(
    surroundings: Surroundings,
    settings: Settings,
    now: datetime,
    zone: tzinfo | None = None,
    *,
    is_glance: bool = False,
    compares_shell: bool = False,
) -> CronShowResult:
    """What is installed, and whether this version would write the same. ``zone`` None: the machine's own.

    ``compares_shell``: whether this shell's settings are those that the jobs will have is told, too.
    """
    schedules: list[CronSchedule] = []
    warnings: list[CronWarning] = []
    unreadable: list[str] = []
    broken: list[str] = []
    for place, find in _FINDERS.items():
        try:
            found = find(surroundings)
        except BrokenMarksError as error:
            broken.append(f"{location(place, surroundings)}: {error}")
            continue
        except OrwatchError as error:
            warnings.append(CronWarning(str(error), is_fatal=True))
            if isinstance(error, UnreadableError):
                unreadable.append(str(error))
            continue
        if found is not None:
            schedule = _schedule(place, found, surroundings, settings, now, zone)
            is_ours = schedule.other_env_file is None
            if is_ours and compares_shell:
                shell = tuple(_differences_of_shell(found, surroundings, settings))
                schedule = replace(schedule, warnings=(*schedule.warnings, *shell))
            if is_ours and place is not CronPlace.SYSTEMD and not is_glance:
                daemon = tuple(cron_checks.check_daemon(surroundings, place))
                schedule = replace(schedule, warnings=(*schedule.warnings, *daemon))
            schedules.append(schedule)
    # With other settings they are other jobs.
    if sum(schedule.other_env_file is None for schedule in schedules) > 1:
        warnings.append(
            CronWarning(
                "the jobs are installed in more than one place, so that each is started more than once: "
                "`orwatch cron remove` takes them out everywhere; then install once more."
            )
        )
    if ours := [schedule for schedule in schedules if schedule.other_env_file is None]:
        warnings += warn_of_own_lines(ours[0].location, surroundings, settings)
    # A crontab that could not be read would only be waited for once more.
    is_found = bool(schedules or broken)
    own_lines = () if is_found else tuple(_own_lines(surroundings, with_crontab=not unreadable))
    return CronShowResult(now, tuple(schedules), tuple(warnings), tuple(unreadable), own_lines, tuple(broken))


def _own_lines(surroundings: Surroundings, *, with_crontab: bool) -> Iterator[str]:
    """The tables in which lines that orwatch has not written start it."""
    if with_crontab and surroundings.find_command("crontab") is not None:
        with suppress(UnreadableError):
            if crontab.calls_of_orwatch(cron_places.read_crontab(surroundings)):
                yield location(CronPlace.USER_CRONTAB, surroundings)
    for path, text in cron_places.read_system_tables(surroundings):
        if crontab.calls_of_orwatch(text):
            yield str(path)


def _differences_of_shell(
    found: _Found, surroundings: Surroundings, settings: Settings
) -> Iterator[CronWarning]:
    installed = first_invocation(found.entries)
    if installed is None or cron_owner.has_moved(installed, str(settings.env_file)):
        return
    user = _as_user_of(found, surroundings)
    is_theirs = user.user == surroundings.user
    yield from cron_checks.check_environment(installed, user, settings, is_their_shell=is_theirs)


def _schedule(
    place: CronPlace,
    found: _Found,
    surroundings: Surroundings,
    settings: Settings,
    now: datetime,
    zone: tzinfo | None,
) -> CronSchedule:
    other = cron_owner.other_env_file(found.entries, str(settings.env_file))
    if other is not None:
        return _schedule_of_others(place, other, found, surroundings, settings, now, zone)
    installed = first_invocation(found.entries)
    expected = invocation_of(surroundings, settings, installed)
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
        warnings += cron_checks.check_files(checked, _as_user_of(found, surroundings))
    state = CronState.AS_INSTALLED if is_same else CronState.DIFFERS
    where = location(place, surroundings)
    return CronSchedule(place, where, state, _timed(found.entries, now, zone), tuple(warnings))


def _schedule_of_others(
    place: CronPlace,
    env_file: str,
    found: _Found,
    surroundings: Surroundings,
    settings: Settings,
    now: datetime,
    zone: tzinfo | None,
) -> CronSchedule:
    """With other settings it is no concern of this command whether they can work."""
    how = f"`{cron_owner.removal_of(place, env_file)}` takes them out"
    warning = CronWarning(f"the entries read {env_file}, and this command {settings.env_file}; {how}.")
    where = location(place, surroundings)
    entries = _timed(found.entries, now, zone)
    return CronSchedule(place, where, CronState.OTHER_SETTINGS, entries, (warning,), env_file)


def _timed(entries: Sequence[Entry], now: datetime, zone: tzinfo | None) -> tuple[CronEntry, ...]:
    return tuple(
        CronEntry(
            entry.job,
            entry.command,
            crontab.next_times(entry.job, now, _TIMES_SHOWN, zone) if entry.job else (),
        )
        for entry in entries
    )


def _as_user_of(found: _Found, surroundings: Surroundings) -> Surroundings:
    name = next((entry.user for entry in found.entries if entry.user), surroundings.user)
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return surroundings
    return replace(surroundings, user=name, uid=user.pw_uid, home=Path(user.pw_dir))


def _differences(installed: Invocation, expected: Invocation) -> Iterator[CronWarning]:
    if installed.program != expected.program:
        yield CronWarning(f"the entries run {installed.program}, and this is {expected.program}.")
    if cron_owner.has_moved(installed, expected.env_file):
        yield CronWarning(
            f"the entries read {installed.env_file}, which is gone; this command reads {expected.env_file}: "
            "run `orwatch cron install` again.",
            is_fatal=True,
        )
    elif installed.env_file != expected.env_file:
        yield CronWarning(f"the entries read {installed.env_file}, and this command {expected.env_file}.")


def invocation_of(
    surroundings: Surroundings,
    settings: Settings,
    installed: Invocation | None,
    log_file: str | None = None,
    heartbeat_url: str | None = None,
) -> Invocation:
    """What the entries are to call. What an installed one sets stays, unless it is asked for anew."""
    return Invocation(
        _program(surroundings, installed),
        str(settings.env_file),
        log_file or (installed.log_file if installed else None),
        heartbeat_url or (installed.heartbeat_url if installed else None),
    )


def _program(surroundings: Surroundings, installed: Invocation | None) -> str:
    """This program; spelt as in the entry where that is another way (a link) to the same file."""
    if installed and cron_owner.is_same(installed.program, str(surroundings.program)):
        return installed.program
    return str(surroundings.program)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is installed in one place, and how to tell what would be written there for an invocation."""

    entries: tuple[Entry, ...]
    text: str
    expected: Callable[[Invocation], str]
    warnings: tuple[CronWarning, ...] = ()


def _find_crontab(surroundings: Surroundings) -> _Found | None:
    if surroundings.find_command("crontab") is None:
        return None
    text = cron_places.read_crontab(surroundings)
    block = crontab.find_block(text)
    if block is None:
        return None
    found = crontab.read_entries(block.text)
    warnings = list(cron_checks.check_crontab_variables(text))
    if (installed := first_invocation(found)) is not None:
        warnings += cron_checks.check_redirections(text, installed, surroundings)
    return _Found(found, block.text, crontab.entries, tuple(warnings))


def _find_cron_d(surroundings: Surroundings) -> _Found | None:
    path = surroundings.cron_d_file
    block = crontab.find_block(cron_places.read_file(path))
    if block is None:
        return None
    found = crontab.read_entries(block.text)
    user = next((entry.user for entry in found if entry.user), surroundings.user)
    warnings = tuple(cron_checks.check_cron_d_file(path))
    return _Found(found, block.text, lambda invocation: crontab.entries(invocation, user), warnings)


def _find_units(surroundings: Surroundings) -> _Found | None:
    files = cron_places.read_units(surroundings)
    if not files:
        return None
    wants = surroundings.unit_folder / "timers.target.wants"
    missing = [name for name in cron_places.timer_names() if not (wants / name).is_symlink()]
    warnings = list(cron_checks.check_lingering(surroundings))
    if missing:
        warnings.append(
            CronWarning(
                f"not enabled: run `systemctl --user enable --now {' '.join(missing)}`.", is_fatal=True
            )
        )

    def expected(invocation: crontab.Invocation) -> str:
        return _joined(crontab.units(invocation))

    return _Found(unit_entries(files), _joined(files), expected, tuple(warnings))


_FINDERS: Mapping[CronPlace, Callable[[Surroundings], _Found | None]] = {
    CronPlace.USER_CRONTAB: _find_crontab,
    CronPlace.ETC_CRON_D: _find_cron_d,
    CronPlace.SYSTEMD: _find_units,
}


def _joined(files: Mapping[str, str]) -> str:
    return "".join(f"{name}\n{text}" for name, text in sorted(files.items()))


def unit_entries(files: Mapping[str, str]) -> tuple[Entry, ...]:
    """What the services among unit files start."""
    named = ((job, files.get(crontab.unit_name(job, "service"))) for job in Job)
    return tuple(crontab.read_service(job, text) for job, text in named if text is not None)


def first_invocation(entries: Sequence[Entry]) -> Invocation | None:
    """What the first entry that is ours calls."""
    return next((entry.invocation for entry in entries if entry.invocation), None)


def location(place: CronPlace, surroundings: Surroundings) -> str:
    """A place's name for a person."""
    if place is CronPlace.USER_CRONTAB:
        return f"the crontab of {surroundings.user}"
    return str(surroundings.cron_d_file if place is CronPlace.ETC_CRON_D else surroundings.unit_folder)


def warn_of_own_lines(
    installed_in: str, surroundings: Surroundings, settings: Settings
) -> Iterator[CronWarning]:
    """Whether lines that orwatch has not written start the jobs as well, for this user and these settings."""
    tables = list(cron_places.read_system_tables(surroundings))
    of_user = re.compile(rf"(?<!\S){re.escape(surroundings.user)}(?!\S)")
    found = [
        (str(path), line)
        for path, text in tables
        for line in crontab.calls_of_orwatch(text)
        if of_user.search(line)
    ]
    if surroundings.find_command("crontab") is not None:
        with suppress(OrwatchError):
            text = crontab.without_block(cron_places.read_crontab(surroundings))
            where = location(CronPlace.USER_CRONTAB, surroundings)
            found += [(where, line) for line in crontab.calls_of_orwatch(text)]
    # Under cron, which has no variables of this shell.
    usual = find_env_file({"XDG_CONFIG_HOME": str(surroundings.home / ".config")}, None)
    for where, line in found:
        if cron_owner.is_same(crontab.env_file_named_in(line) or str(usual), str(settings.env_file)):
            yield CronWarning(
                f"{where} has a line of your own that starts orwatch, beside the entries in {installed_in}, "
                f"so that jobs are started twice: delete it ({line})."
            )


def warn_of_others(place: CronPlace, surroundings: Surroundings, settings: Settings) -> Iterator[CronWarning]:
    """Whether the jobs, with these settings, are started from another place as well."""
    for other, find in _FINDERS.items():
        try:
            found = None if other is place else find(surroundings)
        except OrwatchError:
            continue  # that place is nobody's concern now
        if found is None:
            continue
        if cron_owner.other_env_file(found.entries, str(settings.env_file)) is None:
            yield CronWarning(
                f"{location(other, surroundings)} has the jobs too, so that each would be started twice: "
                "`orwatch cron remove` takes them out everywhere; then install once more."
            )
