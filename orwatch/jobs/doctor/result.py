"""What ``orwatch doctor`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from orwatch.domain.money import add_exactly
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON


class CheckArea(StrEnum):
    """What ``orwatch doctor`` looks at, in this order."""

    SETTINGS = "settings"
    DATABASE = "database"
    SECRETS = "secrets"
    API = "api"
    TOTALS = "totals"
    DAYS = "days"
    JOBS = "jobs"

    def ok(self, subject: str, message: str, advice: str | None = None) -> Check:
        """Nothing is wrong."""
        return Check(self, subject, CheckStatus.OK, message, advice)

    def finding(self, subject: str, message: str, advice: str) -> Check:
        """Something is wrong."""
        return Check(self, subject, CheckStatus.FINDING, message, advice)

    def skipped(self, subject: str, message: str) -> Check:
        """There was nothing to check, or something else kept it from it."""
        return Check(self, subject, CheckStatus.SKIPPED, message)

    def unknown(self, subject: str, message: str, advice: str | None = None) -> Check:
        """It was tried, without an answer."""
        return Check(self, subject, CheckStatus.UNKNOWN, message, advice)


class CheckStatus(StrEnum):
    """What a check came to. ``SKIPPED``: there was nothing to check, or something else kept it from it.

    ``UNKNOWN``: it was tried, without an answer.
    """

    OK = "ok"
    FINDING = "finding"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is stored and what OpenRouter reports for ``since``..``until``; None: for the whole lifetime."""

    since: date | None
    until: date
    stored_usd: Decimal
    reported_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """How much more OpenRouter reports than is stored."""
        return add_exactly(self.reported_usd, -self.stored_usd)


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
class Checked:
    """Checks, and what they come to."""

    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks that found something."""
        return tuple(check for check in self.checks if check.status is CheckStatus.FINDING)

    @property
    def finding_count(self) -> int:
        """How many these are."""
        return len(self.findings)

    @property
    def exit_code(self) -> int:
        """1 when something was found."""
        return EXIT_NEEDS_PERSON if self.findings else EXIT_DONE


@dataclass(frozen=True, slots=True)
class DoctorResult(Checked):
    """What ``orwatch doctor`` found, in the order of the areas."""

    now: datetime
