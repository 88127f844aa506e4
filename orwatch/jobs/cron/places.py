"""The places that hold a schedule, in the order in which they are looked at."""

from __future__ import annotations

from typing import ClassVar, Protocol

from orwatch.config.settings import Settings
from orwatch.jobs.cron.cron_d import CronD
from orwatch.jobs.cron.host import Host
from orwatch.jobs.cron.ours import Found, InstallRequest
from orwatch.jobs.cron.result import CronInstallResult, CronPlace, CronWarning
from orwatch.jobs.cron.systemd import Systemd
from orwatch.jobs.cron.user_crontab import UserCrontab


class Place(Protocol):
    """One place on one machine, for one user."""

    kind: ClassVar[CronPlace]

    @property
    def host(self) -> Host:
        """The machine and the user."""

    @property
    def location(self) -> str:
        """The place's name for a person."""

    def find(self) -> Found | None:
        """What is installed there. Raises ``UnreadableError`` and ``BrokenMarksError``."""

    def install(self, request: InstallRequest, settings: Settings) -> CronInstallResult:
        """Write the schedule there; again, it changes nothing. Raises ``OrwatchError``."""

    def remove(self, env_file: str, *, is_dry_run: bool = False) -> tuple[CronWarning, ...] | None:
        """Delete the entries of this env file; None: there were none. Raises ``OrwatchError``.

        ``is_dry_run``: nothing is changed, all else is the same.
        """


def places(host: Host) -> tuple[Place, ...]:
    """Every place of a machine."""
    return (UserCrontab(host), CronD(host), Systemd(host))
