"""Sync: fetch the usage of every active key and write it into the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.config.settings import MAX_SYNC_DAYS
from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import InactiveReason, KeyKind, StoredKey
from orwatch.domain.runs import Job, RunStatus
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, EncryptionKeyError, StoreUnavailableError, WrongClockError
from orwatch.jobs.key.selection import check_names, select_keys
from orwatch.jobs.runs.recorded import RunOptions, recorded_run
from orwatch.jobs.sync.request import SyncProgress, SyncRequest, last_days
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, SyncResult, told_rejections
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.sources import fetch
from orwatch.secrets import Vault
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    key: StoredKey
    secret: str
    since: date
    until: date
    # The day that it follows on from: earlier than `since` where what lies between cannot be had any more.
    follows_from: date
    notes: tuple[str, ...]


def run(
    store: Store,
    open_client: Callable[[], Client],
    encryption_keys: Sequence[str],
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
    if request.is_dry_run:
        with store.scratch_copy() as copy:
            return _sync(copy, cache(open_client), encryption_keys, request, clock, on_progress)
    with recorded_run(store, Job.SYNC, clock, options, is_whole=not request.key_names) as outcome:
        result = _sync(store, cache(open_client), encryption_keys, request, clock, on_progress)
        outcome.status = result.status
        outcome.counts = {
            "keys": len(result.keys),
            "rows_written": result.rows_written,
            "rows_unchanged": result.rows_unchanged,
            "rows_removed": result.rows_removed,
            "rows_rejected": result.rows_rejected,
        }
        if result.status is not RunStatus.OK:
            troubled = [key for key in result.keys if key.status is not SyncKeyStatus.OK]
            told = [f"{key.name}: {key.error}" for key in troubled[:5]]
            outcome.error = result.trouble or "; ".join(told)
    return result


def _sync(
    store: Store,
    open_client: Callable[[], Client],
    encryption_keys: Sequence[str],
    request: SyncRequest,
    clock: Clock,
    on_progress: Callable[[SyncProgress], None],
) -> SyncResult:
    started_at = clock.monotonic()
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    selected = select_keys(keys, request.key_names)
    done: dict[int, tuple[SyncedKey, ...]] = {}
    rows_written = 0

    def note(key_id: int, *synced: SyncedKey) -> None:
        nonlocal rows_written
        done[key_id] = synced
        rows_written += sum(each.rows_written for each in synced)

    def tell_progress(keys_total: int) -> None:
        on_progress(SyncProgress(len(done), keys_total, rows_written))

    through_accounts = _sync_accounts(
        store, open_client, encryption_keys, request, clock, keys, selected, note
    )
    own = [key for key in selected if key.id not in through_accounts]
    tasks = _plan(store, own, encryption_keys, request, clock, note)
    key_count = len(done) + len(tasks)
    tell_progress(key_count)

    unknown = []
    for task, answer in _answers(tasks, open_client, request, clock):
        if isinstance(answer, ApiError):
            synced = _failed(task.key, task.since, str(answer), is_passing=answer.is_passing)
            _record_failure(store, task.key, synced)
            log.warning("%s", synced.error, extra={"job": Job.SYNC, "key": task.key.name})
        else:
            usage, seconds = answer
            synced = _write(store, task, usage, clock)
            if synced.status is SyncKeyStatus.FAILED:
                _record_failure(store, task.key, synced)
            _log_synced(synced, seconds)
            if isinstance(usage, CounterReading) and usage.facts and usage.facts.kind is KeyKind.MANAGEMENT:
                unknown.append(task)
        note(task.key.id, synced)
        tell_progress(key_count)
    for task in unknown:
        # It was added unchecked, and has just told what it is.
        from orwatch.jobs.sync.account import sync_account

        account = sync_account(store, open_client(), task.key, task.secret, request, clock)
        note(task.key.id, *account.keys)
    lost = [key for key in keys if key.inactive_reason is InactiveReason.INVALID]
    result = SyncResult(
        since=min((key.since for group in done.values() for key in group), default=request.since),
        until=request.until,
        keys=tuple(synced for key in keys for synced in done.get(key.id, ())),
        duration_seconds=clock.monotonic() - started_at,
        is_dry_run=request.is_dry_run,
        lost_keys=0 if done or request.key_names else len(lost),
    )
    if result.trouble is not None:
        log.warning("%s", result.trouble, extra={"job": Job.SYNC})
    return result


def _answers(
    tasks: Sequence[_Task], open_client: Callable[[], Client], request: SyncRequest, clock: Clock
) -> Iterator[tuple[_Task, tuple[UsageAnswer | CounterReading, float] | ApiError]]:
    """Each task with its answer and the seconds that it took, or with the error, as they come."""
    if not tasks:
        return
    client = open_client()

    def ask(task: _Task) -> tuple[UsageAnswer | CounterReading, float]:
        asked_at = clock.monotonic()
        answer = fetch(client, task.key, request.source, task.secret, task.since, task.until, clock.now())
        return answer, clock.monotonic() - asked_at

    yield from ask_concurrently(tasks, ask, request.concurrency)


def _sync_accounts(
    store: Store,
    open_client: Callable[[], Client],
    encryption_keys: Sequence[str],
    request: SyncRequest,
    clock: Clock,
    keys: Sequence[StoredKey],
    selected: Sequence[StoredKey],
    note: Callable[..., None],
) -> set[int]:
    """Sync the accounts of the management keys; the ids of all keys whose sync is done with that."""
    owners = [key for key in keys if key.is_management and key.is_active]
    if not owners:
        return set()
    from orwatch.domain.keys import has_own_source
    from orwatch.jobs.sync.account import sync_account

    listed_by = {key.listing.account_key_id for key in selected if key.listing and not has_own_source(key)}
    handled: set[int] = set()
    for owner in owners:
        if owner.id in handled or (owner not in selected and owner.id not in listed_by):
            continue
        try:
            secret = Vault(encryption_keys).open(owner.secret_encrypted or "")
        except EncryptionKeyError:
            continue  # told with those of the other keys
        account = sync_account(store, open_client(), owner, secret, request, clock)
        handled |= account.done_ids
        note(owner.id, *account.keys)
    return handled


def _plan(
    store: Store,
    keys: Sequence[StoredKey],
    encryption_keys: Sequence[str],
    request: SyncRequest,
    clock: Clock,
    note: Callable[..., None],
) -> list[_Task]:
    """What to ask with each key's own secret; of keys that cannot or need not be asked a note is made.

    Raises ``WrongClockError``.
    """
    with store.read() as connection:
        watermark = ledger.kept_from(connection) or date.min
    if clock.now().date() < watermark:
        # Then nothing would be asked for, and no answer could tell that the clock is wrong.
        raise WrongClockError(
            f"this machine's clock says {clock.now():%Y-%m-%d %H:%M} UTC, and cleanup has removed the days "
            f"before {watermark}: set it right. Nothing was written."
        )
    tasks = []
    failures: list[tuple[StoredKey, SyncedKey]] = []
    unopened: EncryptionKeyError | None = None
    vault = Vault(encryption_keys) if any(_has_secret(key) for key in keys) else None
    for key in keys:
        follows_from, since = _since(key, request)
        notes: tuple[str, ...] = ()
        if since < watermark:
            notes = (
                f"days before {watermark} were removed by cleanup: not asked for, nothing written there",
            )
            since = watermark
        if vault is None or not _has_secret(key):
            if request.key_names:
                why = key.inactive_reason or "known from a management key only, which could not be read"
                note(key.id, _failed(key, since, f"not asked: the key is {why}"))
        elif since > request.until:
            note(key.id, SyncedKey(key.name, SyncKeyStatus.OK, request.since, notes=notes))
        else:
            try:
                secret = vault.open(key.secret_encrypted or "")
            except EncryptionKeyError as error:
                unopened = error
                failures.append((key, _failed(key, since, str(error))))
            else:
                tasks.append(_Task(key, secret, since, request.until, follows_from, notes))
    if unopened is not None and not tasks:
        raise unopened
    for key, failed in failures:
        _record_failure(store, key, failed)
        note(key.id, failed)
    return tasks


def _has_secret(key: StoredKey) -> bool:
    """Whether the key is to be asked with a secret of its own."""
    return key.is_active and (key.secret_encrypted is not None or key.listing is None)


def _since(key: StoredKey, request: SyncRequest) -> tuple[date, date]:
    """The first day that is wanted for a key, and the first that can be asked for."""
    if not request.reaches_back or key.synced_through is None:
        return request.since, request.since
    wanted = min(request.since, key.synced_through)
    return wanted, max(wanted, last_days(request.until, MAX_SYNC_DAYS))


def _failed(key: StoredKey, since: date, error: str, *, is_passing: bool = False) -> SyncedKey:
    return SyncedKey(key.name, SyncKeyStatus.FAILED, since, error=error, is_passing=is_passing)


def _write(store: Store, task: _Task, answer: UsageAnswer | CounterReading, clock: Clock) -> SyncedKey:
    """Write one key's answer, or find out what writing it would do."""
    now = clock.now()

    def write(connection: Connection) -> SyncedKey:
        # As it stands now: a person may have removed it while it was asked about.
        key = stored_keys.find_by_hash(connection, task.key.key_hash)
        if key is None or key.removed_at is not None:
            notes = (*task.notes, "the key was removed meanwhile: nothing written")
            return SyncedKey(task.key.name, SyncKeyStatus.OK, task.since, notes=notes)
        if isinstance(answer, CounterReading):
            return _write_counters(connection, task, key, answer, now)
        return _write_usage(connection, task, key, answer, now)

    try:
        return store.run_write(write)
    except StoreUnavailableError as store_error:
        return _failed(task.key, task.since, str(store_error), is_passing=True)


