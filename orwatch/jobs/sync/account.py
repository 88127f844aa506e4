"""The account of a management key: its keys followed, and their usage written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_days import read_completed_days
from orwatch.jobs.sync.account_reader import AccountReader
from orwatch.jobs.sync.account_today import read_back, read_today
from orwatch.jobs.sync.layers import read_layers
from orwatch.jobs.sync.outage import unanswered
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus
from orwatch.jobs.sync.session import SyncSession, log_synced
from orwatch.jobs.sync.workspace_budgets import read_workspace_budgets
from orwatch.openrouter.account import ACTIVITY_DAYS, fetch_credits, fetch_listing
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts, listings
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import ListingChanges
from orwatch.store.ledger.write import WriteCounts
from orwatch.text import first_of

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

# How many keys of one change are named in a note; the rest is a number.
_NAMES_LISTED = 10


@dataclass(frozen=True, slots=True)
class SyncedAccount:
    """What came of an account: the management key first, then its keys; and whose sync is done with that."""

    keys: tuple[SyncedKey, ...]
    done_ids: frozenset[int]


def sync_account(session: SyncSession, owner: StoredKey, secret: str) -> SyncedAccount:
    """Follow the account's keys, and write their usage: today's, the completed days', and a year back.

    Each whole answer is written in one transaction. An error is that of the key that was asked about; where
    the keys cannot be listed, nothing else is asked. Raises ``StoreUnusableError``,
    ``StoreUnavailableError``.
    """
    session.progress.begin(f"{owner.name}: list of keys")
    try:
        listing = fetch_listing(session.client(), secret)
    except ApiError as error:
        return _unlisted(session, owner, error)
    now = session.clock.now()
    hashes = {key.key_hash for key in listing.keys}
    has_name = listing.account_id is not None or hashes
    credits = None if has_name else _credits_or_none(session.client(), secret)

    def follow(connection: Connection) -> SyncedAccount | AccountReader:
        # What was stored stays, where the server says nothing now.
        account_id = listing.account_id or accounts.account_state(connection, owner.id).account_id
        twin = accounts.find_twin(connection, owner, account_id, hashes, credits)
        if twin is not None:
            return _second_to(connection, owner, twin, account_id, now)
        accounts.take_over(connection, owner, account_id, hashes, now.date())
        changes = listings.merge_listing(
            connection, owner, listing.keys, now, has_workspaces=listing.has_workspaces
        )
        accounts.update_account(connection, owner.id, account_id=account_id)
        _read_back_again(connection, owner, changes, now.date())
        reader = AccountReader(session, connection, owner, secret, listing)
        reader.notes += _change_notes(changes)
        return reader

    reader = session.store.run_write(follow)
    if isinstance(reader, SyncedAccount):
        return reader
    has_today = read_today(reader)
    read_completed_days(reader)
    read_back(reader)
    session.progress.begin(f"{owner.name}: credits and limits")
    _read_credits(reader)
    read_workspace_budgets(reader)
    read_layers(reader)
    return _finish(reader, has_today=has_today)


def _read_back_again(connection: Connection, owner: StoredKey, changes: ListingChanges, today: date) -> None:
    """Have the account's past read once more for a key that is discovered after that was read.

    So it is with a key that was removed with its usage and is found again.
    """
    recent = today - timedelta(days=ACTIVITY_DAYS)
    reached = accounts.account_state(connection, owner.id).backfilled_from
    is_older = changes.oldest is not None and changes.oldest.date() < recent
    if is_older and reached is not None and reached < recent:
        accounts.update_account(connection, owner.id, backfilled_from=recent)


def _unlisted(session: SyncSession, owner: StoredKey, error: ApiError) -> SyncedAccount:
    if error.outage is not None:
        failed = unanswered(owner, session.request.since, error)
        return SyncedAccount((failed,), frozenset({owner.id}))
    message = str(error)
    if error.status == 403:
        message = f"{message}. Is it still a management key?"
    session.store.run_write(lambda connection: stored_keys.record_sync_failure(connection, owner.id, message))
    failed = SyncedKey(
        owner.name,
        SyncKeyStatus.FAILED,
        session.request.since,
        error=message,
        is_passing=error.is_passing,
    )
    log_synced(failed)
    return SyncedAccount((failed,), frozenset({owner.id}))


def _second_to(
    connection: Connection, owner: StoredKey, twin: StoredKey, account_id: str | None, now: datetime
) -> SyncedAccount:
    """A second management key of one account: everything is read with the first."""
    if account_id is None:
        # Found by what may differ the next time: by this name both are known from now on.
        account_id = accounts.account_state(connection, twin.id).account_id or twin.key_hash
        accounts.update_account(connection, twin.id, account_id=account_id)
    accounts.update_account(connection, owner.id, account_id=account_id)
    today = now.date()
    stored_keys.record_sync(
        connection, owner, source=UsageSource.ACTIVITY, since=today, until=today, error=None, now=now
    )
    note = f"same account as {twin.name}, which reads all of it: nothing else was asked with this key"
    return SyncedAccount(
        (SyncedKey(owner.name, SyncKeyStatus.OK, today, notes=(note,)),), frozenset({owner.id})
    )


def _credits_or_none(client: Client, secret: str) -> Credits | None:
    try:
        return fetch_credits(client, secret)
    except ApiError:
        return None


def _change_notes(changes: ListingChanges) -> Iterator[str]:
    for verb, names in (
        ("discovered", changes.discovered),
        ("disabled at OpenRouter", changes.disabled),
        ("enabled at OpenRouter", changes.enabled),
        ("deleted at OpenRouter, history kept", changes.deleted),
    ):
        if names:
            yield f"{verb}: {first_of(names, _NAMES_LISTED)}"
    for before, name in changes.renamed:
        yield f"renamed: {before} is now {name}"


def _read_credits(reader: AccountReader) -> None:
    credits = reader.attempt("credits", lambda: fetch_credits(reader.client, reader.secret))
    if credits is not None:
        now = reader.now()
        reader.session.store.run_write(
            lambda connection: accounts.record_credits(connection, reader.owner.id, credits, now)
        )


def _finish(reader: AccountReader, *, has_today: bool) -> SyncedAccount:
    """Record how each key stands, and report it."""
    owner, request = reader.owner, reader.session.request
    since = min(reader.since, reader.today)
    if not has_today and not reader.tally(owner).errors:
        reader.tally(owner).add_error("today's usage could not be read")
    # Where nothing was read, those that have a secret of their own are asked with it.
    concerned = [owner, *reader.readable] if reader.sources else [owner]
    _record(reader, concerned, since, has_today=has_today)
    # An answer of analytics is of all keys: others than the named ones are reported where it changed them.
    names = {*request.key_names}
    reported = [
        key
        for key in concerned
        if not names or {owner.name, key.name} & names or reader.tally(key).counts.rows_written
    ]
    if owner not in reported and reader.tally(owner).errors:
        reported.insert(0, owner)
    results = tuple(_synced(reader, key, since) for key in reported)
    for synced in results:
        log_synced(synced)
    return SyncedAccount(results, frozenset(key.id for key in concerned))


def _record(reader: AccountReader, keys: list[StoredKey], since: date, *, has_today: bool) -> None:
    now = reader.now()
    source = max(reader.sources, key=lambda each: each.rank, default=UsageSource.COUNTERS)
    is_whole = reader.session.request.reaches_back or source is UsageSource.ACTIVITY
    until = reader.today if is_whole else min(reader.session.request.until, reader.today)

    changes: list[tuple[int, Mapping[str, Any]]] = []
    for key in keys:
        error = "; ".join(reader.tally(key).errors) or None
        if key.id == reader.owner.id and not has_today:
            changes.append((key.id, {"last_sync_error": error or ""}))
        elif not key.is_deleted:
            values = stored_keys.synced_values(
                key, source=source, since=since, until=until, error=error, now=now
            )
            changes.append((key.id, values))
    reader.session.store.run_write(lambda connection: stored_keys.update_keys(connection, changes))


def _synced(reader: AccountReader, key: StoredKey, since: date) -> SyncedKey:
    tally = reader.tally(key)
    status = SyncKeyStatus.OK
    if tally.errors:
        is_partial = tally.counts != WriteCounts() or tally.rejected or tally.kept
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
        notes=tuple(reader.notes) if key.id == reader.owner.id else (),
    )
