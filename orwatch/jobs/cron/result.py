"""What the commands that concern the schedule answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orwatch.domain.runs import Job
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, OrwatchError


class CronPlace(StrEnum):
    """Where the schedule is kept."""

    USER_CRONTAB = "user-crontab"
    ETC_CRON_D = "etc-cron-d"
    SYSTEMD = "systemd"

    @property
    def install_command(self) -> str:
        """What writes the schedule there."""
        option = {CronPlace.ETC_CRON_D: " --etc-cron-d", CronPlace.SYSTEMD: " --systemd"}.get(self, "")
        return f"orwatch cron install{option}"


NO_CRONTAB = "there is no `crontab` command"
HOW_TO_GET_CRON = (
    "Install cron (Debian: `apt install cron`, RHEL: `dnf install cronie`, Alpine: `apk add "
    "busybox-suid` or `apk add cronie`), or use `orwatch cron install --systemd`."
)


class ScheduleState(StrEnum):
    """What is known of the schedule, in one word.

    ``BROKEN``: it is installed and cannot work. ``OTHER_SETTINGS``: it is another database's, or might be.
    ``OWN``: not orwatch's, but lines that somebody wrote. ``UNCLEAR``: it cannot be told which are orwatch's.
    """

    INSTALLED = "installed"
    DIFFERS = "differs"
    BROKEN = "broken"
    OTHER_SETTINGS = "other-settings"
    OWN = "own"
    UNCLEAR = "unclear"
    NOT_INSTALLED = "not-installed"
    UNKNOWN = "unknown"

    @property
    def needs_person(self) -> bool:
        """Whether it does, also where no job was missed: for status, doctor and ``cron show`` alike.

        Without a schedule of orwatch's the jobs may well be started by hand or by something else.
        """
        return self in {ScheduleState.DIFFERS, ScheduleState.BROKEN, ScheduleState.UNCLEAR}


@dataclass(frozen=True, slots=True)
class ScheduleSummary:
    """The schedule in a sentence: ``message`` what there is. ``advice``: what to do when jobs do not run."""

    state: ScheduleState
    locations: tuple[str, ...]
    message: str
    advice: str

    @property
    def sentence(self) -> str:
        """Both, as one line, for when jobs did not run."""
        if self.state is ScheduleState.INSTALLED:
            return f"schedule: {self.message} has the jobs, and yet one did not start. {self.advice}"
        return f"schedule: {self.message}. {self.advice}"

    @property
    def sets_times(self) -> bool:
        """Whether the jobs are due at orwatch's own times."""
        return self.state in {ScheduleState.INSTALLED, ScheduleState.DIFFERS, ScheduleState.BROKEN}


class CronChange(StrEnum):
    """What ``orwatch cron install`` did, or with ``--dry-run`` would do."""

    INSTALLED = "installed"
    CORRECTED = "corrected"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class CronTime:
    """One moment, in UTC and in the machine's or another zone."""

    utc: datetime
    local: datetime


@dataclass(frozen=True, slots=True)
class CronWarning:
    """What would make the schedule fail silently, and what to do. ``is_fatal``: it will not work so."""

    text: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class CronEntry:
    """One entry: what it runs and when. ``job`` None: it is not one that orwatch writes."""

    job: Job | None
    command: str
    next_times: tuple[CronTime, ...] = ()


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """What is installed in one place; ``location`` names it for a person.

    ``state``: ``INSTALLED``, ``DIFFERS`` or ``OTHER_SETTINGS``; whether it can work, the warnings say.
    ``other_env_file``: the env file that it reads, where that is another one than this command's.
    """

    place: CronPlace
    location: str
    state: ScheduleState
    entries: tuple[CronEntry, ...] = ()
    warnings: tuple[CronWarning, ...] = ()
    other_env_file: str | None = None


@dataclass(frozen=True, slots=True)
class CronShowResult:
    """What ``orwatch cron show`` shows: the places in which something is installed.

    ``unreadable``: why a place could not be looked into. ``own_lines``: where nothing is installed, the
    tables in which somebody's own lines start orwatch. ``broken``: where it cannot be told which lines are
    orwatch's. ``has_crontab``: there is a `crontab` command.
    """

    now: datetime
    schedules: tuple[CronSchedule, ...]
    warnings: tuple[CronWarning, ...] = ()
    unreadable: tuple[OrwatchError, ...] = ()
    own_lines: tuple[str, ...] = ()
    broken: tuple[OrwatchError, ...] = ()
    has_crontab: bool = True

    @property
    def ours(self) -> tuple[CronSchedule, ...]:
        """Those that read this command's env file."""
        return tuple(schedule for schedule in self.schedules if schedule.other_env_file is None)

    @property
    def state(self) -> ScheduleState:
        """What it comes to, whether the jobs can run included."""
        if self.broken:
            return ScheduleState.UNCLEAR
        if self.ours:
            own = (warning for schedule in self.ours for warning in schedule.warnings)
            if _has_fatal((*own, *self.warnings)):
                return ScheduleState.BROKEN
            differs = any(schedule.state is ScheduleState.DIFFERS for schedule in self.ours)
            return ScheduleState.DIFFERS if differs else ScheduleState.INSTALLED
        if self.schedules:
            return ScheduleState.OTHER_SETTINGS
        if self.unreadable:
            return ScheduleState.UNKNOWN
        return ScheduleState.OWN if self.own_lines else ScheduleState.NOT_INSTALLED

    @property
    def general_warnings(self) -> tuple[CronWarning, ...]:
        """Those that belong to no schedule that was read."""
        return (*(CronWarning(str(error), is_fatal=True) for error in self.unreadable), *self.warnings)

    @property
    def all_warnings(self) -> tuple[CronWarning, ...]:
        """Those of every place, and those of none."""
        own = (warning for schedule in self.schedules for warning in schedule.warnings)
        broken = (CronWarning(str(error), is_fatal=True) for error in self.broken)
        return (*own, *broken, *self.general_warnings)

    @property
    def exit_code(self) -> int:
        """1 when it needs a person, or could not be looked at."""
        state = self.state
        is_fine = not state.needs_person and state is not ScheduleState.UNKNOWN
        return EXIT_DONE if is_fine else EXIT_NEEDS_PERSON


@dataclass(frozen=True, slots=True)
class CronInstallResult:
    """What ``orwatch cron install`` wrote, or with ``is_dry_run`` would write."""

    place: CronPlace
    location: str
    change: CronChange
    text: str
    is_dry_run: bool = False
    warnings: tuple[CronWarning, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 when it will not work like that."""
        return EXIT_NEEDS_PERSON if _has_fatal(self.warnings) else EXIT_DONE


@dataclass(frozen=True, slots=True)
class CronRemoveResult:
    """From where ``orwatch cron remove`` took the schedule, or with ``is_dry_run`` would."""

    locations: tuple[str, ...]
    warnings: tuple[CronWarning, ...] = ()
    is_dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """1 when something could not be removed."""
        return EXIT_NEEDS_PERSON if _has_fatal(self.warnings) else EXIT_DONE


def _has_fatal(warnings: Sequence[CronWarning]) -> bool:
    return any(warning.is_fatal for warning in warnings)
