"""``orwatch cron install`` and ``remove``: the schedule, put where cron or systemd finds it."""

from __future__ import annotations

import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orwatch import crontab
from orwatch.config import Settings
from orwatch.crontab import Entry, Invocation
from orwatch.errors import BrokenMarksError, OrwatchError
from orwatch.jobs import cron_checks, cron_owner, cron_places
from orwatch.jobs.cron_places import Surroundings
from orwatch.jobs.cron_show import (
    first_invocation,
    invocation_of,
    location,
    unit_entries,
    warn_of_others,
    warn_of_own_lines,
)
from orwatch.results.cron import CronChange, CronInstallResult, CronPlace, CronRemoveResult, CronWarning


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """Where to install, and what the entries set. None: as it is there already, if it is."""

    place: CronPlace = CronPlace.USER_CRONTAB
    log_file: str | None = None
    heartbeat_url: str | None = None
    is_dry_run: bool = False
    # Whether another set-up's entries may be replaced.
    replaces: bool = False


def install(request: InstallRequest, surroundings: Surroundings, settings: Settings) -> CronInstallResult:
    """Write the schedule; again, it changes nothing. ``is_dry_run``: only tell what would be written.

    Raises ``OrwatchError`` when it cannot be written; nothing was changed then, unless it says so.
    """
    writers = {
        CronPlace.USER_CRONTAB: _install_crontab,
        CronPlace.ETC_CRON_D: _install_cron_d,
        CronPlace.SYSTEMD: _install_units,
    }
    result = writers[request.place](request, surroundings, settings)
    others = (
        *warn_of_others(request.place, surroundings, settings),
        *warn_of_own_lines(result.location, surroundings, settings),
    )
    return replace(result, warnings=(*result.warnings, *others))


def _install_crontab(
    request: InstallRequest, surroundings: Surroundings, settings: Settings
) -> CronInstallResult:
    warnings: list[CronWarning] = []
    try:
        before = cron_places.read_crontab(surroundings)
    except OrwatchError as error:
        if not request.is_dry_run:
            raise
        before = ""
        warnings.append(CronWarning(str(error), is_fatal=True))
    invocation = _wanted(request, surroundings, settings, _entries_in(before))
    block = crontab.entries(invocation)
    after = crontab.with_block(before, block)
    if after != before and not request.is_dry_run:
        cron_places.write_crontab(surroundings, after)
    warnings += cron_checks.check_crontab_variables(after)
    warnings += cron_checks.check_redirections(after, invocation, surroundings)
    warnings += cron_checks.check_daemon(surroundings, request.place)
    warnings += _checked(invocation, surroundings, settings)
    return CronInstallResult(
        request.place,
        location(request.place, surroundings),
        _change(before, after),
        block,
        request.is_dry_run,
        tuple(warnings),
    )


def _install_cron_d(
    request: InstallRequest, surroundings: Surroundings, settings: Settings
) -> CronInstallResult:
    path = surroundings.cron_d_file
    if not path.parent.is_dir():
        raise OrwatchError(
            f"there is no {path.parent}: the cron of this machine does not read one (busybox's and macOS's "
            "do not). Use `orwatch cron install --user-crontab`."
        )
    if surroundings.uid != 0 and not request.is_dry_run:
        raise OrwatchError(f"only root may write {path}: run it with sudo, or use `--user-crontab`.")
    caller, surroundings = surroundings, _for_cron_d(surroundings)
    before = cron_places.read_file(path)
    entries = _entries_in(before)
    if before and crontab.find_block(before) is None:
        raise OrwatchError(f"{path} was not written by orwatch; nothing was changed. Move it away first.")
    invocation = _wanted(request, surroundings, settings, entries)
    after = crontab.with_block(before, crontab.entries(invocation, surroundings.user))
    # Written anew where only its owner or mode is wrong, too.
    is_right = after == before and not any(cron_checks.check_cron_d_file(path))
    if not request.is_dry_run and not is_right:
        cron_places.write_file(path, after)
    warnings = [
        *([] if request.is_dry_run else cron_checks.check_cron_d_file(path)),
        *cron_checks.check_daemon(surroundings, request.place),
        *_checked(invocation, surroundings, settings, is_their_shell=surroundings.user == caller.user),
    ]
    if invocation.heartbeat_url is not None:
        warnings.append(
            CronWarning(
                f"everybody on this machine can read {path}, and with it the heartbeat's address: "
                f"ORWATCH_HEARTBEAT_URL in {invocation.env_file} keeps it to its readers."
            )
        )
    change = CronChange.CORRECTED if before == after and not is_right else _change(before, after)
    return CronInstallResult(request.place, str(path), change, after, request.is_dry_run, tuple(warnings))


