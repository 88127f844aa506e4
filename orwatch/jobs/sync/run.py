"""Sync: fetch the usage of every active key and write it into the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.config.settings import MAX_SYNC_DAYS
from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import InactiveReason, KeyKind, StoredKey
from orwatch.domain.runs import Job
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, EncryptionKeyError, StoreUnavailableError, WrongClockError
from orwatch.jobs.key.secrets import open_secrets
from orwatch.jobs.key.selection import check_names, select_keys
from orwatch.jobs.runs.outage import without_outage
from orwatch.jobs.runs.recorded import RunOptions, recorded_run, run_error
from orwatch.jobs.sync.models import note_retirements
from orwatch.jobs.sync.order import is_ordinary, owners_of
from orwatch.jobs.sync.outage import Done, conclude_outage, unanswered
from orwatch.jobs.sync.progress import ProgressReport, SyncProgress
from orwatch.jobs.sync.request import SyncRequest, last_days
from orwatch.jobs.sync.result import (
    COUNTERS_WENT_DOWN,
    SyncedKey,
    SyncKeyStatus,
    SyncResult,
    merge_by_name,
    number_of_rows,
    rejections_text,
)
from orwatch.jobs.sync.session import SyncSession, log_synced, with_share
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.sources import fetch
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts
from orwatch.text import counted

if TYPE_CHECKING:
    from orwatch.jobs.sync.account import SyncedAccount
    from orwatch.openrouter.client import Client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    key: StoredKey
    secret: str
    since: date
    until: date
    # The first day that is wanted: earlier than `since` where the API or cleanup no longer has those days.
    follows_from: date
    notes: tuple[str, ...]


def run(
    store: Store,
    open_client: Callable[[], Client],
    keyring: Keyring,
    request: SyncRequest,
    clock: Clock,
    on_progress: Callable[[SyncProgress], None] = lambda _progress: None,
    options: RunOptions | None = None,
) -> SyncResult:
    """Fetch and write what ``request`` names, key by key, each in a transaction of its own.

    ``open_client`` is called once, or never where there is nothing to ask. One key's failure is part of the
    result and stops no other. Raises ``UsageError`` for a name that no key has, ``EncryptionKeyError`` when
    none of the secrets can be opened, ``LockHeldError``, ``StoreUnusableError``, ``StoreUnavailableError``,
    and what ``open_client`` does.
    """
    check_names(store, request.key_names)
    session = SyncSession(
        *(store, cache(open_client), partial(open_secrets, store, keyring), clock, request),
        progress=ProgressReport(on_progress),
    )
    if request.is_dry_run:
        with store.scratch_copy() as copy:
            return _sync(replace(session, store=copy))
    with recorded_run(store, Job.SYNC, clock, options, is_whole=not request.key_names) as outcome:
        result = _sync(session)
        outcome.status = result.status
        outcome.counts = {
            "keys": len(result.keys),
            "rows_written": result.rows_written,
            "rows_unchanged": result.rows_unchanged,
            "rows_removed": result.rows_removed,
            "rows_rejected": result.rows_rejected,
        }
        outcome.error = run_error(
            result.trouble,
            (
                (key.name, key.error)
                for key in without_outage(result.keys, result.outage)
                if key.status is not SyncKeyStatus.OK
            ),
        )
    return result


def _sync(session: SyncSession) -> SyncResult:
    request = session.request
    started_at = session.clock.monotonic()
    with session.store.read() as connection:
        keys = stored_keys.list_with_old_secrets(connection)
    selected = select_keys(keys, request.key_names)
    owners = owners_of(keys, selected)
    # Their answers are due, whatever time the lists of accounts take.
    first = [key for key in selected if is_ordinary(key, owners)]
    rest = [key for key in selected if not is_ordinary(key, owners)]
    try:
        tasks, done = _plan(session, first)
    except EncryptionKeyError:
        # Raised again at the end: accounts whose secrets can be opened are read all the same.
        tasks, done, rest = [], {}, [*selected]
    new_owners = _sync_keys(session, tasks, done)
    handled: set[int] = set()
    has_more = any(_has_secret(key) and not key.is_management for key in rest)
    for place, owner in enumerate(owners):
        if owner.id not in handled:
            share = with_share(session, started_at, len(owners) - place + has_more)
            handled |= _sync_owner(share, owner, done)
    if owners or rest:
        rest = [key for key in rest if key.id not in handled]
        more_tasks, not_asked = _plan(session, rest, has_opened_others=bool(tasks))
        done |= not_asked
        new_owners += _sync_keys(session, more_tasks, done)
    for place, task in enumerate(new_owners):
        # Added unchecked: its answer is the first to say that it is a management key.
        share = with_share(session, started_at, len(new_owners) - place)
        done[task.key.id] = _sync_account(share, task.key, task.secret).keys
    conclude_outage(session.store, keys, done)
    lost = [key for key in keys if key.inactive_reason is InactiveReason.INVALID]
    result = SyncResult(
        since=min((synced.since for group in done.values() for synced in group), default=request.since),
        until=request.until,
        keys=merge_by_name(synced for key in keys for synced in done.get(key.id, ())),
        duration_seconds=session.clock.monotonic() - started_at,
        is_dry_run=request.is_dry_run,
        lost_keys=0 if done or request.key_names else len(lost),
    )
    if result.trouble is not None:
        log.warning("%s", result.trouble)
    note_retirements(with_share(session, started_at, 1), result)
    return result


def _sync_owner(session: SyncSession, owner: StoredKey, done: Done) -> set[int]:
    """Sync the account of a management key; the ids of all keys that are done with that."""
    try:
        secrets, _ = session.open_secrets([owner])
    except EncryptionKeyError:
        return set()  # _plan reports it
    if owner.id not in secrets:
        return set()  # removed meanwhile
    account = _sync_account(session, owner, secrets[owner.id])
    for key_id in account.done_ids & done.keys():
        # Asked as an ordinary key, and listed now for the first time: it is reported once.
        del done[key_id]
    done[owner.id] = account.keys
    return {*account.done_ids}


def _sync_keys(session: SyncSession, tasks: Sequence[_Task], done: Done) -> list[_Task]:
    """Sync keys with their own secrets, and add to ``done``; those that turn out to be management keys."""
    if tasks:
        session.progress.begin("Syncing", len(tasks))
    new_owners = []
    for task, answer, seconds in _answers(session, tasks):
        synced = _conclude(session, task, answer)
        session.progress.step(rows=synced.rows_written if synced else 0)
        if synced is None:
            continue
        if synced.outage is None:
            log_synced(synced, seconds)
        if isinstance(answer, CounterReading) and answer.facts and answer.facts.kind is KeyKind.MANAGEMENT:
            new_owners.append(task)
        done[task.key.id] = (synced,)
    return new_owners


def _sync_account(session: SyncSession, owner: StoredKey, secret: str) -> SyncedAccount:
    # Loaded only where there is a management key.
    from orwatch.jobs.sync.account import sync_account

    return sync_account(session, owner, secret)


def _plan(
    session: SyncSession, keys: Sequence[StoredKey], *, has_opened_others: bool = False
) -> tuple[list[_Task], Done]:
    """What to ask with each key's own secret; and the keys that cannot or need not be asked.

    Raises ``EncryptionKeyError`` when none of the run's secrets can be opened, ``WrongClockError``.
    """
    request = session.request
    watermark = _watermark(session)
    with_secret = {key.id: key for key in keys if _has_secret(key)}
    is_all_removed = watermark > request.until
    try:
        secrets, unopened = session.open_secrets([] if is_all_removed else [*with_secret.values()])
    except EncryptionKeyError as error:
        if not has_opened_others:
            raise
        secrets, unopened = {}, dict.fromkeys(with_secret, error)
    tasks: list[_Task] = []
    done: Done = {}
    for key in keys:
        follows_from, since = _since(key, request)
        notes: tuple[str, ...] = ()
        if since < watermark:
            notes = (f"days before {watermark} were removed by cleanup and are not fetched again",)
            since = watermark
        if key.id in secrets:
            tasks.append(_Task(key, secrets[key.id], since, request.until, follows_from, notes))
        elif key.id in unopened:
            done[key.id] = (_failed(session.store, key, since, str(unopened[key.id])),)
        elif key.id in with_secret:
            done[key.id] = (SyncedKey(key.name, SyncKeyStatus.OK, request.since, notes=notes),)
        elif request.key_names:
            why = f"the key is {key.inactive_reason}"
            if key.inactive_reason is None:
                why = "only a management key lists it, and that one could not be read"
            done[key.id] = (SyncedKey(key.name, SyncKeyStatus.FAILED, since, error=f"not asked: {why}"),)
    return tasks, done


def _watermark(session: SyncSession) -> date:
    """The first day that cleanup has left. Raises ``WrongClockError``."""
    with session.store.read() as connection:
        watermark = ledger.kept_from(connection) or date.min
    now = session.clock.now()
    if now.date() < watermark:
        # Then nothing would be asked for, and no answer could show that the clock is wrong.
        raise WrongClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but cleanup has removed the days before "
            f"{watermark} already. Set the clock right; nothing was written."
        )
    return watermark


def _has_secret(key: StoredKey) -> bool:
    """Whether the key is to be asked with a secret of its own."""
    return key.is_active and (key.secret_encrypted is not None or key.listing is None)


def _since(key: StoredKey, request: SyncRequest) -> tuple[date, date]:
    """The first day that is wanted for a key, and the first that can be asked for."""
    if not request.reaches_back or key.synced_through is None:
        return request.since, request.since
    wanted = min(request.since, key.synced_through)
    return wanted, max(wanted, last_days(request.until, MAX_SYNC_DAYS))


def _answers(
    session: SyncSession, tasks: Sequence[_Task]
) -> Iterator[tuple[_Task, UsageAnswer | CounterReading | ApiError, float | None]]:
    """Each task with its answer and the seconds that it took, or with the error, as they come."""
    if not tasks:
        return
    client, clock, request = session.client(), session.clock, session.request

    def ask(task: _Task) -> tuple[UsageAnswer | CounterReading, float]:
        asked_at = clock.monotonic()
        answer = fetch(client, task.key, request.source, task.secret, task.since, task.until, clock.now())
        return answer, clock.monotonic() - asked_at

    for task, timed in ask_concurrently(tasks, ask, request.concurrency):
        if isinstance(timed, ApiError):
            yield task, timed, None
        else:
            yield task, *timed


def _conclude(
    session: SyncSession, task: _Task, answer: UsageAnswer | CounterReading | ApiError
) -> SyncedKey | None:
    """Write one key's answer, or record why there is none; None for a replaced secret that has ended."""
    if isinstance(answer, ApiError) and answer.outage is not None:
        return unanswered(task.key, task.since, answer)
    if isinstance(answer, ApiError) and task.key.is_replaced and not answer.is_passing:
        log.info("its replaced secret %s: %s", task.key.hint, answer, extra={"key": task.key.name})
        return None
    if isinstance(answer, ApiError):
        return _failed(session.store, task.key, task.since, str(answer), is_passing=answer.is_passing)
    now = session.clock.now()

    def write(connection: Connection) -> SyncedKey:
        # As it is stored now: it may have been removed while it was asked about.
        key = stored_keys.find_by_hash(connection, task.key.key_hash)
        if key is None or key.is_removed:
            notes = (*task.notes, "the key was removed during the sync: nothing written")
            return SyncedKey(task.key.name, SyncKeyStatus.OK, task.since, notes=notes)
        if isinstance(answer, CounterReading):
            return _write_counters(connection, task, key, answer, now)
        return _write_usage(connection, task, key, answer, now)

    try:
        return session.store.run_write(write)
    except StoreUnavailableError as error:
        return _failed(session.store, task.key, task.since, str(error), is_passing=True)


