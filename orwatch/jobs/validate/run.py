"""Validate: ask about every key, deactivate the invalid ones, refresh what is stored of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.runs import Job
from orwatch.errors import ApiError, KeyRejectedError
from orwatch.jobs.key.selection import check_names, select_keys
from orwatch.jobs.runs.recorded import RunOptions, first_errors, recorded_run
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.secrets import Vault
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# Good keys are refused now and then: the second question comes at the end of the run, after this long.
SECOND_QUESTION_AFTER_SECONDS = 2.0

log = logging.getLogger(__name__)


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
        outcome.error = first_errors(
            (key.name, key.detail) for key in result.keys if key.verdict in {Verdict.INVALID, Verdict.UNKNOWN}
        )
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
    tokens = {key.id: key.secret_encrypted for key in keys if _is_asked_about(key)}
    secrets, unopened = Vault(encryption_keys).open_all(tokens) if tokens else ({}, {})
    done = {
        key.id: ValidatedKey(key.name, Verdict.UNKNOWN, str(unopened[key.id]), needs_person=True)
        for key in keys
        if key.id in unopened
    }
    asked = [key for key in keys if key.id in secrets]
    if asked:
        client = open_client()

        def ask(key: StoredKey) -> KeyFacts:
            return fetch_key_facts(client, secrets[key.id])

        for key, answer in _ask_twice(asked, ask, concurrency, clock):
            validated = _conclude(store, key, answer, clock)
            if validated is not None:
                done[key.id] = validated
    for validated in done.values():
        _log_validated(validated)
    return ValidateResult(
        keys=tuple(done[key.id] for key in keys if key.id in done),
        duration_seconds=clock.monotonic() - started_at,
    )


def _is_asked_about(key: StoredKey) -> bool:
    """Not what a person disabled, and not what only a management key lists."""
    is_disabled = key.inactive_reason is InactiveReason.DISABLED
    return not is_disabled and (key.secret_encrypted is not None or key.listing is None)


def _ask_twice(
    keys: Sequence[StoredKey], ask: Callable[[StoredKey], KeyFacts], concurrency: int, clock: Clock
) -> Iterator[tuple[StoredKey, KeyFacts | ApiError]]:
    """Each key with its answer; a key that is refused is asked about once more, at the end."""
    refused = []
    for key, answer in ask_concurrently(keys, ask, concurrency):
        if isinstance(answer, KeyRejectedError):
            refused.append(key)
        else:
            yield key, answer
    if refused:
        clock.sleep(SECOND_QUESTION_AFTER_SECONDS)
    yield from ask_concurrently(refused, ask, concurrency)


def _conclude(store: Store, key: StoredKey, answer: KeyFacts | ApiError, clock: Clock) -> ValidatedKey | None:
    """Store what the last answer about a key means; None for a key that is no longer to be asked about."""
    now = clock.now()
    if isinstance(answer, ApiError) and not isinstance(answer, KeyRejectedError):
        return ValidatedKey(key.name, Verdict.UNKNOWN, str(answer), is_passing=answer.is_passing)
    with store.write() as connection:
        # As it is stored now: it may have been disabled, enabled or removed while it was asked about.
        current = stored_keys.find_by_hash(connection, key.key_hash)
        if current is None or current.is_removed or current.inactive_reason is InactiveReason.DISABLED:
            return None
        if isinstance(answer, KeyRejectedError):
            stored_keys.record_check(connection, current.id, now)
            if current.is_active:
                stored_keys.set_inactive(connection, current.id, InactiveReason.INVALID, now)
            was = "deactivated" if current.is_active else "still inactive"
            return ValidatedKey(key.name, Verdict.INVALID, f"{was}, refused twice: {answer}")
        stored_keys.record_facts(connection, current.id, answer, now)
        if answer.kind is KeyKind.MANAGEMENT:
            # The next sync asks again for endpoints that were missing.
            accounts.update_account(
                connection, current.id, activity_missing_at=None, analytics_missing_at=None
            )
        if not current.is_active:
            stored_keys.set_active(connection, current.id)
    verdict = Verdict.VALID if current.is_active else Verdict.REACTIVATED
    return ValidatedKey(key.name, verdict, warning=answer.expiry_warning(now))


def _log_validated(validated: ValidatedKey) -> None:
    extra = {"key": validated.name}
    if validated.verdict is Verdict.INVALID:
        log.warning("invalid: %s", validated.detail, extra=extra)
    elif validated.verdict is Verdict.UNKNOWN:
        log.info("could not tell: %s", validated.detail, extra=extra)
    else:
        log.info("%s", validated.verdict.value, extra=extra)
    if validated.warning:
        log.warning("%s", validated.warning, extra=extra)
