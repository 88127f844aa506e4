"""The account of a management key: its keys found, their usage and what belongs to none of them written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from orwatch.attribution import add_up, differing_days, remainder
from orwatch.clock import Clock
from orwatch.errors import ApiError, EndpointMissingError
from orwatch.jobs.analytics import Window, expected_rows_per_day, read_windows
from orwatch.jobs.fan_out import ask_concurrently
from orwatch.jobs.sync_request import SyncRequest
from orwatch.models import AccountState, Job, StoredKey, UsageAnswer, UsageRow, UsageSource
from orwatch.openrouter.account import (
    ACTIVITY_DAYS,
    ANALYTICS_DAYS,
    AccountListing,
    fetch_activity,
    fetch_credits,
    fetch_listing,
    fetch_slugs,
)
from orwatch.openrouter.parse_account import Activity, with_slugs
from orwatch.openrouter.sources import counters_of
from orwatch.results.sync import SyncedKey, SyncKeyStatus, told_rejections
from orwatch.store import accounts, ledger, slugs
from orwatch.store import keys as stored_keys
from orwatch.store.accounts import ListingChanges
from orwatch.store.database import Connection, Store
from orwatch.store.ledger import WriteCounts

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

# How long it is believed that a server lacks an endpoint, if validate does not make sync ask before; also
# how often the names of models are asked for.
_ASK_AGAIN_AFTER = timedelta(days=1)

# How long a deleted key is still asked about.
_DELETED_IS_ASKED = timedelta(days=3)

# How many days back analytics is read again where no better source tells of completed days.
_ANALYTICS_CORRECTS_DAYS = 2

_OWN_SOURCES = frozenset({UsageSource.USAGE, UsageSource.COUNTERS})

Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncedAccount:
    """What came of an account: the management key first, then its keys; and whose sync is done with that."""

    keys: tuple[SyncedKey, ...]
    done_ids: frozenset[int]


@dataclass(slots=True)
class _Tally:
    """What was written for one key."""

    counts: WriteCounts = field(default_factory=WriteCounts)
    rejected: int = 0
    errors: list[str] = field(default_factory=list)
    is_passing: bool = True


@dataclass(slots=True)
class _Visit:
    """One visit to an account: whom to ask with what, and what came of it so far."""

    store: Store
    client: Client
    clock: Clock
    request: SyncRequest
    owner: StoredKey
    secret: str
    today: date
    state: AccountState
    members: list[StoredKey]
    watermark: date
    notes: list[str] = field(default_factory=list)
    tallies: dict[int, _Tally] = field(default_factory=dict)
    sources: set[UsageSource] = field(default_factory=set)
    since: date = date.max
    # What this run has written of completed days, by key: a better source may tell it again.
    fresh: dict[int, frozenset[UsageRow]] = field(default_factory=dict)
    # How many rows analytics has for a day, as far as is known.
    rows_per_day: Fraction | None = None

    @property
    def setting(self) -> UsageSource | None:
        return self.owner.source_setting or self.request.source

    @property
    def readable(self) -> list[StoredKey]:
        """The members whose usage comes through the account, not by a source of their own."""
        return [key for key in self.members if not key.is_management and not has_own_source(key)]

    @property
    def kin(self) -> list[StoredKey]:
        """The other management keys of the account: what was kept under them before is a part of it."""
        return [key for key in self.members if key.is_management and key.id != self.owner.id]

    def tally(self, key: StoredKey) -> _Tally:
        return self.tallies.setdefault(key.id, _Tally())


def has_own_source(key: StoredKey) -> bool:
    """Whether a person wants a listed key to be asked with its own secret."""
    return key.secret_encrypted is not None and key.is_active and key.source_setting in _OWN_SOURCES


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

    def follow(connection: Connection) -> SyncedAccount | _Visit:
        twin = accounts.find_twin(connection, owner, listing.account_id, hashes)
        if twin is not None:
            return _second_to(connection, owner, twin, listing, now)
        accounts.take_over(connection, owner, listing.account_id, hashes, now.date())
        changes = accounts.merge_listing(connection, owner, listing.keys, now)
        _record_account_id(connection, owner, listing)
        visit = _Visit(
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
    has_today = _read_today(visit)
    _read_completed_days(visit, on_key_done)
    _read_back(visit)
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


def _is_missing(missing_at: datetime | None, now: datetime) -> bool:
    return missing_at is not None and now - missing_at < _ASK_AGAIN_AFTER


def _may_use(visit: _Visit, source: UsageSource) -> bool:
    if visit.setting not in {None, source}:
        return False
    at = {
        UsageSource.ACTIVITY: visit.state.activity_missing_at,
        UsageSource.ANALYTICS: visit.state.analytics_missing_at,
    }[source]
    return not _is_missing(at, visit.clock.now())


def _try(
    visit: _Visit, what: str, action: Callable[[], Outcome], missing: str | None = None
) -> Outcome | None:
    """What the action gives; None, and a note or an error of the management key, where the API refuses.

    ``missing``: the column that remembers that the server does not have this endpoint.
    """
    try:
        return action()
    except ApiError as error:
        if isinstance(error, EndpointMissingError) or error.status == 403:
            if missing is not None:
                _update(visit, **{missing: visit.clock.now()})
            visit.notes.append(f"{what}: {error}" + ("; asked again tomorrow" if missing else ""))
        elif error.is_passing:
            visit.notes.append(f"{what}: {error}; the next sync asks again")
            log.warning("%s: %s", what, error, extra={"job": Job.SYNC, "key": visit.owner.name})
        else:
            visit.tally(visit.owner).errors.append(f"{what}: {error}")
            visit.tally(visit.owner).is_passing = False
    return None


def _read_today(visit: _Visit) -> bool:
    """What came since the last sync, by analytics or by the list's counters; whether today is told."""

    def read() -> bool:
        since, until = _analytics_days(visit)
        for window in _windows(visit, since, until):
            _write_window(visit, window)
        if visit.state.backfilled_from is None and visit.request.reaches_back:
            _update(visit, backfilled_from=since)
        visit.sources.add(UsageSource.ANALYTICS)
        return True

    if _may_use(visit, UsageSource.ANALYTICS) and _try(visit, "analytics", read, "analytics_missing_at"):
        return True
    if visit.setting in {UsageSource.USAGE, UsageSource.ANALYTICS}:
        return False
    return _write_counters(visit)


