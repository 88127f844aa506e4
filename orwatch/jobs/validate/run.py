"""Validate: ask about every key, deactivate the invalid ones, refresh what is stored of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.runs import Job
from orwatch.errors import ApiError, KeyRejectedError
from orwatch.jobs.key.secrets import open_secrets
from orwatch.jobs.key.selection import check_names, select_keys
from orwatch.jobs.runs.outage import without_outage
from orwatch.jobs.runs.recorded import RunOptions, recorded_run, run_error
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.openrouter.fan_out import ask_twice
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.secrets import Keyring
from orwatch.store import runs
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# So many keys refused at once, and none accepted, are more often the API's trouble than theirs.
_MANY_KEYS = 3

# Among so many of the latest runs is one of all keys; the others are of single keys.
_RUNS_LOOKED_AT = 200

_DOUBTED_FOR = timedelta(days=1)

# To run it again at once is no second opinion.
_SECOND_OPINION_AFTER = timedelta(hours=1)

# In the counts of a run that found it so.
_ALL_REFUSED = "all_refused"

log = logging.getLogger(__name__)


def run(
    store: Store,
    open_client: Callable[[], Client],
    keyring: Keyring,
    clock: Clock,
    *,
    key_names: Sequence[str] = (),
    concurrency: int = 8,
    refusal_wait_seconds: float = 30.0,
    on_refused: Callable[[int], None] = lambda _keys: None,
    options: RunOptions | None = None,
) -> ValidateResult:
    """Ask about every key that is active or that an earlier validate deactivated.

    A key that is answered 401 twice, ``refusal_wait_seconds`` apart at least, is deactivated; one that
    validate had deactivated and that is answered 200 becomes active again. Any other answer changes nothing.
    Three keys or more that are refused while none is accepted stay active, unless a run of all keys found it
    so an hour ago or earlier, and none otherwise since. ``on_refused`` gets the number of keys to ask about
    again, before the wait. ``open_client`` is called once, or never where there is nothing to ask. Raises
    ``UsageError``, ``EncryptionKeyError`` when none of the secrets can be opened, ``LockHeldError``,
    ``StoreUnusableError``, ``StoreUnavailableError``, and what ``open_client`` does.
    """

    def wait(keys: int) -> None:
        on_refused(keys)
        clock.sleep(refusal_wait_seconds)

    check_names(store, key_names)
    with recorded_run(store, Job.VALIDATE, clock, options, is_whole=not key_names) as outcome:
        result = _validate(store, open_client, keyring, clock, wait, key_names, concurrency)
        outcome.status = result.status
        outcome.counts = {verdict.value: result.count(verdict) for verdict in Verdict}
        if result.is_all_refused:
            outcome.counts[_ALL_REFUSED] = 1
        outcome.error = run_error(
            result.trouble,
            (
                (key.name, key.detail)
                for key in without_outage(result.keys, result.outage)
                if key.verdict in {Verdict.INVALID, Verdict.UNKNOWN}
            ),
        )
    return result


def _validate(
    store: Store,
    open_client: Callable[[], Client],
    keyring: Keyring,
    clock: Clock,
    wait: Callable[[int], None],
    key_names: Sequence[str],
    concurrency: int,
) -> ValidateResult:
    """``wait`` gets the number of keys that were refused, before these are asked about again."""
    started_at = clock.monotonic()
    with store.read() as connection:
        keys = select_keys(stored_keys.list_with_old_secrets(connection), key_names)
    secrets, unopened = open_secrets(store, keyring, [key for key in keys if _is_asked_about(key)])
    done: dict[int, ValidatedKey | None] = {
        key.id: ValidatedKey(key.name, Verdict.UNKNOWN, str(unopened[key.id]), needs_person=True)
        for key in keys
        if key.id in unopened
    }
    asked = [key for key in keys if key.id in secrets]
    is_all_refused = False
    if asked:
        client = open_client()

        def ask(key: StoredKey) -> KeyFacts:
            return fetch_key_facts(client, secrets[key.id])

        refused: list[tuple[StoredKey, KeyRejectedError]] = []
        knows_a_key = False
        for key, answer in ask_twice(asked, ask, concurrency, wait, lambda key: key.is_active):
            if isinstance(answer, KeyRejectedError) and key.is_active:
                refused.append((key, answer))
                continue
            knows_a_key |= not isinstance(answer, ApiError) or not (
                answer.is_passing or isinstance(answer, KeyRejectedError)
            )
            done[key.id] = _conclude(store, key, answer, clock)
        is_all_refused = (
            len(refused) >= _MANY_KEYS and not knows_a_key and not _was_all_refused(store, clock.now())
        )
        for key, refusal in refused:
            if is_all_refused:
                detail = f"not deactivated, though refused twice: {refusal}"
                done[key.id] = ValidatedKey(key.name, Verdict.UNKNOWN, detail, needs_person=True)
            else:
                done[key.id] = _conclude(store, key, refusal, clock)
    result = ValidateResult(
        # What is known of a key is what its present secret is told.
        keys=tuple(found for key in keys if not key.is_replaced and (found := done.get(key.id)) is not None),
        duration_seconds=clock.monotonic() - started_at,
        is_all_refused=is_all_refused,
    )
    for validated in without_outage(result.keys, result.outage):
        _log_validated(validated, is_whole=not key_names)
    if result.trouble is not None:
        log.warning("%s", result.trouble)
    return result


def _was_all_refused(store: Store, now: datetime) -> bool:
    """Whether the runs of all keys found them all refused for an hour; this run is the latest recorded."""
    with store.read() as connection:
        earlier = runs.list_runs(connection, Job.VALIDATE, _RUNS_LOOKED_AT)[1:]
    whole = (run for run in earlier if run.slot is not None)
    refused = takewhile(lambda run: _ALL_REFUSED in run.counts, whole)
    return any(now - run.started_at >= _SECOND_OPINION_AFTER for run in refused)


def recently_deactivated(store: Store, now: datetime) -> tuple[str, ...]:
    """The names of the keys that validate deactivated within the last day, to be asked about again."""
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    return tuple(
        key.name
        for key in keys
        if key.inactive_reason is InactiveReason.INVALID
        and key.inactive_since is not None
        and now - key.inactive_since < _DOUBTED_FOR
    )


def _is_asked_about(key: StoredKey) -> bool:
    """Not what a person disabled, and not what only a management key lists."""
    is_disabled = key.inactive_reason is InactiveReason.DISABLED
    return not is_disabled and (key.secret_encrypted is not None or key.listing is None)


def _conclude(store: Store, key: StoredKey, answer: KeyFacts | ApiError, clock: Clock) -> ValidatedKey | None:
    """Store what the last answer about a key means; None for a key that is no longer to be asked about."""
    now = clock.now()
    if isinstance(answer, ApiError) and not isinstance(answer, KeyRejectedError):
        return ValidatedKey(
            key.name, Verdict.UNKNOWN, str(answer), is_passing=answer.is_passing, outage=answer.outage
        )
    with store.write() as connection:
        # As it is stored now: it may have been disabled, enabled or removed while it was asked about.
        current = stored_keys.find_by_hash(connection, key.key_hash)
        if current is None or current.is_removed or current.inactive_reason is InactiveReason.DISABLED:
            return None
        if current.is_replaced and isinstance(answer, KeyRejectedError):
            # That was to be expected.
            stored_keys.forget_old_secret(connection, current.id)
            log.info("its replaced secret %s is refused: forgotten", key.hint, extra={"key": key.name})
            return None
        if isinstance(answer, KeyRejectedError):
            stored_keys.record_check(connection, current.id, now)
            if current.is_active:
                stored_keys.set_inactive(connection, current.id, InactiveReason.INVALID, now)
            was = "deactivated" if current.is_active else "still inactive"
            times = "twice" if key.is_active else "again"
            detail = f"{was}, refused {times}: {answer}"
            return ValidatedKey(key.name, Verdict.INVALID, detail, was_inactive=not current.is_active)
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


def _log_validated(validated: ValidatedKey, *, is_whole: bool) -> None:
    extra = {"key": validated.name}
    if validated.verdict is Verdict.INVALID:
        # What a run of all keys has said before needs no warning each time that the key is looked at.
        is_news = is_whole or not validated.was_inactive
        log.log(logging.WARNING if is_news else logging.INFO, "invalid: %s", validated.detail, extra=extra)
    elif validated.verdict is Verdict.UNKNOWN:
        log.info("could not tell: %s", validated.detail, extra=extra)
    else:
        log.info("%s", validated.verdict.value, extra=extra)
