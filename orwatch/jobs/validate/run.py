"""Validate: ask about every key, deactivate the really invalid ones, refresh what is known of the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey, expiry_warning
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import ApiError, EncryptionKeyError, KeyRejectedError
from orwatch.jobs.key.selection import check_names, select_keys
from orwatch.jobs.runs.recorded import RunOptions, recorded_run
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.secrets import Vault
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# Good keys get a 401 now and then, in passing: the second question comes at the end of the run, and in a
# run so short that its end is now, after this long.
SECOND_QUESTION_AFTER_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    key: StoredKey
    secret: str


def run(
    store: Store,
    open_client: Callable[[], Client],
    encryption_keys: Sequence[str],
    clock: Clock,
    *,
    key_names: Sequence[str] = (),
    concurrency: int = 8,
    options: RunOptions | None = None,
) -> ValidateResult:
    """Ask about every key that is active or that an earlier validate deactivated.

    A key that is answered 401 twice is deactivated; one that validate had deactivated and that is answered
    200 becomes active again. Any other answer changes nothing. ``open_client`` is called once, or never where
    there is nothing to ask. Raises ``UsageError``, ``EncryptionKeyError`` when none of the secrets can be
    opened, ``LockHeldError``, ``StoreUnusableError``, ``StoreUnavailableError``, and what ``open_client``
    does.
    """
    check_names(store, key_names)
    with recorded_run(store, Job.VALIDATE, clock, options, is_whole=not key_names) as outcome:
        result = _validate(store, open_client, encryption_keys, clock, key_names, concurrency)
        outcome.status = result.status
        outcome.counts = {verdict.value: result.count(verdict) for verdict in Verdict}
        if result.status is not RunStatus.OK:
            troubled = [key for key in result.keys if key.verdict in {Verdict.INVALID, Verdict.UNKNOWN}]
            outcome.error = "; ".join(f"{key.name}: {key.detail}" for key in troubled[:5])
    return result


def _validate(
    store: Store,
    open_client: Callable[[], Client],
    encryption_keys: Sequence[str],
    clock: Clock,
    key_names: Sequence[str],
    concurrency: int,
) -> ValidateResult:
    started_at = clock.monotonic()
    with store.read() as connection:
        keys = select_keys(stored_keys.list_keys(connection), key_names)
    done: dict[int, ValidatedKey] = {}
    tasks = _plan(keys, encryption_keys, done)
    if tasks:
        _ask_all(store, open_client(), tasks, concurrency, clock, done)
    for validated in done.values():
        _log_validated(validated)
    return ValidateResult(
        keys=tuple(done[key.id] for key in keys if key.id in done),
        duration_seconds=clock.monotonic() - started_at,
    )


def _ask_all(
    store: Store,
    client: Client,
    tasks: Sequence[_Task],
    concurrency: int,
    clock: Clock,
    done: dict[int, ValidatedKey],
) -> None:
    """Ask about each key, a second time where it was refused, and put what came of it into ``done``."""

    def ask(task: _Task) -> KeyFacts:
        return fetch_key_facts(client, task.secret)

    def conclude(task: _Task, answer: KeyFacts | ApiError) -> None:
        validated = _conclude(store, task.key, answer, clock)
        if validated is not None:
            done[task.key.id] = validated

    doubtful = []
    for task, answer in ask_concurrently(tasks, ask, concurrency):
        if isinstance(answer, KeyRejectedError):
            doubtful.append(task)
        else:
            conclude(task, answer)
    if doubtful:
        clock.sleep(SECOND_QUESTION_AFTER_SECONDS)
    for task, answer in ask_concurrently(doubtful, ask, concurrency):
        conclude(task, answer)


def _plan(
    keys: Sequence[StoredKey], encryption_keys: Sequence[str], done: dict[int, ValidatedKey]
) -> list[_Task]:
    """The keys to ask about; those whose secret cannot be opened go to ``done``."""
    wanted = [
        key
        for key in keys
        # What a management key has told of is not asked without a secret.
        if key.inactive_reason is not InactiveReason.DISABLED and (key.secret_encrypted or not key.listing)
    ]
    if not wanted:
        return []
    vault = Vault(encryption_keys)
    tasks = []
    unopened: EncryptionKeyError | None = None
    for key in wanted:
        try:
            tasks.append(_Task(key, vault.open(key.secret_encrypted or "")))
        except EncryptionKeyError as error:
            unopened = error
            done[key.id] = ValidatedKey(key.name, Verdict.UNKNOWN, str(error), needs_person=True)
    if unopened is not None and not tasks:
        raise unopened
    return tasks


def _conclude(store: Store, key: StoredKey, answer: KeyFacts | ApiError, clock: Clock) -> ValidatedKey | None:
    """Store what the last answer about a key means; None for a key that is no longer to be asked about."""
    now = clock.now()
    if isinstance(answer, ApiError) and not isinstance(answer, KeyRejectedError):
        return ValidatedKey(key.name, Verdict.UNKNOWN, str(answer), is_passing=answer.is_passing)
    with store.write() as connection:
        # As it stands now: a person may have disabled, enabled or removed it while it was asked about.
        current = stored_keys.find_by_hash(connection, key.key_hash)
        if (
            current is None
            or current.removed_at is not None
            or current.inactive_reason is InactiveReason.DISABLED
        ):
            return None
        if isinstance(answer, KeyRejectedError):
            stored_keys.record_check(connection, current.id, now)
            if current.is_active:
                stored_keys.set_inactive(connection, current.id, InactiveReason.INVALID, now)
            was = "deactivated" if current.is_active else "still inactive"
            return ValidatedKey(key.name, Verdict.INVALID, f"{was}, refused twice: {answer}")
        stored_keys.record_facts(connection, current.id, answer, now)
        if answer.kind is KeyKind.MANAGEMENT:
            # The next sync shall see anew what the server has.
            accounts.update_account(
                connection, current.id, activity_missing_at=None, analytics_missing_at=None
            )
        if not current.is_active:
            stored_keys.set_active(connection, current.id)
    verdict = Verdict.VALID if current.is_active else Verdict.REACTIVATED
    return ValidatedKey(key.name, verdict, warning=expiry_warning(answer.expires_at, now))


def _log_validated(validated: ValidatedKey) -> None:
    extra = {"job": Job.VALIDATE, "key": validated.name}
    if validated.verdict is Verdict.INVALID:
        log.warning("invalid: %s", validated.detail, extra=extra)
    elif validated.verdict is Verdict.UNKNOWN:
        log.info("could not tell: %s", validated.detail, extra=extra)
    else:
        log.info("%s", validated.verdict.value, extra=extra)
    if validated.warning:
        log.warning("%s", validated.warning, extra=extra)