def _write_usage(
    connection: Connection, task: _Task, key: StoredKey, answer: UsageAnswer, now: datetime
) -> SyncedKey:
    misfits = [row for row in answer.rejected if not row.is_outside_window]
    error = told_rejections(misfits) if misfits else None
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
        notes = (*notes, f"left out {len(answer.rejected)} rows of days that were not asked for")
    return _synced(
        task,
        counts,
        SyncKeyStatus.PARTIAL if misfits else SyncKeyStatus.OK,
        rejected=len(answer.rejected),
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
        notes = (
            *notes,
            "its counters went down (reset, or another key's): what was spent before today since the last "
            "sync cannot be told",
        )
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


def _record_failure(store: Store, key: StoredKey, synced: SyncedKey) -> None:
    error = synced.error
    if error is None:
        return
    try:
        store.run_write(lambda connection: stored_keys.record_sync_failure(connection, key.id, error))
    except StoreUnavailableError as trouble:
        log.warning("%s", trouble, extra={"job": Job.SYNC, "key": key.name})


def _log_synced(synced: SyncedKey, seconds: float) -> None:
    extra = {"job": Job.SYNC, "key": synced.name, "duration_seconds": round(seconds, 3)}
    if synced.error is not None:
        log.warning("%s", synced.error, extra=extra)
    for note in synced.notes:
        log.info("%s", note, extra=extra)
    if synced.status is not SyncKeyStatus.FAILED:
        log.info(
            "%d rows written, %d unchanged, %d removed, %d rejected",
            synced.rows_written,
            synced.rows_unchanged,
            synced.rows_removed,
            synced.rows_rejected,
            extra=extra,
        )
