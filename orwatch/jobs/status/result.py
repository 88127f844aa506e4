"""What ``orwatch status`` answers, and what of that needs a person: the exit code follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.domain.alerts.balance import LEAST_BALANCE_USD
from orwatch.domain.can_spend import CanSpend
from orwatch.domain.forecast import Lasting
from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON
from orwatch.jobs.cron.result import ScheduleSummary
from orwatch.jobs.report.result import MonthCourse
from orwatch.text import counted

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


@dataclass(frozen=True, slots=True)
class Purchase:
    """The last growth of what an account has bought: after the reading of the day ``since``."""

    amount_usd: Decimal
    since: date


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The last reading of an account's credits, by its management key's name; None: there is none.

    ``lasting``: how long they last from then; None: for ever, or not known.
    """

    name: str
    credits: Credits | None = None
    read_at: datetime | None = None
    last_purchase: Purchase | None = None
    lasting: Lasting | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What can still be spent with a key that something limits; ``balance_usd``: its account's, if known."""

    key: StoredKey
    can_spend: CanSpend
    balance_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """When a job last ran and is next due. ``is_missed``: it should have run since, and has not.

    ``next_due_at`` None: unknown, since orwatch's schedule is not installed.
    """

    job: Job
    last_run: JobRun | None
    next_due_at: datetime | None
    is_missed: bool
    problem: str | None = None
    # Since the last run began.
    age_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key and what is wrong with it, if anything. ``alert``: the subject of an alert of the same."""

    key: StoredKey
    state: str
    problem: str | None = None
    alert: str | None = None


@dataclass(frozen=True, slots=True)
class StatusResult:
    """What ``orwatch status`` shows."""

    now: datetime
    jobs: tuple[JobStatus, ...]
    keys: tuple[KeyStatus, ...]
    database: str
    database_bytes: int
    ledger_rows: int
    first_day: date | None
    last_day: date | None
    spent_today_usd: Decimal | None = None
    spent_month_usd: Decimal | None = None
    course: MonthCourse | None = None
    accounts: tuple[AccountStatus, ...] = ()
    # Those that hold.
    alerts: tuple[Alert, ...] = ()
    undelivered_alerts: int = 0
    # The least first.
    allowances: tuple[Allowance, ...] = ()
    # None: not looked up.
    schedule: ScheduleSummary | None = None
    # Secrets are stored that nothing here can open.
    lacks_encryption_key: bool = False
    # There is an encryption key, which is none of theirs.
    opens_no_secret: bool = False
    # Whether sync has come in a rhythm, whoever started it.
    runs_by_itself: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that needs a person, a sentence each."""
        return tuple(_needs(self))

    @property
    def shared_problems(self) -> frozenset[str]:
        """The problems that several keys have in common."""
        having = Counter(key.problem for key in self.keys if key.problem)
        return frozenset(problem for problem, number in having.items() if number >= _COUNTED_KEYS)

    @property
    def exit_code(self) -> int:
        """1 when something needs a person."""
        return EXIT_NEEDS_PERSON if self.problems else EXIT_DONE


def _needs(result: StatusResult) -> Iterator[str]:
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


def _is_low(account: AccountStatus) -> bool:
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
