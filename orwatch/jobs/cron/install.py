"""``orwatch cron install`` and ``remove``: the schedule, put where cron or systemd finds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orwatch.config.settings import Settings
from orwatch.errors import OrwatchError
from orwatch.jobs.cron.cron_d import install_cron_d, remove_cron_d
from orwatch.jobs.cron.host import Host
from orwatch.jobs.cron.ours import InstallRequest, location
from orwatch.jobs.cron.result import CronInstallResult, CronPlace, CronRemoveResult, CronWarning
from orwatch.jobs.cron.show import warn_of_others, warn_of_own_lines
from orwatch.jobs.cron.systemd import install_units, remove_units
from orwatch.jobs.cron.user_crontab import install_crontab, remove_crontab


def install(request: InstallRequest, host: Host, settings: Settings) -> CronInstallResult:
    """Write the schedule; again, it changes nothing. ``is_dry_run``: only tell what would be written.

    Raises ``OrwatchError`` when it cannot be written; nothing was changed then, unless it says so.
    """
    writers = {
        CronPlace.USER_CRONTAB: install_crontab,
        CronPlace.ETC_CRON_D: install_cron_d,
        CronPlace.SYSTEMD: install_units,
    }
    result = writers[request.place](request, host, settings)
    others = (
        *warn_of_others(request.place, host, settings),
        *warn_of_own_lines(result.location, host, settings),
    )
    return replace(result, warnings=(*result.warnings, *others))


def remove(host: Host, env_file: Path) -> CronRemoveResult:
    """Take the schedule with this env file out of every place, and nothing else."""
    locations: list[str] = []
    warnings: list[CronWarning] = []
    removers = {
        CronPlace.USER_CRONTAB: remove_crontab,
        CronPlace.ETC_CRON_D: remove_cron_d,
        CronPlace.SYSTEMD: remove_units,
    }
    for place, remove_from in removers.items():
        try:
            warnings_there = remove_from(host, str(env_file))
        except OrwatchError as error:
            warnings.append(CronWarning(str(error), is_fatal=True))
            continue
        if warnings_there is not None:
            warnings += warnings_there
            locations.append(location(place, host))
    return CronRemoveResult(tuple(locations), tuple(warnings))
