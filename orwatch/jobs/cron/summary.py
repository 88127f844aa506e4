"""The installed schedule in a sentence, and whether a job has run when it should: for status and doctor.

Where orwatch's own schedule is installed, its times count. Where it is not, somebody may run the jobs by
hand, or a scheduler that cannot be seen from here: then only what came by itself, and has stopped, is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from orwatch.domain import schedule
from orwatch.domain.runs import Job, JobRun
from orwatch.jobs.cron.ours import removal_of
from orwatch.jobs.cron.result import (
    HOW_TO_GET_CRON,
    NO_CRONTAB,
    CronPlace,
    CronSchedule,
    CronShowResult,
    ScheduleState,
    ScheduleSummary,
)

_HOUR = timedelta(hours=1)
_NAMED_GAPS = {_HOUR: "hour", 24 * _HOUR: "day", 168 * _HOUR: "week"}


def summarise(shown: CronShowResult) -> ScheduleSummary:
    """What there is, and what to do where jobs do not run."""
    state = shown.state
    locations: tuple[str, ...] = ()
    match state:
        case ScheduleState.UNCLEAR:
            message, advice = shown.broken[0].problem, shown.broken[0].advice or ""
        case ScheduleState.INSTALLED | ScheduleState.DIFFERS | ScheduleState.BROKEN:
            locations = _locations(shown.ours)
            message, advice = _words_of_ours(shown)
        case ScheduleState.OTHER_SETTINGS:
            other, locations = shown.schedules[0], _locations(shown.schedules)
            message = f"{other.location} runs the jobs with other settings, of {other.other_env_file}"
            advice = _how_to_have_both(other)
        case ScheduleState.UNKNOWN:
            message, advice = shown.unreadable[0].problem, "`orwatch cron show` says what to do."
        case ScheduleState.OWN:
            locations = shown.own_lines
            message = f"lines of your own in {', '.join(locations)}"
            advice = "See that they are right, and that cron runs."
        case ScheduleState.NOT_INSTALLED if not shown.has_crontab:
            message, advice = f"not installed, and {NO_CRONTAB}", HOW_TO_GET_CRON
        case ScheduleState.NOT_INSTALLED:
            message, advice = "not installed", "`orwatch cron install` lets cron run the jobs."
    return ScheduleSummary(state, locations, message, advice)


def _how_to_have_both(other: CronSchedule) -> str:
    """A crontab has room for one set-up; what is elsewhere is not in the way."""
    if other.place is not CronPlace.USER_CRONTAB or other.other_env_file is None:
        return "`orwatch cron install` lets cron run this command's."
    return (
        f"`{removal_of(other.place, other.other_env_file)}` removes them, then `orwatch cron install` "
        "lets cron run this command's."
    )


def _words_of_ours(shown: CronShowResult) -> tuple[str, str]:
    """What is installed, with the first thing that is wrong with it; and what to do."""
    advice = "`orwatch cron show` says what to do."
    for each in shown.ours:
        for warning in each.warnings:
            if warning.is_fatal:
                return f"{each.location}: {warning.text.rstrip('.')}", advice
    for warning in shown.warnings:
        if warning.is_fatal:
            return warning.text.rstrip("."), advice
    for each in shown.ours:
        if each.state is ScheduleState.DIFFERS:
            message = f"{each.location}, not as this version writes it"
            return message, f"`{each.place.install_command}` corrects it."
    locations = ", ".join(_locations(shown.ours))
    return locations, "`orwatch cron show` says whether cron runs and can start them."


def _locations(found: Sequence[CronSchedule]) -> tuple[str, ...]:
    return tuple(each.location for each in found)


def why_ahead(last_run: JobRun, now: datetime) -> str | None:
    """What is wrong with a run of the future, as the end of a sentence; None: it is none.

    Between machines that share a database clocks may be minutes apart.
    """
    if last_run.started_at <= now + schedule.GRACE:
        return None
    return f"began at {last_run.started_at:%Y-%m-%d %H:%M} UTC, which is yet to come: the clock was wrong"


def overdue(
    job: Job,
    last_run: JobRun | None,
    slots: Sequence[datetime],
    watched_since: datetime,
    now: datetime,
    *,
    sets_times: bool,
) -> str | None:
    """Why a job should have run since, as the end of a sentence; None: it need not have.

    ``slots``: those of its last runs, newest first. ``sets_times``: orwatch's own schedule is installed.
    """
    if sets_times:
        if not schedule.is_missed(job, slots[0] if slots else None, watched_since, now):
            return None
        due_at = schedule.latest_slot(job, now - schedule.GRACE)
        return f"was due at {due_at:%Y-%m-%d %H:%M} UTC and did not run"
    if last_run is None:
        # By hand or by whom ever: without a single sync nothing is known of any key.
        is_missed = job is Job.SYNC and schedule.is_missed(job, None, watched_since, now)
        return "has never run" if is_missed else None
    rhythm = schedule.rhythm(slots)
    if rhythm is None or not schedule.has_stopped(slots, watched_since, now):
        return None
    gap = _NAMED_GAPS.get(rhythm.usual) or f"{round(rhythm.usual / _HOUR)} hours"
    return f"came every {gap} until {slots[0]:%Y-%m-%d %H:%M} UTC, and not since"
