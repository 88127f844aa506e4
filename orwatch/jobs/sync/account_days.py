"""The last 30 completed days of an account: of each key, and what belongs to none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from orwatch.domain.attribution import differing_days, remainder
from orwatch.domain.keys import StoredKey, has_own_source
from orwatch.domain.sources import UsageSource
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_session import (
    Visit,
    add_counts,
    attempt,
    may_use,
    note_failure,
    note_rejections,
)
from orwatch.openrouter.account import fetch_activity
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.parse_account import Activity
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import model_names
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts

if TYPE_CHECKING:
    pass


# How long a deleted key is still asked about.
_DELETED_IS_ASKED = timedelta(days=3)


def read_completed_days(visit: Visit, on_key_done: Callable[[], None]) -> None:
    """The last 30 completed days with their providers, of each key of which they may have changed."""
    if not may_use(visit, UsageSource.ACTIVITY):
        return

    def ask_account() -> Activity:
        return fetch_activity(visit.client, visit.secret, visit.today)

    before = attempt(visit, "activity", ask_account, "activity_missing_at")
    if before is None:
        return
    visit.sources.add(UsageSource.ACTIVITY)
    due = _due(visit, before)
    told_days = frozenset(row.day for row in before.answer.rows)

    def ask(key: StoredKey) -> Activity:
        return fetch_activity(visit.client, visit.secret, visit.today, key.key_hash)

    for key, answer in ask_concurrently(due, ask, visit.request.concurrency):
        if isinstance(answer, ApiError):
            note_failure(visit, key, answer)
        else:
            _write_activity(visit, key, answer, told_days)
        on_key_done()
    # Read after its keys: what they used meanwhile is in it.
    account = attempt(visit, "activity", ask_account) if due else before
    if account is not None:
        _write_remainder(visit, account)


def _due(visit: Visit, account: Activity) -> list[StoredKey]:
    """The keys to ask: new ones, those that spent more, and those with days that are not settled."""
    now = visit.clock.now()
    since, until = account.answer.since, account.answer.until
    ids = {key.id for key in visit.members} | {visit.owner.id}
    with visit.store.read() as connection:
        unsettled = accounts.unsettled_days(connection, ids, since, until)
        stored = accounts.stored_sums(connection, ids, since, until)
    # Sources of a key's own may count dollars only: there requests always differ.
    is_counted = not any(has_own_source(key) for key in visit.members)
    changed = differing_days(account.answer.rows, stored, with_requests=is_counted)
    return [key for key in visit.readable if _is_due(visit, key, unsettled.get(key.id, set()), changed, now)]


def _is_due(visit: Visit, key: StoredKey, unsettled: set[date], changed: set[date], now: datetime) -> bool:
    listing = key.listing
    if listing is None or (listing.deleted_at is not None and now - listing.deleted_at > _DELETED_IS_ASKED):
        return False
    names = visit.request.key_names
    if names and key.name not in names and visit.owner.name not in names:
        return False
    if not visit.request.reaches_back:
        return True
    # Free models cost nothing: only analytics tells that there was use of them.
    may_be_free = UsageSource.ANALYTICS not in visit.sources
    if listing.activity_read_at is None:
        spent = (key.facts.usage_usd, key.facts.byok_usage_usd)
        return may_be_free or bool(unsettled) or any(amount is None or amount for amount in spent)
    marks = (listing.activity_before_usd, listing.activity_byok_before_usd)
    if accounts.spent_before_today(key.facts) != marks or unsettled & changed:
        return True
    is_new_day = listing.activity_read_at.date() < visit.today
    return is_new_day and (bool(unsettled) or may_be_free)


def _write_activity(visit: Visit, key: StoredKey, activity: Activity, told_days: frozenset[date]) -> None:
    """Write a key's completed days; ``told_days``: those that the answer for the whole account has."""
    now = visit.clock.now()
    is_deleted = key.listing is not None and key.listing.deleted_at is not None
    # That a server tells nothing of a deleted key does not take its history away.
    answer = activity.answer if is_deleted else replace(activity.answer, whole_days=told_days)

    def write(connection: Connection) -> WriteCounts:
        model_names.record_names(connection, activity.slugs)
        counts = ledger.write_usage(connection, key.id, answer, now)
        accounts.record_activity_read(connection, key.id, key.facts, now)
        return counts

    add_counts(visit, key, visit.store.run_write(write))
    note_rejections(visit, key, answer)
    visit.since = min(visit.since, answer.since)


def _write_remainder(visit: Visit, account: Activity) -> None:
    """What the account used beyond its keys, under the management key."""
    answer = account.answer
    ids = {key.id for key in visit.members} - {visit.owner.id}
    now = visit.clock.now()
    nothing = replace(answer, rows=(), whole_days=frozenset(row.day for row in answer.rows))

    def write(connection: Connection) -> list[WriteCounts]:
        model_names.record_names(connection, account.slugs)
        written = [ledger.write_usage(connection, key.id, nothing, now) for key in visit.kin]
        keys = accounts.stored_sums(connection, ids, answer.since, answer.until)
        # Where a key's use of a day is not known, neither is what is left of it: analytics' word stays.
        unknown = accounts.days_in_spans(connection, ids, answer.since, answer.until)
        unknown |= {day for day in nothing.whole_days if _is_open(visit, day)}
        rows = tuple(row for row in remainder(answer.rows, keys) if row.day not in unknown)
        rest = replace(nothing, rows=rows, whole_days=nothing.whole_days - unknown)
        return [*written, ledger.write_usage(connection, visit.owner.id, rest, now)]

    for counts in visit.store.run_write(write):
        add_counts(visit, visit.owner, counts)
    note_rejections(visit, visit.owner, answer)
    visit.since = min(visit.since, answer.since)


def _is_open(visit: Visit, day: date) -> bool:
    """Whether a key that is asked with its own secret, after the account, may tell more of the day."""
    return any(
        has_own_source(key) and key.last_synced_at is not None and key.last_synced_at.date() <= day
        for key in visit.members
    )
