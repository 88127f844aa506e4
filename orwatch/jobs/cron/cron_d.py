"""/etc/cron.d/orwatch: found, checked, installed and removed."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from orwatch.config.settings import Settings
from orwatch.errors import OrwatchError
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.checks import check_daemon
from orwatch.jobs.cron.host import CRON_D_MODE, Host, delete_file, read_file, write_file
from orwatch.jobs.cron.ours import (
    Found,
    InstallRequest,
    change_between,
    check_invocation,
    entries_in,
    refuse_other,
    removal_of,
    wanted_invocation,
)
from orwatch.jobs.cron.result import CronChange, CronInstallResult, CronPlace, CronWarning


@dataclass(frozen=True, slots=True)
class CronD:
    """Our file in /etc/cron.d, with a user column."""

    host: Host
    kind: ClassVar[CronPlace] = CronPlace.ETC_CRON_D

    @property
    def location(self) -> str:
        """The place's name for a person."""
        return str(self.host.cron_d_file)

    def find(self) -> Found | None:
        """What is installed there."""
        path = self.host.cron_d_file
        block = crontab.find_block(read_file(path))
        if block is None:
            return None
        entries = crontab.read_entries(block.text)
        user = next((entry.user for entry in entries if entry.user), self.host.user)
        warnings = tuple(check_cron_d_file(path))
        return Found(entries, block.text, lambda invocation: crontab.entries(invocation, user), warnings)

    def install(self, request: InstallRequest, settings: Settings) -> CronInstallResult:
        """Write the schedule there, for who called sudo."""
        path = self.host.cron_d_file
        self._require_access(path, is_dry_run=request.is_dry_run)
        host = _for_cron_d(self.host)
        before = read_file(path)
        entries = entries_in(before)
        if before and crontab.find_block(before) is None:
            raise OrwatchError(
                f"{path} was not written by orwatch; nothing was changed", "Move it away first."
            )
        invocation = wanted_invocation(request, self.location, host, settings, entries)
        after = crontab.with_block(before, crontab.entries(invocation, host.user))
        # Written anew where only its owner or mode is wrong, too.
        is_right = after == before and not any(check_cron_d_file(path))
        if not request.is_dry_run and not is_right:
            write_file(path, after)
        warnings = [
            *([] if request.is_dry_run else check_cron_d_file(path)),
            *check_daemon(host, self.kind),
            *check_invocation(invocation, host, settings, is_their_shell=host.user == self.host.user),
        ]
        if invocation.heartbeat_url is not None:
            warnings.append(
                CronWarning(
                    f"every user of this machine can read {path}, and with it the heartbeat's address: "
                    f"ORWATCH_HEARTBEAT_URL in {invocation.env_file} keeps it to its readers."
                )
            )
        change = CronChange.CORRECTED if before == after and not is_right else change_between(before, after)
        return CronInstallResult(self.kind, self.location, change, after, request.is_dry_run, tuple(warnings))

    def _require_access(self, path: Path, *, is_dry_run: bool) -> None:
        if not path.parent.is_dir():
            raise OrwatchError(
                f"there is no {path.parent}: the cron of this machine does not read one (busybox's and "
                "macOS's do not). Use `orwatch cron install --user-crontab`."
            )
        if self.host.uid != 0 and not is_dry_run:
            raise OrwatchError(f"only root may write {path}: run it with sudo, or use `--user-crontab`.")

    def remove(self, env_file: str, *, is_dry_run: bool = False) -> tuple[CronWarning, ...] | None:
        """Delete the entries of this env file; None: there were none."""
        path = self.host.cron_d_file
        before = read_file(path)
        entries = entries_in(before)
        if crontab.find_block(before) is None:
            return None
        refuse_other(self.kind, self.location, entries, env_file)
        if self.host.uid != 0:
            command = removal_of(self.kind, env_file)
            raise OrwatchError(f"only root may change {path}: run `{command}` as well.")
        if is_dry_run:
            return ()
        rest = crontab.without_block(before)
        if rest.strip():
            write_file(path, rest)
        else:
            delete_file(path)
        return ()


def _for_cron_d(host: Host) -> Host:
    """The user of the entries: who called sudo, or root."""
    name = host.environ.get("SUDO_USER", "") if host.uid == 0 else ""
    if not name or name == host.user:
        return host
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise OrwatchError(f"SUDO_USER={name!r} is no user of this machine.") from None
    return replace(host, user=user.pw_name, uid=user.pw_uid, home=Path(user.pw_dir))


def check_cron_d_file(path: Path) -> Iterator[CronWarning]:
    """Whether cron accepts the file as it is."""
    try:
        status = path.lstat()
    except OSError:
        return
    again = "`sudo orwatch cron install --etc-cron-d` writes it anew"
    if not stat.S_ISREG(status.st_mode):
        yield CronWarning(f"{path} is no regular file, and some crons skip it: delete it; {again}.", True)
        return
    if status.st_uid != 0:
        yield CronWarning(
            f"{path} does not belong to root, and cron skips it: `sudo chown root {path}`.", True
        )
    if (mode := stat.S_IMODE(status.st_mode)) != CRON_D_MODE:
        yield CronWarning(
            f"{path} has mode {mode:o}, and cron may skip it: `sudo chmod 644 {path}`.",
            bool(mode & 0o133),
        )
