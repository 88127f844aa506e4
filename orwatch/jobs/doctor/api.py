"""Doctor's questions to the API: does it answer, what is its time, and what does it report of each key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from orwatch.clock import Clock
from orwatch.domain.keys import Credits, KeyFacts, KeyKind, ListedKey, StoredKey
from orwatch.errors import ApiError, KeyRejectedError, UnexpectedAnswerError, WrongClockError
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus
from orwatch.jobs.key.problems import REFUSED, SUCCESSOR, problem_of
from orwatch.jobs.runs.outage import ADVICE
from orwatch.openrouter.account import NO_SECRET, AccountListing, fetch_credits, fetch_listing
from orwatch.openrouter.fan_out import ask_twice
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.openrouter.values import load_json
from orwatch.text import counted

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


_AREA = CheckArea.API

SECOND_QUESTION_AFTER_SECONDS = 2.0

_API = "API"
_SET_CLOCK = "Set the clock, and let NTP keep it (`timedatectl set-ntp true`)."

_LARGEST_SKEW = timedelta(minutes=2)

# 402: no credit left. 403: it may not do this. Both say that the key itself is known.
_KNOWN_KEY_STATUSES = frozenset({402, 403})

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Reported:
    """What the API reported: of keys and of accounts, by the ids of the keys and of the management keys.

    ``server_now`` None: it did not report its time.
    """

    checks: tuple[Check, ...]
    facts: Mapping[int, KeyFacts] = field(default_factory=dict)
    credits: Mapping[int, Credits | ApiError] = field(default_factory=dict)
    server_now: datetime | None = None


def ask(
    client: Client,
    keys: Sequence[StoredKey],
    secrets: Mapping[int, str],
    clock: Clock,
    concurrency: int,
    on_asking: Callable[[int], None] = lambda _requests: None,
) -> Reported:
    """Ask about every active key: the keys of an account by its list, the others with their own secrets.

    ``on_asking`` gets the number of keys that are asked about one by one. A failed request raises nothing.
    """
    reached, server_now = _reach(client, next(iter(secrets.values()), NO_SECRET), clock)
    if server_now is None and any(check.status is CheckStatus.FINDING for check in reached):
        skipped = _AREA.skipped("keys", f"not asked about: see {reached[-1].subject}")
        return Reported((*reached, skipped))
    askable = [key for key in keys if key.is_active and key.id in secrets]
    owners = [key for key in askable if key.is_management]

    def wait(_questions: int) -> None:
        clock.sleep(SECOND_QUESTION_AFTER_SECONDS)

    def ask_account(owner: StoredKey) -> _Account:
        return _ask_account(client, secrets[owner.id])

    def ask_key(key: StoredKey) -> KeyFacts:
        return fetch_key_facts(client, secrets[key.id])

    accounts = {owner.id: answer for owner, answer in ask_twice(owners, ask_account, concurrency, wait)}
    reported = {key_id: account for key_id, account in accounts.items() if not isinstance(account, ApiError)}
    by_hash = {key.key_hash: key for account in reported.values() for key in account.listing.keys}
    listed = {key.id: by_hash[key.key_hash] for key in keys if key.key_hash in by_hash}
    own = [key for key in askable if not key.is_management and key.id not in listed]
    on_asking(len(own))
    answers = {key.id: answer for key, answer in ask_twice(own, ask_key, concurrency, wait)}
    now = clock.now()

    def check(key: StoredKey) -> Check:
        if key.id in accounts:
            return _account_check(key, accounts[key.id])
        if key.id in answers:
            return _own_check(key, answers[key.id], now)
        return _listed_check(key, listed[key.id], now) if key.id in listed else _unasked(key, reported)

    facts = {key_id: each.facts for key_id, each in listed.items()}
    facts |= {key_id: each for key_id, each in answers.items() if not isinstance(each, ApiError)}
    return Reported(
        (*reached, *map(check, keys)),
        facts,
        {key_id: account.credits for key_id, account in reported.items()},
        server_now,
    )


def _reach(client: Client, secret: str, clock: Clock) -> tuple[list[Check], datetime | None]:
    """Whether the API answers at all, and whether its clock and ours agree."""
    answered_at, strange = None, None
    questions = ("/models",) if secret == NO_SECRET else ("/key", "/models")
    for path in questions:
        try:
            body, answered_at = client.get_dated(path, secret)
            strange = _strangeness(body)
            if strange is None:
                break
        except WrongClockError as error:
            return [
                _AREA.ok(_API, "answers"),
                _AREA.finding("clock", str(error), _SET_CLOCK),
            ], None
        except ApiError as error:
            if error.is_passing or error.status is None:
                return [_AREA.finding(_API, error.outage or f"does not answer: {error}", ADVICE)], None
    if strange is not None:
        return [_AREA.finding(_API, f"what answers is no API: {strange}", ADVICE)], None
    checks = [_AREA.ok(_API, "answers")]
    # A server that sends no Date is given our own time, which has fractions of seconds; HTTP's has none.
    if answered_at is None or answered_at.microsecond:
        return [*checks, _AREA.unknown("clock", "the API does not report its time")], None
    return [*checks, _clock_check(clock.now(), answered_at)], answered_at


def _strangeness(body: bytes) -> UnexpectedAnswerError | None:
    """What makes an answer none of an API's: that of a web page, or of a network that wants a login."""
    try:
        load_json(body)
    except UnexpectedAnswerError as error:
        return error
    return None


