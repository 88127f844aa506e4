"""What ``orwatch status`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.alerts.alert import Alert
from orwatch.domain.can_spend import CanSpend
from orwatch.domain.forecast import Lasting
from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.runs import Job, JobRun
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON
from orwatch.jobs.cron.result import ScheduleSummary
from orwatch.jobs.report.result import MonthCourse
from orwatch.jobs.status.needs import list_needs, shared_problems


@dataclass(frozen=True, slots=True)
class Purchase:
    """The last growth of what an account has bought: after the reading of the day ``since``."""

    amount_usd: Decimal
    since: date


@dataclass(frozen=True, slots=True)
class AccountBalance:
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
    accounts: tuple[AccountBalance, ...] = ()
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
        return tuple(list_needs(self))

    @property
    def shared_problems(self) -> frozenset[str]:
        """The problems that several keys have in common."""
        return shared_problems(self.keys)

    @property
    def exit_code(self) -> int:
        """1 when something needs a person."""
        return EXIT_NEEDS_PERSON if self.problems else EXIT_DONE