def _analytics_days(visit: _Visit) -> tuple[date, date]:
    today = visit.today
    oldest = max(today - timedelta(days=ANALYTICS_DAYS - 1), visit.watermark)
    if not visit.request.reaches_back:
        return max(min(visit.request.since, today), oldest), min(visit.request.until, today)
    if visit.state.backfilled_from is None or visit.owner.synced_through is None:
        return max(today - timedelta(days=ACTIVITY_DAYS), oldest), today
    since = min(today, visit.owner.synced_through)
    if not _may_use(visit, UsageSource.ACTIVITY):
        since = min(since, today - timedelta(days=_ANALYTICS_CORRECTS_DAYS))
    return max(since, oldest), today


def _windows(visit: _Visit, since: date, until: date) -> Iterator[Window]:
    keys = [key for key in visit.members if not key.is_management]
    if visit.rows_per_day is None:
        visit.rows_per_day = expected_rows_per_day(keys)
    for window in read_windows(visit.client, visit.secret, keys, since, until, visit.rows_per_day):
        visit.rows_per_day = window.rows_per_day
        yield window


def _write_window(visit: _Visit, window: Window, **account_values: object) -> None:
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
            (wanted[key_id], _write(visit, connection, key_id, answer(keys.get(key_id, [])), now))
            for key_id in sorted(concerned)
        ]
        written += [(visit.owner, _write(visit, connection, key.id, answer([]), now)) for key in visit.kin]
        kept = accounts.stored_sums(connection, {key.id for key in visit.kin}, window.since, window.until)
        rest = remainder(account, [*kept, *(row for rows in keys.values() for row in rows)])
        written.append((visit.owner, _write(visit, connection, visit.owner.id, answer(rest), now)))
        if account_values:
            accounts.update_account(connection, visit.owner.id, **account_values)
        return written

    for key, counts in visit.store.run_write(write):
        _add(visit, key, counts)
    _note_rejections(visit, visit.owner, answer([]))
    visit.since = min(visit.since, window.since)


