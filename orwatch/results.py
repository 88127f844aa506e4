"""What each job answers: frozen data that ``render`` turns into text and the command line into an exit code.

It stands below both, so that neither has to import the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from orwatch.cron_results import ScheduleState, ScheduleSummary
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN
from orwatch.models import (
    Credits,
    Dimension,
    Job,
    JobRun,
    RejectedRow,
    RunStatus,
    StoredKey,
    Totals,
    add_exactly,
)


class SyncKeyStatus(StrEnum):
    """How the sync of one key ended. ``PARTIAL``: written, but a row of the answer was not believed."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncedKey:
    """One key's part of a sync. ``is_passing``: the failure may well be gone the next time."""

    name: str
    status: SyncKeyStatus
    since: date
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_removed: int = 0
    rows_rejected: int = 0
    error: str | None = None
    is_passing: bool = False
    notes: tuple[str, ...] = ()


# How many rejected rows are told one by one; the rest is a number.
_REJECTIONS_TOLD = 3


def told_rejections(rows: Sequence[RejectedRow]) -> str:
    """What to say of rows that were not believed."""
    told = "; ".join(row.reason for row in rows[:_REJECTIONS_TOLD])
    more = f"; and {len(rows) - _REJECTIONS_TOLD} more" if len(rows) > _REJECTIONS_TOLD else ""
    return f"{len(rows)} of the answer's rows not believed and left out: {told}{more}"


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What ``orwatch sync`` did; ``since`` is the earliest day that any key was asked for."""

    since: date
    until: date
    keys: tuple[SyncedKey, ...]
    duration_seconds: float
    is_dry_run: bool = False

    @property
    def rows_written(self) -> int:
        """Rows that are new or differ from what was stored."""
        return sum(key.rows_written for key in self.keys)

    @property
    def rows_unchanged(self) -> int:
        """Rows that were stored already, to the digit."""
        return sum(key.rows_unchanged for key in self.keys)

    @property
    def rows_removed(self) -> int:
        """Rows that the API no longer reports for a day that it does report."""
        return sum(key.rows_removed for key in self.keys)

    @property
    def rows_rejected(self) -> int:
        """Rows of the answers that were not believed or not asked for."""
        return sum(key.rows_rejected for key in self.keys)

    @property
    def status(self) -> RunStatus:
        """``ok``, ``partial`` (something needs a look) or ``failed`` (no key came through)."""
        if all(key.status is SyncKeyStatus.OK for key in self.keys):
            return RunStatus.OK
        if all(key.status is SyncKeyStatus.FAILED for key in self.keys):
            return RunStatus.FAILED
        return RunStatus.PARTIAL

    @property
    def exit_code(self) -> int:
        """0; 75 when every key failed for passing reasons; 1 for any other trouble."""
        if self.status is RunStatus.OK:
            return EXIT_DONE
        if self.status is RunStatus.FAILED and all(key.is_passing for key in self.keys):
            return EXIT_TRY_AGAIN
        return EXIT_NEEDS_PERSON


class Verdict(StrEnum):
    """What validate found out about a key."""

    VALID = "valid"
    REACTIVATED = "reactivated"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ValidatedKey:
    """One key's part of a validate. ``detail`` says why for ``INVALID`` and ``UNKNOWN``.

    ``is_passing``: what kept it unknown may well be gone the next time. ``needs_person``: it will not.
    """

    name: str
    verdict: Verdict
    detail: str | None = None
    warning: str | None = None
    is_passing: bool = False
    needs_person: bool = False


@dataclass(frozen=True, slots=True)
class ValidateResult:
    """What ``orwatch validate`` found."""

    keys: tuple[ValidatedKey, ...]
    duration_seconds: float

    def count(self, *verdicts: Verdict) -> int:
        """How many keys got one of these verdicts."""
        return sum(key.verdict in verdicts for key in self.keys)

    @property
    def status(self) -> RunStatus:
        """``ok``; ``partial`` when a key is invalid or unknown; ``failed`` when nothing could be told."""
        unknown = self.count(Verdict.UNKNOWN)
        if self.keys and unknown == len(self.keys):
            return RunStatus.FAILED
        return RunStatus.PARTIAL if unknown or self.count(Verdict.INVALID) else RunStatus.OK

    @property
    def exit_code(self) -> int:
        """1 when a key needs a person; 75 when nothing could be told for passing reasons; 0 otherwise."""
        if self.count(Verdict.INVALID) or any(key.needs_person for key in self.keys):
            return EXIT_NEEDS_PERSON
        if self.status is RunStatus.FAILED:
            return EXIT_TRY_AGAIN if any(key.is_passing for key in self.keys) else EXIT_NEEDS_PERSON
        return EXIT_DONE


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """What ``orwatch cleanup`` removed, or would remove. Days before ``kept_from`` are expired."""

    retention_days: int
    kept_from: date
    rows_removed: int
    days_removed: int
    cost_moved_usd: Decimal
    records_removed: int
    bytes_freed: int
    duration_seconds: float
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row: a value for each ``by``, in order. ``totals.cost_usd`` None: nobody looked at that time."""

    values: tuple[str | None, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows broken down by ``by``; ``totals`` is of all of them, ``others`` of those that were cut off."""

    by: tuple[Dimension, ...]
    rows: tuple[ReportRow, ...]
    totals: Totals
    others: Totals | None = None
    others_count: int = 0


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What ``orwatch report`` shows: the asked table, and the short ones beneath the bare command's."""

    since: date
    until: date
    table: ReportTable
    beneath: tuple[ReportTable, ...] = ()
    notes: tuple[str, ...] = ()


class KeyFlag(StrEnum):
    """What strikes about a key. ``DORMANT``: it has existed for 30 days, without use in any of them."""

    UNLIMITED = "unlimited"
    DORMANT = "dormant"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class KeyOverview:
    """A key and what it has spent, as far as is known. ``listed_by`` is a management key's name.

    ``share_30_days`` is its part, 0 to 1, of all that was spent in the last 30 days, today included.
    """

    key: StoredKey
    listed_by: str | None = None
    spent_30_days_usd: Decimal | None = None
    share_30_days: Decimal | None = None
    spent_month_usd: Decimal | None = None
    flags: tuple[KeyFlag, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyListResult:
    """What ``orwatch key list`` shows; ``spent_30_days_usd`` is of all keys, removed ones included."""

    now: datetime
    keys: tuple[KeyOverview, ...]
    spent_30_days_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """What is known of the account of a management key. ``credits`` None: it was never told."""

    key_count: int
    backfilled_from: date | None
    credits: Credits | None = None
    credits_read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyDetails:
    """What ``orwatch key show`` shows; ``account`` for a management key only."""

    now: datetime
    overview: KeyOverview
    account: AccountDetails | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """The last growth of what an account has bought: after the reading of the day ``since``."""

    amount_usd: Decimal
    since: date


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The last reading of an account's credits, by its management key's name; None: there is none."""

    name: str
    credits: Credits | None = None
    read_at: datetime | None = None
    last_purchase: Purchase | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What can still be spent with a key that has a limit; ``balance_usd`` is its account's, where known."""

    key: StoredKey
    amount_usd: Decimal
    balance_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """When a job last ran and is next due. ``is_missed``: it should have run since, and has not.

    ``next_due_at`` None: orwatch's schedule is not installed, so that nobody knows.
    """

    job: Job
    last_run: JobRun | None
    next_due_at: datetime | None
    is_missed: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key and what is wrong with it, if anything."""

    key: StoredKey
    problem: str | None = None


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
    accounts: tuple[AccountBalance, ...] = ()
    # The least first.
    allowances: tuple[Allowance, ...] = ()
    # None: nobody looked.
    schedule: ScheduleSummary | None = None
    # Whether sync has come in a rhythm, whoever started it.
    runs_by_itself: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that needs a person, a sentence each."""
        jobs = tuple(job.problem for job in self.jobs if job.problem)
        keys = tuple(f"{key.key.name}: {key.problem}" for key in self.keys if key.problem)
        return (*jobs, *self._schedule_problems, *keys)

    @property
    def _schedule_problems(self) -> tuple[str, ...]:
        """What is to be done about the schedule; while the jobs run when they should, it may be anything."""
        if self.schedule is None:
            return ()
        is_missed = any(job.is_missed for job in self.jobs)
        is_broken = self.schedule.state is ScheduleState.BROKEN
        return (self.schedule.sentence,) if is_missed or is_broken else ()

    @property
    def exit_code(self) -> int:
        """1 when something needs a person."""
        return EXIT_NEEDS_PERSON if self.problems else EXIT_DONE


class CheckArea(StrEnum):
    """What ``orwatch doctor`` looks at, in this order."""

    SETTINGS = "settings"
    DATABASE = "database"
    SECRETS = "secrets"
    API = "api"
    TOTALS = "totals"
    DAYS = "days"
    JOBS = "jobs"


class CheckStatus(StrEnum):
    """What a check came to. ``SKIPPED``: there was nothing to check, or something else kept it from it.

    ``UNKNOWN``: it was tried, and could not be told.
    """

    OK = "ok"
    FINDING = "finding"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is stored and what OpenRouter tells, of the days ``since``..``until``; None: of the whole life."""

    since: date | None
    until: date
    stored_usd: Decimal
    told_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """How much more OpenRouter tells than is stored."""
        return add_exactly(self.told_usd, -self.stored_usd)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``advice``: what to do about it; every finding has one."""

    area: CheckArea
    subject: str
    status: CheckStatus
    message: str
    advice: str | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What ``orwatch doctor`` found, in the order of the areas."""

    now: datetime
    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks that found something."""
        return tuple(check for check in self.checks if check.status is CheckStatus.FINDING)

    @property
    def exit_code(self) -> int:
        """1 when something was found."""
        return EXIT_NEEDS_PERSON if self.findings else EXIT_DONE