def _failed(store: Store, key: StoredKey, since: date, error: str, *, is_passing: bool = False) -> SyncedKey:
    """Record why the sync of a key failed, if the database can be written."""
    try:
        store.run_write(lambda connection: stored_keys.record_sync_failure(connection, key.id, error))
    except StoreUnavailableError as trouble:
        log.warning("%s", trouble, extra={"key": key.name})
    return SyncedKey(key.name, SyncKeyStatus.FAILED, since, error=error, is_passing=is_passing)


def _write_usage(
    connection: Connection, task: _Task, key: StoredKey, answer: UsageAnswer, now: datetime
) -> SyncedKey:
    misfits = [row for row in answer.rejected if not row.is_outside_window]
    error = rejections_text(misfits) if misfits else None
    counts = ledger.write_usage(connection, key.id, answer, now)
    stored_keys.record_sync(
        connection,
        key,
        source=answer.source,
        since=task.follows_from,
        until=task.until,
        error=error,
        now=now,
    )
    notes = task.notes
    if answer.rejected and not misfits:
        left_out = counted(number_of_rows(answer.rejected), "row")
        notes = (*notes, f"left out {left_out} of days that were not asked for")
    return _synced(
        task,
        counts,
        SyncKeyStatus.PARTIAL if misfits else SyncKeyStatus.OK,
        rejected=number_of_rows(answer.rejected),
        error=error,
        notes=notes,
    )


def _write_counters(
    connection: Connection, task: _Task, key: StoredKey, reading: CounterReading, now: datetime
) -> SyncedKey:
    counts, is_reset = ledger.write_counters(connection, key.id, reading, now)
    if reading.facts is not None:
        stored_keys.record_counters(connection, key, reading.facts, now)
    stored_keys.record_sync(
        connection,
        key,
        source=UsageSource.COUNTERS,
        since=reading.day,
        until=reading.day,
        error=None,
        now=now,
    )
    notes = task.notes
    if is_reset:
        notes = (*notes, COUNTERS_WENT_DOWN)
    return _synced(task, counts, SyncKeyStatus.OK, notes=notes)


def _synced(
    task: _Task,
    counts: WriteCounts,
    status: SyncKeyStatus,
    *,
    rejected: int = 0,
    error: str | None = None,
    notes: tuple[str, ...] = (),
) -> SyncedKey:
    return SyncedKey(
        task.key.name,
        status,
        task.since,
        rows_written=counts.rows_written,
        rows_unchanged=counts.rows_unchanged,
        rows_removed=counts.rows_removed,
        rows_rejected=rejected,
        error=error,
        notes=notes,
    )