def _write(
    visit: _Visit, connection: Connection, key_id: int, answer: UsageAnswer, now: datetime
) -> WriteCounts:
    """Write an answer. A row that this run has written already, and is now told otherwise, counts once."""
    first, last = visit.today - timedelta(days=ACTIVITY_DAYS), visit.today - timedelta(days=1)
    since, until = max(answer.since, first), min(answer.until, last)
    if since > until or not _may_use(visit, UsageSource.ACTIVITY):
        return ledger.write_usage(connection, key_id, answer, now)
    before = frozenset(accounts.stored_sums(connection, {key_id}, since, until))
    counts = ledger.write_usage(connection, key_id, answer, now)
    after = frozenset(accounts.stored_sums(connection, {key_id}, since, until))
    overwritten = visit.fresh.get(key_id, frozenset()) & (before - after)
    visit.fresh[key_id] = (visit.fresh.get(key_id, frozenset()) - overwritten) | (after - before)
    return replace(counts, rows_written=counts.rows_written - len(overwritten))


def _named(rows: Sequence[UsageRow], names: Mapping[str, str]) -> list[UsageRow]:
    return add_up(with_slugs(row, names) for row in rows)


def _slugs_for(visit: _Visit, window: Window) -> Mapping[str, str]:
    """The plain names of models; a new dated one is looked up, though not more than once a day."""
    with visit.store.read() as connection:
        known = slugs.known_slugs(connection)
    names = set(known) | set(known.values())
    is_new = any(row.model is not None and row.model not in names for row in window.account)
    if not is_new or _is_missing(visit.state.slugs_read_at, visit.clock.now()):
        return known
    try:
        told = fetch_slugs(visit.client, visit.secret)
    except ApiError as error:
        log.info("the names of models: %s", error, extra={"job": Job.SYNC, "key": visit.owner.name})
        return known

    def record(connection: Connection) -> dict[str, str]:
        slugs.record_slugs(connection, told)
        return slugs.known_slugs(connection)

    known = visit.store.run_write(record)
    _update(visit, slugs_read_at=visit.clock.now())
    return known


def _write_counters(visit: _Visit) -> bool:
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
        _add(visit, key, counts)
        if is_reset:
            visit.notes.append(f"{key.name}: its counters went down; days between cannot be told")
    is_told = bool(readings)
    if is_told:
        visit.sources.add(UsageSource.COUNTERS)
        visit.since = min(visit.since, visit.today)
    return is_told or not visit.readable


def _read_completed_days(visit: _Visit, on_key_done: Callable[[], None]) -> None:
    """The last 30 completed days with their providers, of each key of which they may have changed."""
    if not _may_use(visit, UsageSource.ACTIVITY):
        return

    def ask_account() -> Activity:
        return fetch_activity(visit.client, visit.secret, visit.today)

    before = _try(visit, "activity", ask_account, "activity_missing_at")
    if before is None:
        return
    visit.sources.add(UsageSource.ACTIVITY)
    due = _due(visit, before)
    told_days = frozenset(row.day for row in before.answer.rows)

    def ask(key: StoredKey) -> Activity:
        return fetch_activity(visit.client, visit.secret, visit.today, key.key_hash)

    for key, answer in ask_concurrently(due, ask, visit.request.concurrency):
        if isinstance(answer, ApiError):
            _note_failure(visit, key, answer)
        else:
            _write_activity(visit, key, answer, told_days)
        on_key_done()
    # Read after its keys: what they used meanwhile is in it.
    account = _try(visit, "activity", ask_account) if due else before
    if account is not None:
        _write_remainder(visit, account)


def _due(visit: _Visit, account: Activity) -> list[StoredKey]:
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


def _is_due(visit: _Visit, key: StoredKey, unsettled: set[date], changed: set[date], now: datetime) -> bool:
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


def _write_activity(visit: _Visit, key: StoredKey, activity: Activity, told_days: frozenset[date]) -> None:
    """Write a key's completed days; ``told_days``: those that the answer for the whole account has."""
    now = visit.clock.now()
    is_deleted = key.listing is not None and key.listing.deleted_at is not None
    # That a server tells nothing of a deleted key does not take its history away.
    answer = activity.answer if is_deleted else replace(activity.answer, whole_days=told_days)

    def write(connection: Connection) -> WriteCounts:
        slugs.record_slugs(connection, activity.slugs)
        counts = _write(visit, connection, key.id, answer, now)
        accounts.record_activity_read(connection, key.id, key.facts, now)
        return counts

    _add(visit, key, visit.store.run_write(write))
    _note_rejections(visit, key, answer)
    visit.since = min(visit.since, answer.since)


