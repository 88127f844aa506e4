"""The user's crontab: read and written, found, checked, installed and removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from orwatch.config.settings import PREFIX, Settings, load_settings
from orwatch.errors import OrwatchError, SettingsError, UnreadableError
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.checks import DATA_HOME, check_daemon, data_folder
from orwatch.jobs.cron.host import FinishedCommand, Host
from orwatch.jobs.cron.ours import (
    Found,
    InstallRequest,
    change_between,
    check_invocation,
    entries_in,
    first_invocation,
    refuse_other,
    wanted_invocation,
)
from orwatch.jobs.cron.result import HOW_TO_GET_CRON, NO_CRONTAB, CronInstallResult, CronPlace, CronWarning
from orwatch.jobs.cron.text import Invocation, variables_above

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "yash"})
_NO_CRONTAB_YET = ("no crontab for", "can't open", "no such file")


@dataclass(frozen=True, slots=True)
class UserCrontab:
    """The crontab of the user."""

    host: Host
    kind: ClassVar[CronPlace] = CronPlace.USER_CRONTAB

    @property
    def location(self) -> str:
        """The place's name for a person."""
        return f"the crontab of {self.host.user}"

    def find(self) -> Found | None:
        """What is installed there."""
        text = self.read_if_any()
        block = crontab.find_block(text)
        if block is None:
            return None
        entries = crontab.read_entries(block.text)
        warnings = list(check_crontab_variables(text))
        if (installed := first_invocation(entries)) is not None:
            warnings += check_redirections(text, installed, self.host)
        return Found(entries, block.text, crontab.entries, tuple(warnings))

    def install(self, request: InstallRequest, settings: Settings) -> CronInstallResult:
        """Write the schedule there."""
        warnings: list[CronWarning] = []
        try:
            before = self.read()
        except OrwatchError as error:
            if not request.is_dry_run:
                raise
            before = ""
            warnings.append(CronWarning(str(error), is_fatal=True))
        invocation = wanted_invocation(request, self.location, self.host, settings, entries_in(before))
        block = crontab.entries(invocation)
        after = crontab.with_block(before, block)
        if after != before and not request.is_dry_run:
            self.write(after)
        warnings += check_crontab_variables(after)
        warnings += check_redirections(after, invocation, self.host)
        warnings += check_daemon(self.host, self.kind)
        warnings += check_invocation(invocation, self.host, settings)
        change = change_between(before, after)
        return CronInstallResult(self.kind, self.location, change, block, request.is_dry_run, tuple(warnings))

    def remove(self, env_file: str, *, is_dry_run: bool = False) -> tuple[CronWarning, ...] | None:
        """Delete the entries of this env file; None: there were none."""
        before = self.read_if_any()
        entries = entries_in(before)
        if crontab.find_block(before) is None:
            return None
        refuse_other(self.kind, self.location, entries, env_file)
        if not is_dry_run:
            self.write(crontab.without_block(before))
        return ()

    def read_if_any(self) -> str:
        """The crontab; empty as well where there is no ``crontab`` command. Raises ``UnreadableError``."""
        return "" if self.host.find_command("crontab") is None else self.read()

    def read(self) -> str:
        """The crontab; empty when there is none.

        Raises ``OrwatchError`` when there is no ``crontab`` command, ``UnreadableError`` when it refuses.
        """
        done = self._run("-l")
        if done.code == 0:
            return os.fsdecode(done.stdout)
        if not done.stdout and any(words in done.problem.lower() for words in _NO_CRONTAB_YET):
            return ""
        raise UnreadableError(*self._refusal("read", done))

    def write(self, text: str) -> None:
        """Replace the crontab; an empty text removes it.

        Raises ``OrwatchError`` when it was not taken, or reads back as something else.
        """
        done = self._run("-", text) if text else self._run("-r")
        if done.code:
            raise OrwatchError(*self._refusal("changed", done))
        if self.read() != text:
            raise OrwatchError(
                f"{self.location} reads back as something else than was written",
                "Somebody may have changed it at the same moment: look at it (`crontab -l`), and try again.",
            )

    def _refusal(self, verb: str, done: FinishedCommand) -> tuple[str, str]:
        reason = done.problem or f"crontab exited with {done.code}"
        return (
            f"{self.location} cannot be {verb}: {reason}",
            "Where users may have no crontab (cron.allow, cron.deny), root can allow it, or use "
            "`--etc-cron-d` as root, or `--systemd`.",
        )

    def _run(self, argument: str, text: str = "") -> FinishedCommand:
        command = self.host.find_command("crontab")
        if command is None:
            raise OrwatchError(NO_CRONTAB, HOW_TO_GET_CRON)
        return self.host.run([command, argument], os.fsencode(text))


def check_crontab_variables(text: str) -> Iterator[CronWarning]:
    """Whether the variables that a user's crontab sets above our entries let them run."""
    variables = variables_above(text)
    shell = variables.get("SHELL")
    if shell is not None and Path(shell).name not in _SHELLS:
        yield CronWarning(
            f"the crontab sets SHELL={shell} above the entries, and they are written for sh: move that line "
            "below them.",
            is_fatal=True,
        )
    path = variables.get("PATH")
    if path is not None and not any(_is_program(Path(folder, "date")) for folder in path.split(":")):
        yield CronWarning(
            f"the crontab sets PATH={path} above the entries, and there is no `date` in it (cron does not "
            "expand variables there): correct that line, or move it below them.",
            is_fatal=True,
        )


def check_redirections(text: str, invocation: Invocation, host: Host) -> Iterator[CronWarning]:
    """Whether the variables that a user's crontab sets above our entries change what the jobs work on."""
    plain = data_folder(str(host.home))
    try:
        as_meant = load_settings(plain, invocation.env_file)
    except SettingsError:
        return  # check_environment reports that
    above = variables_above(text)
    for name, value in above.items():
        is_setting = name.startswith(PREFIX) or name == DATA_HOME
        is_home = name == "HOME" and DATA_HOME not in above
        if not (is_setting or is_home) or name in dict(invocation.variables):
            continue
        way_out = "delete that line, or move it below them"
        try:
            changed = data_folder(value) if is_home else {name: value}
            with_it = load_settings({**plain, **changed}, invocation.env_file)
        except SettingsError as error:
            yield CronWarning(f"the crontab sets {name} above the entries: {error} So {way_out}.", True)
            continue
        if replace(with_it, encryption_keys_elsewhere=None) == as_meant:
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
