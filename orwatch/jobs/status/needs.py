"""What needs a person: decided here alone, from what status has read.

The text, the JSON and the exit code of ``orwatch status`` follow from it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from orwatch.domain.alerts.alert import Rule
from orwatch.domain.alerts.balance import LEAST_BALANCE_USD
from orwatch.domain.keys import InactiveReason, StoredKey
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.jobs.cron.summary import why_ahead
from orwatch.jobs.key.problems import REFUSED, KeyProblem, problem_of
from orwatch.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orwatch.jobs.status.result import AccountBalance, KeyStatus, StatusResult

# So many keys with one and the same problem are counted, not named.
_COUNTED_KEYS = 3

_LOST_ENCRYPTION_KEY = (
    "ORWATCH_ENCRYPTION_KEY is not set, and the stored secrets cannot be opened without it: put it back, or "
    "remove the keys and add them again (usage stays)"
)
_WRONG_ENCRYPTION_KEY = (
    "ORWATCH_ENCRYPTION_KEY does not open any stored secret: put back the one they were stored with, or "
    "remove the keys and add them again (usage stays)"
)


def list_needs(result: StatusResult) -> Iterator[str]:
    """Everything that needs a person, a sentence each."""
    if result.lacks_encryption_key:
        yield _LOST_ENCRYPTION_KEY
    elif result.opens_no_secret:
        yield _WRONG_ENCRYPTION_KEY
    for job in result.jobs:
        if job.problem:
            yield job.problem
    yield from _schedule_needs(result)
    in_alerts = {alert.name for alert in result.alerts if alert.rule is Rule.BALANCE}
    for account in result.accounts:
        if _is_low(account) and account.name not in in_alerts:
            yield f"{account.name}: the balance of its account is below ${LEAST_BALANCE_USD}. Buy credits"
    for alert in result.alerts:
        if alert.acknowledged_at is None:
            yield f"{alert.summary} (if you know of it: `orwatch alert ack {alert.id}`)"
    if result.undelivered_alerts:
        yield f"{counted(result.undelivered_alerts, 'alert')} could not be sent: `orwatch doctor` says why"
    yield from _key_needs(result)


def _key_needs(result: StatusResult) -> Iterator[str]:
    """What is wrong with each key and in no alert, once where several have it in common."""
    in_alerts = {alert.subject for alert in result.alerts if alert.rule in {Rule.KEY, Rule.LIMIT}}
    names: dict[str, list[str]] = {}
    for key in result.keys:
        if key.problem and key.alert not in in_alerts and not _is_said_of_sync(key, result):
            names.setdefault(key.problem, []).append(key.key.name)
    for problem, having_it in names.items():
        if problem in result.shared_problems:
            yield f"{counted(len(having_it), 'key')}: {problem}"
        else:
            yield from (f"{name}: {problem}" for name in having_it)


def _is_said_of_sync(key: KeyStatus, result: StatusResult) -> bool:
    """Whether the key's problem is the outage of the API for which the last sync failed as a whole."""
    error = key.key.last_sync_error
    return error is not None and any(
        job.problem is not None
        and job.last_run is not None
        and job.job is Job.SYNC
        and job.last_run.status is RunStatus.FAILED
        and (job.last_run.error or "").startswith(error)
        for job in result.jobs
    )


def shared_problems(keys: Sequence[KeyStatus]) -> frozenset[str]:
    """The problems that several keys have in common."""
    having = Counter(key.problem for key in keys if key.problem)
    return frozenset(problem for problem, number in having.items() if number >= _COUNTED_KEYS)


def _is_low(account: AccountBalance) -> bool:
    """An account that has never bought credits, for free models or BYOK alone, has none to run out."""
    credits = account.credits
    return credits is not None and credits.bought_usd > 0 and credits.balance_usd < LEAST_BALANCE_USD


def _schedule_needs(result: StatusResult) -> Iterator[str]:
    """What is to be done about the schedule."""
    if result.schedule is None:
        return
    is_missed = any(job.is_missed for job in result.jobs)
    if is_missed or result.schedule.state.needs_person:
        yield result.schedule.sentence


def job_need(job: Job, last_run: JobRun | None, why_missed: str | None, now: datetime) -> str | None:
    """Why a job needs a person; ``last_run`` as it ended, ``why_missed`` as ``overdue`` gives it."""
    if why_missed is not None:
        return f"{job} {why_missed}"
    if last_run is None:
        return None
    if (ahead := why_ahead(last_run, now)) is not None:
        return f"the last {job} {ahead}"
    if last_run.status is RunStatus.INTERRUPTED:
        why = f": {last_run.error}" if last_run.error else ""
        return f"the last {job} was interrupted{why}; the next one carries on where it stopped"
    if last_run.status is RunStatus.FAILED:
        return f"the last {job} failed: {last_run.error}"
    return None


def key_need(
    key: StoredKey, now: datetime, *, is_watched: bool, is_unopened: bool = False
) -> KeyProblem | str | None:
    """Why a key needs a person. ``is_unopened``: its secret does not open, while others do."""
    if key.is_listed_disabled:
        return None
    if key.inactive_reason is InactiveReason.INVALID:
        return replace(REFUSED, message=f"invalid: {REFUSED.message}")
    if not is_watched:
        return None
    if is_unopened:
        return (
            "ORWATCH_ENCRYPTION_KEY does not open its secret. List the encryption key that it was stored "
            "with too (newest,older), or remove the key and add it again (usage stays)"
        )
    if key.last_sync_error is not None:
        return f"the last sync: {key.last_sync_error}"
    has_secret = key.secret_encrypted is not None
    return problem_of(key.facts, now, has_secret=has_secret, read_at=key.facts_read_at)