def _write_remainder(visit: _Visit, account: Activity) -> None:
    """What the account used beyond its keys, under the management key."""
    answer = account.answer
    ids = {key.id for key in visit.members} - {visit.owner.id}
    now = visit.clock.now()
    nothing = replace(answer, rows=(), whole_days=frozenset(row.day for row in answer.rows))

    def write(connection: Connection) -> list[WriteCounts]:
        slugs.record_slugs(connection, account.slugs)
        written = [_write(visit, connection, key.id, nothing, now) for key in visit.kin]
        keys = accounts.stored_sums(connection, ids, answer.since, answer.until)
        # Where a key's use of a day is not known, neither is what is left of it: analytics' word stays.
        unknown = accounts.days_in_spans(connection, ids, answer.since, answer.until)
        unknown |= {day for day in nothing.whole_days if _is_open(visit, day)}
        rows = tuple(row for row in remainder(answer.rows, keys) if row.day not in unknown)
        rest = replace(nothing, rows=rows, whole_days=nothing.whole_days - unknown)
        return [*written, _write(visit, connection, visit.owner.id, rest, now)]

    for counts in visit.store.run_write(write):
        _add(visit, visit.owner, counts)
    _note_rejections(visit, visit.owner, answer)
    visit.since = min(visit.since, answer.since)


def _is_open(visit: _Visit, day: date) -> bool:
    """Whether a key that is asked with its own secret, after the account, may tell more of the day."""
    return any(
        has_own_source(key) and key.last_synced_at is not None and key.last_synced_at.date() <= day
        for key in visit.members
    )


def _read_back(visit: _Visit) -> None:
    """The days before those of ``GET /activity``, as far back as is wanted and analytics remembers."""
    names = visit.request.key_names
    is_of_others = bool(names) and visit.owner.name not in names
    if is_of_others or not visit.request.reaches_back or not _may_use(visit, UsageSource.ANALYTICS):
        return
    oldest = visit.today - timedelta(days=ANALYTICS_DAYS - 1)
    wanted = visit.request.backfill_from or visit.state.backfill_from or oldest
    if visit.request.backfill_from is not None or visit.state.backfill_from is None:
        is_again = visit.request.backfill_from is not None
        first_days = visit.today - timedelta(days=ACTIVITY_DAYS)
        reached = first_days if is_again else visit.state.backfilled_from
        _update(visit, backfill_from=wanted, backfilled_from=reached)
    reached = visit.state.backfilled_from
    since = max(wanted, oldest, visit.watermark)
    if reached is None or since >= reached:
        return
    until = reached - timedelta(days=1)

    def read() -> None:
        for window in _windows(visit, since, until):
            _write_window(visit, window, backfilled_from=window.since)

    _try(visit, "the days before", read)


def _read_credits(visit: _Visit) -> None:
    credits = _try(visit, "credits", lambda: fetch_credits(visit.client, visit.secret))
    if credits is not None:
        now = visit.clock.now()
        visit.store.run_write(
            lambda connection: accounts.record_credits(connection, visit.owner.id, credits, now)
        )


def _update(visit: _Visit, **values: object) -> None:
    def update(connection: Connection) -> AccountState:
        accounts.update_account(connection, visit.owner.id, **values)
        return accounts.account_state(connection, visit.owner.id)

    visit.state = visit.store.run_write(update)


def _add(visit: _Visit, key: StoredKey, counts: WriteCounts) -> None:
    tally = visit.tally(key)
    tally.counts = tally.counts + counts


def _note_failure(visit: _Visit, key: StoredKey, error: ApiError) -> None:
    tally = visit.tally(key)
    tally.errors.append(str(error))
    tally.is_passing = tally.is_passing and error.is_passing


def _note_rejections(visit: _Visit, key: StoredKey, answer: UsageAnswer) -> None:
    misfits = [row for row in answer.rejected if not row.is_outside_window]
    if misfits:
        tally = visit.tally(key)
        tally.rejected += len(misfits)
        tally.errors.append(told_rejections(misfits))
        tally.is_passing = False


def _finish(visit: _Visit, *, has_today: bool) -> SyncedAccount:
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


def _source_of(visit: _Visit, key: StoredKey) -> UsageSource:
    """The best source that has told of the key."""
    read_before = key.listing is not None and key.listing.activity_read_at is not None
    asked = UsageSource.ACTIVITY in visit.sources
    if asked and (key.id == visit.owner.id or read_before or key.id in visit.tallies):
        return UsageSource.ACTIVITY
    return UsageSource.ANALYTICS if UsageSource.ANALYTICS in visit.sources else UsageSource.COUNTERS


def _synced(visit: _Visit, key: StoredKey, since: date) -> SyncedKey:
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
