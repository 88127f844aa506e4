"""What a sync is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from orwatch.domain.sources import UsageSource


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What to sync: the days ``since``..``until``, both inclusive, of the named keys or of all.

    ``reaches_back``: for a key whose last good sync was before ``since``, from the day of that sync on, and
    of an account only what may have changed. ``source`` None: for each key the best that answers.
    ``backfill_from``: the first day that is wanted of accounts, from now on. ``limit_seconds``: after which
    the run is ended; None: never.
    """

    since: date
    until: date
    reaches_back: bool = False
    key_names: tuple[str, ...] = ()
    concurrency: int = 8
    is_dry_run: bool = False
    source: UsageSource | None = None
    backfill_from: date | None = None
    limit_seconds: float | None = None


def last_days(today: date, days: int) -> date:
    """The first of the last ``days`` days through today."""
    return today - timedelta(days=days - 1)
