"""What ``orwatch validate`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN
from orwatch.jobs.alert.result import NOTHING_JUDGED, Judgement
from orwatch.jobs.runs.outage import CommonOutage, common_outage


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
    ``was_inactive``: an earlier run found it invalid already.
    ``outage``: what kept it unknown says of the API as a whole.
    """

    name: str
    verdict: Verdict
    detail: str | None = None
    warning: str | None = None
    is_passing: bool = False
    needs_person: bool = False
    was_inactive: bool = False
    outage: str | None = None


@dataclass(frozen=True, slots=True)
class ValidateResult:
    """What ``orwatch validate`` found.

    ``is_all_refused``: three keys or more were refused and none accepted, so that none was deactivated.
    """

    job: ClassVar[Job] = Job.VALIDATE
    keys: tuple[ValidatedKey, ...]
    duration_seconds: float
    is_all_refused: bool = False
    judgement: Judgement = NOTHING_JUDGED

    @property
    def outage(self) -> CommonOutage | None:
        """An outage of the API that kept several keys, or all of them, from being checked."""
        return common_outage(self.keys)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the run as a whole: the API does not answer."""
        return None if self.outage is None else self.outage.text("checked")

    @property
    def valid(self) -> int:
        """How many keys are valid, with those that are so again."""
        return self.count(Verdict.VALID, Verdict.REACTIVATED)

    @property
    def invalid(self) -> int:
        """How many keys OpenRouter refuses."""
        return self.count(Verdict.INVALID)

    @property
    def unknown(self) -> int:
        """How many keys could not be checked."""
        return self.count(Verdict.UNKNOWN)

    def count(self, *verdicts: Verdict) -> int:
        """How many keys got one of these verdicts."""
        return sum(key.verdict in verdicts for key in self.keys)

    @property
    def status(self) -> RunStatus:
        """``ok``; ``partial`` when a key is invalid or unknown; ``failed`` when all are unknown."""
        if self.keys and self.unknown == len(self.keys):
            return RunStatus.FAILED
        return RunStatus.PARTIAL if self.unknown or self.invalid else RunStatus.OK

    @property
    def exit_code(self) -> int:
        """1 when a key needs a person or an alert is raised; 75 when all are unknown for passing reasons."""
        if self.judgement.needs_person or self.invalid or any(key.needs_person for key in self.keys):
            return EXIT_NEEDS_PERSON
        if self.status is RunStatus.FAILED:
            return EXIT_TRY_AGAIN if any(key.is_passing for key in self.keys) else EXIT_NEEDS_PERSON
        return EXIT_DONE
