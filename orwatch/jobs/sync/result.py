"""What ``orwatch sync`` answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import ClassVar

from orwatch.domain.runs import Job, RunStatus
from orwatch.domain.usage import RejectedRow
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN
from orwatch.jobs.alert.result import NOTHING_JUDGED, Judgement
from orwatch.jobs.runs.outage import CommonOutage, common_outage
from orwatch.text import counted, first_of


class SyncKeyStatus(StrEnum):
    """How the sync of one key ended. ``PARTIAL``: written, but not all that was answered."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncedKey:
    """One key's part of a sync. ``is_passing``: the failure may well be gone the next time.

    ``outage``: what its error says of the API as a whole.
    """

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
    outage: str | None = None


def merge_by_name(synced: Iterable[SyncedKey]) -> tuple[SyncedKey, ...]:
    """One part for each key: what came of the secrets that it had before is the key's."""
    merged: dict[str, SyncedKey] = {}
    for each in synced:
        before = merged.get(each.name)
        merged[each.name] = each if before is None else _together(before, each)
    return tuple(merged.values())


def _together(first: SyncedKey, second: SyncedKey) -> SyncedKey:
    errors = dict.fromkeys(each.error for each in (first, second) if each.error is not None)
    return SyncedKey(
        first.name,
        first.status if first.status is second.status else SyncKeyStatus.PARTIAL,
        min(first.since, second.since),
        rows_written=first.rows_written + second.rows_written,
        rows_unchanged=first.rows_unchanged + second.rows_unchanged,
        rows_removed=first.rows_removed + second.rows_removed,
        rows_rejected=first.rows_rejected + second.rows_rejected,
        error="; ".join(errors) or None,
        is_passing=first.is_passing and second.is_passing,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
        outage=None if second.outage is None else first.outage,
    )


COUNTERS_WENT_DOWN = (
    "its counters went down (a reset?): what it spent between the last sync and today is unknown"
)

# How many rejected rows are listed; the rest is a number.
_REJECTIONS_LISTED = 3


def rejections_text(rows: Sequence[RejectedRow]) -> str:
    """Which rows of an answer were rejected."""
    count = number_of_rows(rows)
    listed = first_of([row.reason for row in rows], _REJECTIONS_LISTED, count=count, separator="; ")
    return f"{counted(count, 'row')} of the answer rejected: {listed}"


def number_of_rows(rows: Iterable[RejectedRow]) -> int:
    """How many rows were rejected."""
    return sum(row.count for row in rows)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What ``orwatch sync`` did; ``since`` is the earliest day that any key was asked for.

    ``lost_keys``: no key is active any more, and so many of them are invalid; a person disabled the others.
    """

    job: ClassVar[Job] = Job.SYNC
    since: date
    until: date
    keys: tuple[SyncedKey, ...]
    duration_seconds: float
    is_dry_run: bool = False
    lost_keys: int = 0
    judgement: Judgement = NOTHING_JUDGED

    @property
    def outage(self) -> CommonOutage | None:
        """An outage of the API that kept several keys, or all of them, from being read."""
        return common_outage(self.keys)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the run as a whole: the API does not answer, or no key is left to watch."""
        if self.outage is not None:
            return self.outage.text("read")
        if not self.lost_keys:
            return None
        are, them = ("is", "it") if self.lost_keys == 1 else ("are", "them")
        return (
            f"no key is active, so nothing is watched: {counted(self.lost_keys, 'key')} {are} invalid. "
            f"`orwatch validate` asks about {them} again. If that does not help, store a new secret with "
            f"`orwatch key replace NAME`, or remove or disable {them}."
        )

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
        """Rows of a day that is reported again, now without them, by its source or by a better one."""
        return sum(key.rows_removed for key in self.keys)

    @property
    def rows_rejected(self) -> int:
        """Rows of the answers that are implausible or of days that were not asked for."""
        return sum(key.rows_rejected for key in self.keys)

    @property
    def status(self) -> RunStatus:
        """``ok``, ``partial`` (something needs a look) or ``failed`` (no key came through)."""
        if all(key.status is SyncKeyStatus.OK for key in self.keys):
            return RunStatus.PARTIAL if self.lost_keys else RunStatus.OK
        if all(key.status is SyncKeyStatus.FAILED for key in self.keys):
            return RunStatus.FAILED
        return RunStatus.PARTIAL

    @property
    def exit_code(self) -> int:
        """0; 75 when every key failed for passing reasons; 1 for any other trouble, and for an alert."""
        if self.judgement.needs_person:
            return EXIT_NEEDS_PERSON
        if self.status is RunStatus.OK:
            return EXIT_DONE
        if self.status is RunStatus.FAILED and all(key.is_passing for key in self.keys):
            return EXIT_TRY_AGAIN
        return EXIT_NEEDS_PERSON
