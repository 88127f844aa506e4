"""``orwatch cron install`` and ``remove``: the schedule, put where cron or systemd finds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orwatch.config.settings import Settings
from orwatch.errors import OrwatchError
from orwatch.jobs.cron.host import Host
from orwatch.jobs.cron.ours import InstallRequest
from orwatch.jobs.cron.places import places
from orwatch.jobs.cron.result import CronInstallResult, CronRemoveResult, CronWarning
from orwatch.jobs.cron.show import warn_of_others, warn_of_own_lines


def install(request: InstallRequest, host: Host, settings: Settings) -> CronInstallResult:
    """Write the schedule; again, it changes nothing. ``is_dry_run``: only say what would be written.

    Raises ``OrwatchError`` when it cannot be written; nothing was changed then, unless it says so.
    """
    [place] = [place for place in places(host) if place.kind is request.place]
    result = place.install(request, settings)
    others = (*warn_of_others(place, settings), *warn_of_own_lines(place.location, host, settings))
    return replace(result, warnings=(*result.warnings, *others))


def remove(host: Host, env_file: Path, *, is_dry_run: bool = False) -> CronRemoveResult:
    """Take the schedule with this env file out of every place, and nothing else."""
    locations: list[str] = []
    warnings: list[CronWarning] = []
    for place in places(host):
        try:
            warnings_there = place.remove(str(env_file), is_dry_run=is_dry_run)
        except OrwatchError as error:
            warnings.append(CronWarning(str(error), is_fatal=True))
            continue
        if warnings_there is not None:
            warnings += warnings_there
            locations.append(place.location)
    return CronRemoveResult(tuple(locations), tuple(warnings), is_dry_run)
