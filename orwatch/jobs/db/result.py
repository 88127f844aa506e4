"""What the `orwatch db` commands answer. ``tables``: how many rows each has, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from orwatch.jobs.doctor.result import Checked


@dataclass(frozen=True, slots=True)
class DbInfoResult:
    """What ``orwatch db info`` shows. ``revision``: the stored schema; ``wanted_revision``: this version's.

    ``settings`` are those of the engine that matter here; ``notes`` say what to do about one.
    ``free_bytes``: of the disk, None where it is another machine's.
    """

    location: str
    engine: str
    engine_version: str
    revision: str
    wanted_revision: str
    size_bytes: int
    free_bytes: int | None
    created_at: datetime | None
    first_day: date | None
    last_day: date | None
    kept_from: date | None
    tables: Mapping[str, int]
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether the schema is this version's."""
        return self.revision == self.wanted_revision


@dataclass(frozen=True, slots=True)
class DbUpgradeResult:
    """From which schema to which ``orwatch db upgrade`` went; the same where there was nothing to do."""

    location: str
    from_revision: str
    to_revision: str


@dataclass(frozen=True, slots=True)
class DbCheckResult(Checked):
    """What ``orwatch db check`` found, and whose totals ``--repair`` added up anew before."""

    repaired_days: tuple[date, ...] = ()
    repaired_months: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class DbBackupResult:
    """What ``orwatch db backup`` wrote."""

    location: str
    file: str
    size_bytes: int
    tables: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DbRestoreResult:
    """What ``orwatch db restore`` did. ``kept``: the file that has what was there before, if anything was.

    ``first_day`` and ``last_day`` of the restored ledger; ``unopened``: the keys whose secrets the encryption
    key does not open.
    """

    location: str
    file: str
    kept: str | None
    tables: Mapping[str, int]
    first_day: date | None
    last_day: date | None
    unopened: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DbCopyResult:
    """What ``orwatch db copy`` did. ``setting``: the env file's line for the copy, without a password."""

    source: str
    target: str
    tables: Mapping[str, int]
    setting: str
    duration_seconds: float