def _clock_check(now: datetime, server_now: datetime) -> Check:
    skew = now - server_now
    if abs(skew) <= _LARGEST_SKEW:
        return _AREA.ok("clock", "agrees with the API's within two minutes")
    direction = "ahead of" if skew > timedelta(0) else "behind"
    minutes = int(abs(skew).total_seconds() // 60)
    length = f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
    return _AREA.finding("clock", f"this machine's clock is {length} {direction} the API's", _SET_CLOCK)


@dataclass(frozen=True, slots=True)
class _Account:
    """What a management key reported of its account."""

    listing: AccountListing
    credits: Credits | ApiError


def _ask_account(client: Client, secret: str) -> _Account:
    listing = fetch_listing(client, secret)
    try:
        return _Account(listing, fetch_credits(client, secret))
    except ApiError as error:
        return _Account(listing, error)


def _account_check(owner: StoredKey, account: _Account | ApiError) -> Check:
    if not isinstance(account, ApiError):
        return _AREA.ok(
            owner.name, f"management key; its account has {counted(len(account.listing.keys), 'key')}"
        )
    if account.status == 403:
        return _AREA.finding(
            owner.name,
            f"is not a management key any more: {account}",
            "Add one that is, and remove this one: until then the keys of its account are not read.",
        )
    return _failed(owner, account)


def _own_check(key: StoredKey, answer: KeyFacts | ApiError, now: datetime) -> Check:
    if isinstance(answer, ApiError):
        return _failed(key, answer)
    problem = problem_of(answer, now, has_secret=True)
    if problem is not None:
        return _AREA.finding(key.name, problem.message, f"{problem.advice}.")
    is_new = answer.kind is KeyKind.MANAGEMENT and not key.is_management
    return _AREA.ok(
        key.name, f"{answer.kind} key, good{': the next sync reads its account' if is_new else ''}"
    )


def _failed(key: StoredKey, error: ApiError) -> Check:
    if isinstance(error, KeyRejectedError):
        return _AREA.finding(
            key.name,
            f"{REFUSED.message}, asked twice: {error}",
            f"{SUCCESSOR}; `orwatch validate` deactivates this one.",
        )
    if error.status in _KNOWN_KEY_STATUSES:
        return _AREA.ok(key.name, f"good, but it may not ask about itself: {error}")
    if error.is_passing:
        return _AREA.unknown(key.name, f"could not be asked about: {error}")
    advice = (
        "Is ORWATCH_OPENROUTER_API_URL the address of OpenRouter, or of a server that answers as it does?"
    )
    return _AREA.finding(key.name, f"could not be asked about: {error}", advice)


def _listed_check(key: StoredKey, listed: ListedKey, now: datetime) -> Check:
    if listed.is_disabled:
        return _AREA.ok(key.name, "inference key, disabled at OpenRouter")
    problem = problem_of(listed.facts, now, has_secret=key.secret_encrypted is not None)
    if problem is not None:
        return _AREA.finding(key.name, problem.message, f"{problem.advice}.")
    return _AREA.ok(key.name, "inference key, listed by its account")


def _unasked(key: StoredKey, listing_owners: Collection[int]) -> Check:
    if not key.is_active:
        why = f"not asked about: {key.inactive_reason or 'inactive'}"
    elif key.listing is not None and key.listing.account_key_id in listing_owners:
        why = "its account does not list it any more: the next sync records it as deleted"
    elif key.listing is not None:
        why = "not asked about: its account's keys could not be listed"
    else:
        why = "not asked about: its secret cannot be opened"
    return _AREA.skipped(key.name, why)
