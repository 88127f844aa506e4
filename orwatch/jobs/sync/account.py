"""The account of a management key: its keys followed, and their usage written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.domain.keys import StoredKey
from orwatch.domain.runs import Job
from orwatch.domain.sources import UsageSource
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_days import read_completed_days
from orwatch.jobs.sync.account_session import Visit, attempt
from orwatch.jobs.sync.account_today import read_back, read_today
from orwatch.jobs.sync.request import SyncRequest
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus
from orwatch.openrouter.account import AccountListing, fetch_credits, fetch_listing
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import accounts, listings
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import ListingChanges
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncedAccount:
    """What came of an account: the management key first, then its keys; and whose sync is done with that."""

    keys: tuple[SyncedKey, ...]
    done_ids: frozenset[int]


def sync_account(
    store: Store,
    client: Client,
    owner: StoredKey,
    secret: str,
    request: SyncRequest,
    clock: Clock,
    on_key_done: Callable[[], None] = lambda: None,
) -> SyncedAccount:
    """Follow the account's keys, and write their usage: today's, the completed days', and a year back.

    Each whole answer is written in one transaction. What fails is told of the key that it was about; where
    the keys cannot be listed, nothing else is asked. Raises ``StoreUnusableError``,
    ``StoreUnavailableError``.
    """
    try:
        listing = fetch_listing(client, secret)
    except ApiError as error:
        return _unlisted(store, owner, request, error)
    now = clock.now()
    hashes = {key.key_hash for key in listing.keys}

    def follow(connection: Connection) -> SyncedAccount | Visit:
        twin = accounts.find_twin(connection, owner, listing.account_id, hashes)
        if twin is not None:
            return _second_to(connection, owner, twin, listing, now)
        accounts.take_over(connection, owner, listing.account_id, hashes, now.date())
        changes = listings.merge_listing(connection, owner, listing.keys, now)
        _record_account_id(connection, owner, listing)
        visit = Visit(
            store,
            client,
            clock,
            request,
            owner,
            secret,
            listing.answered_at.date(),
            accounts.account_state(connection, owner.id),
            accounts.members(connection, owner.id),
            ledger.kept_from(connection) or date.min,
        )
        visit.notes += _told_changes(changes)
        return visit

    visit = store.run_write(follow)
    if isinstance(visit, SyncedAccount):
        return visit
    has_today = read_today(visit)
    read_completed_days(visit, on_key_done)
    read_back(visit)
    _read_credits(visit)
    return _finish(visit, has_today=has_today)


def _unlisted(store: Store, owner: StoredKey, request: SyncRequest, error: ApiError) -> SyncedAccount:
    message = str(error)
    if error.status == 403:
        message = f"{message}. Is it a management key still?"
    store.run_write(lambda connection: stored_keys.record_sync_failure(connection, owner.id, message))
    log.warning("%s", message, extra={"job": Job.SYNC, "key": owner.name})
    failed = SyncedKey(
        owner.name, SyncKeyStatus.FAILED, request.since, error=message, is_passing=error.is_passing
    )
    return SyncedAccount((failed,), frozenset({owner.id}))


def _second_to(
    connection: Connection, owner: StoredKey, twin: StoredKey, listing: AccountListing, now: datetime
) -> SyncedAccount:
    """A second management key of one account: all is read with the first."""
    _record_account_id(connection, owner, listing)
    today = now.date()
    stored_keys.record_sync(
        connection, owner, source=UsageSource.ACTIVITY, since=today, until=today, error=None, now=now
    )
    note = f"sees the same account as {twin.name}, with which everything is read: nothing else was asked"
    return SyncedAccount(
        (SyncedKey(owner.name, SyncKeyStatus.OK, today, notes=(note,)),), frozenset({owner.id})
    )


def _record_account_id(connection: Connection, owner: StoredKey, listing: AccountListing) -> None:
    # What was known stays known while a server has no workspaces.
    if listing.account_id is not None:
        accounts.update_account(connection, owner.id, account_id=listing.account_id)


def _told_changes(changes: ListingChanges) -> Iterator[str]:
    for verb, names in (
        ("discovered", changes.discovered),
        ("disabled at OpenRouter", changes.disabled),
        ("enabled at OpenRouter", changes.enabled),
        ("deleted at OpenRouter, history kept", changes.deleted),
    ):
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            yield f"{verb}: {', '.join(names[:10])}{more}"
    for before, name in changes.renamed:
        yield f"renamed: {before} is now {name}"


def _read_credits(visit: Visit) -> None:
    credits = attempt(visit, "credits", lambda: fetch_credits(visit.client, visit.secret))
    if credits is not None:
        now = visit.clock.now()
        visit.store.run_write(
            lambda connection: accounts.record_credits(connection, visit.owner.id, credits, now)
        )


def _finish(visit: Visit, *, has_today: bool) -> SyncedAccount:
    """Record how each key stands, and tell it."""
    now = visit.clock.now()
    since = min(visit.since, visit.today)
    if not has_today and not visit.tally(visit.owner).errors:
        visit.tally(visit.owner).errors.append("today's usage could not be read")
    # Where nothing was read, those that have a secret of their own are asked with it.
    concerned = [visit.owner, *visit.readable] if visit.sources else [visit.owner]
    is_whole = visit.request.reaches_back or UsageSource.ACTIVITY in visit.sources
    until = visit.today if is_whole else min(visit.request.until, visit.today)

    def record(connection: Connection) -> None:
        for key in concerned:
            error = "; ".join(visit.tally(key).errors) or None
            if key.id == visit.owner.id and not has_today:
                stored_keys.record_sync_failure(connection, key.id, error or "")
                continue
            if key.listing is not None and key.listing.deleted_at is not None:
                continue
            stored_keys.record_sync(
                connection,
                key,
                source=_source_of(visit, key),
                since=since,
                until=until,
                error=error,
                now=now,
            )

    visit.store.run_write(record)
    names = visit.request.key_names
    # An answer of analytics is of all keys: what was written for others is told as well.
    told = [
        key
        for key in concerned
        if not names or visit.owner.name in names or key.name in names or visit.tally(key).counts.rows_written
    ]
    if visit.owner not in told and visit.tally(visit.owner).errors:
        told.insert(0, visit.owner)
    results = tuple(_synced(visit, key, since) for key in told)
    for synced in results:
        _log_synced(synced)
    return SyncedAccount(results, frozenset(key.id for key in concerned))


def _source_of(visit: Visit, key: StoredKey) -> UsageSource:
    """The best source that has told of the key."""
    read_before = key.listing is not None and key.listing.activity_read_at is not None
    asked = UsageSource.ACTIVITY in visit.sources
    if asked and (key.id == visit.owner.id or read_before or key.id in visit.tallies):
        return UsageSource.ACTIVITY
    return UsageSource.ANALYTICS if UsageSource.ANALYTICS in visit.sources else UsageSource.COUNTERS


def _synced(visit: Visit, key: StoredKey, since: date) -> SyncedKey:
    tally = visit.tally(key)
    status = SyncKeyStatus.OK
    if tally.errors:
        is_partial = tally.counts != WriteCounts() or tally.rejected
        status = SyncKeyStatus.PARTIAL if is_partial else SyncKeyStatus.FAILED
    return SyncedKey(
        key.name,
        status,
        since,
        rows_written=tally.counts.rows_written,
        rows_unchanged=tally.counts.rows_unchanged,
        rows_removed=tally.counts.rows_removed,
        rows_rejected=tally.rejected,
        error="; ".join(tally.errors) or None,
        is_passing=bool(tally.errors) and tally.is_passing,
        notes=tuple(visit.notes) if key.id == visit.owner.id else (),
    )


def _log_synced(synced: SyncedKey) -> None:
    extra = {"job": Job.SYNC, "key": synced.name}
    if synced.error is not None:
        log.warning("%s", synced.error, extra=extra)
    for note in synced.notes:
        log.info("%s", note, extra=extra)
    if synced.rows_written or synced.rows_removed:
        log.info(
            "%d rows written, %d unchanged, %d removed",
            synced.rows_written,
            synced.rows_unchanged,
            synced.rows_removed,
            extra=extra,
        )