def _for_cron_d(surroundings: Surroundings) -> Surroundings:
    """The user of the entries: who called sudo, or root."""
    name = surroundings.environ.get("SUDO_USER", "") if surroundings.uid == 0 else ""
    if not name or name == surroundings.user:
        return surroundings
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise OrwatchError(f"SUDO_USER={name!r} is no user of this machine.") from None
    return replace(surroundings, user=user.pw_name, uid=user.pw_uid, home=Path(user.pw_dir))


def _install_units(
    request: InstallRequest, surroundings: Surroundings, settings: Settings
) -> CronInstallResult:
    before = cron_places.read_units(surroundings)
    invocation = _wanted(request, surroundings, settings, unit_entries(before))
    files = crontab.units(invocation)
    folder = surroundings.unit_folder
    change = (
        CronChange.UNCHANGED if before == files else CronChange.CORRECTED if before else CronChange.INSTALLED
    )
    text = "\n".join(f"# {folder / name}\n{text}" for name, text in files.items())
    warnings: list[CronWarning] = []
    if not request.is_dry_run:
        if before != files:
            cron_places.write_units(surroundings, files)
        warnings += _start_timers(surroundings)
    warnings += cron_checks.check_lingering(surroundings)
    warnings += _checked(invocation, surroundings, settings)
    return CronInstallResult(request.place, str(folder), change, text, request.is_dry_run, tuple(warnings))


def _start_timers(surroundings: Surroundings) -> Iterator[CronWarning]:
    timers = cron_places.timer_names()
    problem = cron_places.run_systemctl(surroundings, "daemon-reload") or cron_places.run_systemctl(
        surroundings, "enable", "--now", *timers
    )
    if problem is not None:
        yield CronWarning(
            f"the units are written, but not started: {problem}. Run `systemctl --user daemon-reload && "
            f"systemctl --user enable --now {' '.join(timers)}` as {surroundings.user}, logged in.",
            is_fatal=True,
        )


def _entries_in(text: str) -> tuple[Entry, ...]:
    """What our lines start. Raises ``OrwatchError`` where they cannot be changed without a loss."""
    try:
        block = crontab.find_block(text)
    except BrokenMarksError as error:
        raise BrokenMarksError(f"{error} Nothing was changed.") from None
    if block and (foreign := crontab.foreign_lines(block)):
        raise OrwatchError(
            "between the marks of orwatch's lines, which it writes anew, are lines that it has not written: "
            f"{'; '.join(foreign)}. Nothing was changed: move them above or beneath the marks first."
        )
    return crontab.read_entries(block.text) if block else ()


def _wanted(
    request: InstallRequest, surroundings: Surroundings, settings: Settings, entries: Sequence[Entry]
) -> Invocation:
    """What the entries are to call. Raises ``OrwatchError`` where they are another set-up's."""
    env_file = str(settings.env_file)
    if not request.replaces:
        or_else = f", or write this one's in their place with `{request.place.install_command} --replace`"
        where = location(request.place, surroundings)
        cron_owner.refuse_other(request.place, where, entries, env_file, or_else=or_else)
    problem = cron_checks.log_file_problem(request.log_file, surroundings) if request.log_file else None
    if problem is not None:
        raise OrwatchError(f"{problem} Nothing was changed.")
    # Another set-up's heartbeat and log file are not this one's.
    is_ours = cron_owner.other_env_file(entries, env_file) is None
    installed = first_invocation(entries) if is_ours else None
    return invocation_of(surroundings, settings, installed, request.log_file, request.heartbeat_url)


