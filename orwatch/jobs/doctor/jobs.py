"""Doctor's look at the jobs: did they run when they should, and is there a schedule that can start them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from orwatch.domain import schedule
from orwatch.domain.keys import StoredKey
from orwatch.domain.runs import Job, RunStatus
from orwatch.jobs.cron.result import CronSchedule, CronShowResult, CronWarning, ScheduleState
from orwatch.jobs.cron.summary import overdue, summarise, why_ahead
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus
from orwatch.store import runs
from orwatch.store.engine.database import Connection
from orwatch.store.ledger import write as ledger

_AREA = CheckArea.JOBS

_SUBJECT = "schedule"
_SHOW = "`orwatch cron show` says what to do."


def check_jobs(
    connection: Connection, keys: Sequence[StoredKey], shown: CronShowResult, now: datetime
) -> list[Check]:
    """Whether each job ran when it should, how that ended, and what is to start it."""
    watched = [key.created_at for key in keys if key.is_active]
    if not watched:
        why = "no key is watched, so no job is due"
        return [_AREA.skipped("jobs", why), *check_schedule(shown, is_missed=False)]
    watched_since = max(ledger.created_at(connection), min(watched))
    sets_times = summarise(shown).sets_times
    missed = {
        job: overdue(
            job,
            runs.last_run(connection, job),
            runs.recent_slots(connection, job, schedule.SLOTS_OF_A_RHYTHM, now),
            watched_since,
            now,
            sets_times=sets_times,
        )
        for job in Job
    }
    checks = [_check_job(connection, job, missed[job], now, sets_times=sets_times) for job in Job]
    return [*checks, *check_schedule(shown, is_missed=any(missed.values()))]


def _check_job(
    connection: Connection, job: Job, why_missed: str | None, now: datetime, *, sets_times: bool
) -> Check:
    last_run = runs.last_run(connection, job)
    last = f"last ran {last_run.started_at:%Y-%m-%d %H:%M} UTC" if last_run else "never ran"
    if why_missed is not None:
        advice = f"See the schedule below; `orwatch {job}` runs it now."
        return _AREA.finding(job.value, f"{why_missed}; {last}" if last_run else why_missed, advice)
    if last_run is not None and (ahead := why_ahead(last_run, now)) is not None:
        advice = f"Set the clock; `orwatch {job}` runs it again."
        return _AREA.finding(job.value, f"the last one {ahead}", advice)
    if last_run is not None and last_run.status is RunStatus.FAILED:
        message = f"{last}, and failed: {last_run.error}"
        return _AREA.finding(job.value, message, f"Read what it says; `orwatch {job}` runs it again.")
    if not sets_times:
        return _AREA.ok(job.value, last)
    due = f"next due {schedule.next_slot(job, now):%Y-%m-%d %H:%M} UTC; {last}"
    return _AREA.ok(job.value, due)


def check_schedule(shown: CronShowResult, *, is_missed: bool | None) -> Iterator[Check]:
    """Whether the installed schedule can start the jobs.

    Where orwatch's own is not installed, that is a finding only if a job was missed: whoever runs the jobs
    otherwise does not want it. ``is_missed`` None: whether one was is not known.
    """
    summary = summarise(shown)
    if summary.state is ScheduleState.UNCLEAR:
        yield _AREA.finding(_SUBJECT, summary.message, summary.advice)
    elif summary.sets_times:
        for found in shown.schedules:
            yield from _check_installed(found)
        for warning in shown.warnings:
            yield _check_warning(_SUBJECT, warning)
    elif is_missed:
        yield _AREA.finding(_SUBJECT, summary.message, summary.advice)
    elif summary.state is ScheduleState.UNKNOWN:
        yield _AREA.unknown(_SUBJECT, summary.message)
    elif is_missed is None:
        yield _AREA.unknown(_SUBJECT, f"{summary.message}; whether a job was missed is not known")
    else:
        yield Check(CheckArea.JOBS, _SUBJECT, CheckStatus.OK, f"{summary.message}; no job was missed")


def _check_installed(found: CronSchedule) -> Iterator[Check]:
    subject = found.place.value
    if found.other_env_file is not None:
        message = f"{found.location} runs the jobs with other settings, of {found.other_env_file}"
        yield _AREA.ok(subject, message)
        return
    if found.state is ScheduleState.DIFFERS:
        message = f"{found.location} is not as this version writes it"
        yield _AREA.finding(subject, message, f"`{found.place.install_command}` corrects it.")
    else:
        yield _AREA.ok(subject, f"{found.location} is as this version writes it")
    for warning in found.warnings:
        yield _check_warning(subject, warning)


def _check_warning(subject: str, warning: CronWarning) -> Check:
    if warning.is_fatal:
        return _AREA.finding(subject, warning.text, _SHOW)
    return _AREA.ok(subject, warning.text)
