"""Today's usage of an account, and the past year's: from analytics, or from the keys' counters."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from orwatch.domain.attribution import add_up, remainder
from orwatch.domain.keys import StoredKey
from orwatch.domain.runs import Job
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_session import (
    Visit,
    add_counts,
    attempt,
    is_missing,
    may_use,
    note_rejections,
    update_state,
)
from orwatch.jobs.sync.analytics_windows import Window, expected_rows_per_day, read_windows
from orwatch.openrouter.account import ACTIVITY_DAYS, ANALYTICS_DAYS, fetch_slugs
from orwatch.openrouter.parse_account import with_slugs
from orwatch.openrouter.sources import counters_of
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import model_names
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts

if TYPE_CHECKING:
    pass


# How many days back analytics is read again where no better source tells of completed days.
_ANALYTICS_CORRECTS_DAYS = 2

log = logging.getLogger(__name__)


def read_today(visit: Visit) -> bool:
    """What came since the last sync, by analytics or by the list's counters; whether today is told."""

    def read() -> bool:
        since, until = _analytics_days(visit)
        for window in _windows(visit, since, until):
            _write_window(visit, window)
        if visit.state.backfilled_from is None and visit.request.reaches_back:
            update_state(visit, backfilled_from=since)
        visit.sources.add(UsageSource.ANALYTICS)
        return True

    if may_use(visit, UsageSource.ANALYTICS) and attempt(visit, "analytics", read, "analytics_missing_at"):
        return True
    if visit.setting in {UsageSource.USAGE, UsageSource.ANALYTICS}:
        return False
    return _write_counters(visit)


def read_back(visit: Visit) -> None:
    """The days before those of ``GET /activity``, as far back as is wanted and analytics remembers."""
    names = visit.request.key_names
    is_of_others = bool(names) and visit.owner.name not in names
    if is_of_others or not visit.request.reaches_back or not may_use(visit, UsageSource.ANALYTICS):
        return
    oldest = visit.today - timedelta(days=ANALYTICS_DAYS - 1)
    wanted = visit.request.backfill_from or visit.state.backfill_from or oldest
    if visit.request.backfill_from is not None or visit.state.backfill_from is None:
        is_again = visit.request.backfill_from is not None
        first_days = visit.today - timedelta(days=ACTIVITY_DAYS)
        reached = first_days if is_again else visit.state.backfilled_from
        update_state(visit, backfill_from=wanted, backfilled_from=reached)
    reached = visit.state.backfilled_from
    since = max(wanted, oldest, visit.watermark)
    if reached is None or since >= reached:
        return
    until = reached - timedelta(days=1)

    def read() -> None:
        for window in _windows(visit, since, until):
            _write_window(visit, window, backfilled_from=window.since)

    attempt(visit, "the days before", read)


def _analytics_days(visit: Visit) -> tuple[date, date]:
    today = visit.today
    oldest = max(today - timedelta(days=ANALYTICS_DAYS - 1), visit.watermark)
    if not visit.request.reaches_back:
        return max(min(visit.request.since, today), oldest), min(visit.request.until, today)
    if visit.state.backfilled_from is None or visit.owner.synced_through is None:
        return max(today - timedelta(days=ACTIVITY_DAYS), oldest), today
    since = min(today, visit.owner.synced_through)
    if not may_use(visit, UsageSource.ACTIVITY):
        since = min(since, today - timedelta(days=_ANALYTICS_CORRECTS_DAYS))
    return max(since, oldest), today


def _windows(visit: Visit, since: date, until: date) -> Iterator[Window]:
    keys = [key for key in visit.members if not key.is_management]
    if visit.rows_per_day is None:
        visit.rows_per_day = expected_rows_per_day(keys)
    for window in read_windows(visit.client, visit.secret, keys, since, until, visit.rows_per_day):
        visit.rows_per_day = window.rows_per_day
        yield window


def _write_window(visit: Visit, window: Window, **account_values: object) -> None:
    """Write a whole answer of analytics: each key's days, and what belongs to none of them."""
    names = _slugs_for(visit, window)
    now = visit.clock.now()
    whole_days = frozenset(row.day for row in window.account)
    account = _named(window.account, names)
    keys = {key_id: _named(rows, names) for key_id, rows in window.keys.items()}

    def answer(rows: Sequence[UsageRow]) -> UsageAnswer:
        return UsageAnswer(
            UsageSource.ANALYTICS, window.since, window.until, tuple(rows), window.rejected, whole_days
        )

    def write(connection: Connection) -> list[tuple[StoredKey, WriteCounts]]:
        wanted = {key.id: key for key in visit.readable}
        concerned = accounts.keys_used_on(connection, wanted, whole_days) | (keys.keys() & wanted.keys())
        written = [
            (wanted[key_id], ledger.write_usage(connection, key_id, answer(keys.get(key_id, [])), now))
            for key_id in sorted(concerned)
        ]
        written += [
            (visit.owner, ledger.write_usage(connection, key.id, answer([]), now)) for key in visit.kin
        ]
        kept = accounts.stored_sums(connection, {key.id for key in visit.kin}, window.since, window.until)
        rest = remainder(account, [*kept, *(row for rows in keys.values() for row in rows)])
        written.append((visit.owner, ledger.write_usage(connection, visit.owner.id, answer(rest), now)))
        if account_values:
            accounts.update_account(connection, visit.owner.id, **account_values)
        return written

    for key, counts in visit.store.run_write(write):
        add_counts(visit, key, counts)
    note_rejections(visit, visit.owner, answer([]))
    visit.since = min(visit.since, window.since)


def _named(rows: Sequence[UsageRow], names: Mapping[str, str]) -> list[UsageRow]:
    return add_up(with_slugs(row, names) for row in rows)


def _slugs_for(visit: Visit, window: Window) -> Mapping[str, str]:
    """The plain names of models; a new dated one is looked up, though not more than once a day."""
    with visit.store.read() as connection:
        known = model_names.known_names(connection)
    names = set(known) | set(known.values())
    is_new = any(row.model is not None and row.model not in names for row in window.account)
    if not is_new or is_missing(visit.state.model_names_read_at, visit.clock.now()):
        return known
    try:
        told = fetch_slugs(visit.client, visit.secret)
    except ApiError as error:
        log.info("the names of models: %s", error, extra={"job": Job.SYNC, "key": visit.owner.name})
        return known

    def record(connection: Connection) -> dict[str, str]:
        model_names.record_names(connection, told)
        return model_names.known_names(connection)

    known = visit.store.run_write(record)
    update_state(visit, model_names_read_at=visit.clock.now())
    return known


def _write_counters(visit: Visit) -> bool:
    """What the list's counters tell of each key: dollars by day, without models."""
    now = visit.clock.now()
    readings = [
        (key, reading)
        for key in visit.readable
        if key.listing is not None and key.listing.deleted_at is None
        if (reading := counters_of(key.facts, visit.today)) is not None
    ]

    def write(connection: Connection) -> list[tuple[StoredKey, WriteCounts, bool]]:
        return [(key, *ledger.write_counters(connection, key.id, reading, now)) for key, reading in readings]

    for key, counts, is_reset in visit.store.run_write(write):
        add_counts(visit, key, counts)
        if is_reset:
            visit.notes.append(f"{key.name}: its counters went down; days between cannot be told")
    is_told = bool(readings)
    if is_told:
        visit.sources.add(UsageSource.COUNTERS)
        visit.since = min(visit.since, visit.today)
    return is_told or not visit.readable