def _change(before: str, after: str) -> CronChange:
    if before == after:
        return CronChange.UNCHANGED
    return CronChange.CORRECTED if crontab.find_block(before) else CronChange.INSTALLED


def _checked(
    invocation: Invocation, surroundings: Surroundings, settings: Settings, *, is_their_shell: bool = True
) -> Iterator[CronWarning]:
    yield from cron_checks.check_files(invocation, surroundings)
    yield from cron_checks.check_environment(
        invocation, surroundings, settings, is_their_shell=is_their_shell
    )


def remove(surroundings: Surroundings, env_file: Path) -> CronRemoveResult:
    """Take the schedule with this env file out of every place, and nothing else."""
    locations: list[str] = []
    warnings: list[CronWarning] = []
    removers = {
        CronPlace.USER_CRONTAB: _remove_crontab,
        CronPlace.ETC_CRON_D: _remove_cron_d,
        CronPlace.SYSTEMD: _remove_units,
    }
    for place, remove_from in removers.items():
        try:
            warnings_there = remove_from(surroundings, str(env_file))
        except OrwatchError as error:
            warnings.append(CronWarning(str(error), is_fatal=True))
            continue
        if warnings_there is not None:
            warnings += warnings_there
            locations.append(location(place, surroundings))
    return CronRemoveResult(tuple(locations), tuple(warnings))


def _refuse_others(
    place: CronPlace, surroundings: Surroundings, entries: Sequence[Entry], env_file: str
) -> None:
    cron_owner.refuse_other(place, location(place, surroundings), entries, env_file)


def _remove_crontab(surroundings: Surroundings, env_file: str) -> tuple[CronWarning, ...] | None:
    """None: there was nothing."""
    if surroundings.find_command("crontab") is None:
        return None
    before = cron_places.read_crontab(surroundings)
    entries = _entries_in(before)
    if crontab.find_block(before) is None:
        return None
    _refuse_others(CronPlace.USER_CRONTAB, surroundings, entries, env_file)
    cron_places.write_crontab(surroundings, crontab.without_block(before))
    return ()


def _remove_cron_d(surroundings: Surroundings, env_file: str) -> tuple[CronWarning, ...] | None:
    path = surroundings.cron_d_file
    before = cron_places.read_file(path)
    entries = _entries_in(before)
    if crontab.find_block(before) is None:
        return None
    _refuse_others(CronPlace.ETC_CRON_D, surroundings, entries, env_file)
    if surroundings.uid != 0:
        command = cron_owner.removal_of(CronPlace.ETC_CRON_D, env_file)
        raise OrwatchError(f"only root may change {path}: run `{command}` as well.")
    rest = crontab.without_block(before)
    if rest.strip():
        cron_places.write_file(path, rest)
    else:
        cron_places.delete_file(path)
    return ()


def _remove_units(surroundings: Surroundings, env_file: str) -> tuple[CronWarning, ...] | None:
    files = cron_places.read_units(surroundings)
    if not files:
        return None
    _refuse_others(CronPlace.SYSTEMD, surroundings, unit_entries(files), env_file)
    timers = [name for name in cron_places.timer_names() if name in files]
    # Asked before they are gone, and the links deleted by hand where no systemd answers.
    stopped = cron_places.run_systemctl(surroundings, "disable", "--now", *timers) if timers else None
    wants = surroundings.unit_folder / "timers.target.wants"
    for name in timers:
        if (wants / name).is_symlink():
            cron_places.delete_file(wants / name)
    cron_places.delete_units(surroundings, tuple(files))
    problem = stopped or cron_places.run_systemctl(surroundings, "daemon-reload")
    if problem is None:
        return ()
    return (
        CronWarning(
            f"the units are deleted, but systemd was not told: {problem}. Where it runs, "
            "`systemctl --user daemon-reload` tells it."
        ),
    )
