"""The user's crontab: read and written, found, checked, installed and removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orwatch.config.settings import PREFIX, Settings, load_settings
from orwatch.errors import OrwatchError, SettingsError, UnreadableError
from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.checks import DATA_HOME, data_folder
from orwatch.jobs.cron.host import FinishedCommand, Host, run_command
from orwatch.jobs.cron.ours import (
    Found,
    InstallRequest,
    change_between,
    check_invocation,
    entries_in,
    first_invocation,
    location,
    refuse_others,
    wanted_invocation,
)
from orwatch.jobs.cron.result import CronInstallResult, CronPlace, CronWarning
from orwatch.jobs.cron.text import Invocation, variables_above


def install_crontab(request: InstallRequest, host: Host, settings: Settings) -> CronInstallResult:
    warnings: list[CronWarning] = []
    try:
        before = read_crontab(host)
    except OrwatchError as error:
        if not request.is_dry_run:
            raise
        before = ""
        warnings.append(CronWarning(str(error), is_fatal=True))
    invocation = wanted_invocation(request, host, settings, entries_in(before))
    block = crontab.entries(invocation)
    after = crontab.with_block(before, block)
    if after != before and not request.is_dry_run:
        write_crontab(host, after)
    warnings += check_crontab_variables(after)
    warnings += check_redirections(after, invocation, host)
    warnings += cron_checks.check_daemon(host, request.place)
    warnings += check_invocation(invocation, host, settings)
    return CronInstallResult(
        request.place,
        location(request.place, host),
        change_between(before, after),
        block,
        request.is_dry_run,
        tuple(warnings),
    )


def remove_crontab(host: Host, env_file: str) -> tuple[CronWarning, ...] | None:
    """None: there was nothing."""
    if host.find_command("crontab") is None:
        return None
    before = read_crontab(host)
    entries = entries_in(before)
    if crontab.find_block(before) is None:
        return None
    refuse_others(CronPlace.USER_CRONTAB, host, entries, env_file)
    write_crontab(host, crontab.without_block(before))
    return ()


_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "yash"})


def check_crontab_variables(text: str) -> Iterator[CronWarning]:
    """Whether the variables that a user's crontab sets above our entries let them run."""
    variables = variables_above(text)
    shell = variables.get("SHELL")
    if shell is not None and Path(shell).name not in _SHELLS:
        yield CronWarning(
            f"the crontab sets SHELL={shell} above the entries, and they are written for sh: move that line "
            "beneath them.",
            is_fatal=True,
        )
    path = variables.get("PATH")
    if path is not None and not any(_is_program(Path(folder, "date")) for folder in path.split(":")):
        yield CronWarning(
            f"the crontab sets PATH={path} above the entries, and there is no `date` in it (cron does not "
            "expand variables there): correct that line, or move it beneath them.",
            is_fatal=True,
        )


def check_redirections(text: str, invocation: Invocation, host: Host) -> Iterator[CronWarning]:
    """Whether the variables that a user's crontab sets above our entries change what the jobs work on."""
    plain = data_folder(str(host.home))
    try:
        as_meant = load_settings(plain, invocation.env_file)
    except SettingsError:
        return  # that is told of the environment
    above = variables_above(text)
    for name, value in above.items():
        is_setting = name.startswith(PREFIX) or name == DATA_HOME
        is_home = name == "HOME" and DATA_HOME not in above
        if not (is_setting or is_home) or name in dict(invocation.variables):
            continue
        way_out = "delete that line, or move it beneath them"
        try:
            changed = data_folder(value) if is_home else {name: value}
            with_it = load_settings({**plain, **changed}, invocation.env_file)
        except SettingsError as error:
            yield CronWarning(f"the crontab sets {name} above the entries: {error} So {way_out}.", True)
            continue
        if replace(with_it, encryption_keys_from_environment=False) == as_meant:
            continue
        is_fatal = with_it.database_url != as_meant.database_url or (
            with_it.encryption_keys != as_meant.encryption_keys
        )
        what = "the database or the keys that the jobs use" if is_fatal else "what the jobs do"
        yield CronWarning(
            f"the crontab sets {name} above the entries, which changes {what}: {way_out}.", is_fatal
        )


def _is_program(path: Path) -> bool:
    return path.is_absolute() and os.access(path, os.X_OK)


_NO_CRONTAB_YET = ("no crontab for", "can't open", "no such file")


def read_crontab(host: Host) -> str:
    """The user's crontab; empty when there is none.

    Raises ``OrwatchError`` when there is no ``crontab`` command, ``UnreadableError`` when it refuses.
    """
    done = _run_crontab(host, "-l")
    if done.code == 0:
        return os.fsdecode(done.stdout)
    if not done.stdout and any(words in done.problem.lower() for words in _NO_CRONTAB_YET):
        return ""
    raise UnreadableError(_refusal("read", host, done))


def write_crontab(host: Host, text: str) -> None:
    """Replace the user's crontab; an empty text removes it.

    Raises ``OrwatchError`` when it was not taken, or reads back as something else.
    """
    done = _run_crontab(host, "-", text) if text else _run_crontab(host, "-r")
    if done.code:
        raise OrwatchError(_refusal("changed", host, done))
    if read_crontab(host) != text:
        raise OrwatchError(
            f"the crontab of {host.user} reads back as something else than was written. Somebody may "
            "have changed it at the same moment: look at it (`crontab -l`), and try again."
        )


def _refusal(verb: str, host: Host, done: FinishedCommand) -> str:
    reason = done.problem or f"crontab exited with {done.code}"
    return (
        f"the crontab of {host.user} cannot be {verb}: {reason}. Where users may have no crontab "
        "(cron.allow, cron.deny), root can allow it, or use `--etc-cron-d` as root, or `--systemd`."
    )


def _run_crontab(host: Host, argument: str, text: str | None = None) -> FinishedCommand:
    command = host.find_command("crontab")
    if command is None:
        raise OrwatchError(
            "there is no `crontab` command: install cron (Debian: `apt install cron`, RHEL: "
            "`dnf install cronie`, Alpine: `apk add busybox-suid` or `apk add cronie`), "
            "or use `orwatch cron install --systemd`."
        )
    return run_command(host, [command, argument], None if text is None else os.fsencode(text))


def find_crontab(host: Host) -> Found | None:
    if host.find_command("crontab") is None:
        return None
    text = read_crontab(host)
    block = crontab.find_block(text)
    if block is None:
        return None
    found = crontab.read_entries(block.text)
    warnings = list(check_crontab_variables(text))
    if (installed := first_invocation(found)) is not None:
        warnings += check_redirections(text, installed, host)
    return Found(found, block.text, crontab.entries, tuple(warnings))
