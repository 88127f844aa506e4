"""Doctor's look for days of which nothing was read, though they should have been."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from orwatch.domain.days import days_between
from orwatch.domain.keys import StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.jobs.doctor.result import Check, CheckArea
from orwatch.jobs.doctor.stored import Stored, day_ranges, in_spans

_AREA = CheckArea.DAYS

WINDOW_DAYS = 30

# A key that was added so long ago should have been synced: cron does it every hour.
_FIRST_SYNC_WITHIN = timedelta(hours=2)


def check_days(stored: Stored, now: datetime) -> Iterator[Check]:
    """The last 30 completed days of every active key; those that an account reads are checked with it."""
    for key in stored.keys:
        if key.is_removed or not key.is_active or stored.is_read_by_account(key):
            continue
        if key.is_deleted or key.is_listed_disabled or key.is_replaced:
            continue
        if key.last_synced_at is None:
            yield _unsynced(key, now)
            continue
        check = _check_key(key, stored)
        if check is not None:
            yield check


def _unsynced(key: StoredKey, now: datetime) -> Check:
    if now - key.created_at <= _FIRST_SYNC_WITHIN:
        return _AREA.skipped(key.name, "no sync has read it yet")
    error = f": {key.last_sync_error}" if key.last_sync_error else ""
    return _AREA.finding(key.name, f"no sync has ever read it{error}", "`orwatch sync` fetches its usage.")


def _check_key(key: StoredKey, stored: Stored) -> Check | None:
    """None for a key with nothing of its own to read, as a second management key of an account has."""
    history = stored.history(key)
    if not history.days:
        return None
    since = max(stored.today - timedelta(days=WINDOW_DAYS), min(history.days), stored.kept_from)
    days = list(days_between(since, stored.yesterday))
    if not days:
        return _AREA.ok(key.name, "watched since today")
    sums_only = [day for day in in_spans(days, history.spans) if day not in history.days]
    missing = [day for day in days if day not in history.days and day not in sums_only]
    note = f"; only a total is known for {day_ranges(sums_only)}" if sums_only else ""
    if not missing:
        return _AREA.ok(key.name, f"every day since {since} was read{note}")
    wanted = (stored.today - missing[0]).days + 1
    advice = f"`orwatch sync --days {wanted}` reads them."
    if key.source is UsageSource.COUNTERS:
        advice = (
            "They cannot be read any more: this server reports only counters. Let cron run sync every hour."
        )
    return _AREA.finding(key.name, f"no data for {day_ranges(missing)}{note}", advice)
