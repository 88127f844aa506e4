"""Which endpoint answers for which key.

``GET /usage`` reports days and models, where a server has it. Elsewhere the counters of ``GET /key`` show
what the days cost.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, EndpointMissingError, UnexpectedAnswerError
from orwatch.openrouter.parse import parse_key, parse_usage

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# How long it is believed that a server has no ``/usage``, if validate does not make sync ask before.
_ASK_AGAIN_AFTER = timedelta(days=1)


def fetch_key_facts(client: Client, secret: str) -> KeyFacts:
    """What ``GET /key`` reports about the key that asks; on 404 what ``GET /auth/key`` does.

    Raises ``ApiError``.
    """
    return _fetch_dated_facts(client, secret)[0]


def fetch(
    client: Client,
    key: StoredKey,
    setting: UsageSource | None,
    secret: str,
    since: date,
    until: date,
    now: datetime,
) -> UsageAnswer | CounterReading:
    """The usage of a key from the source that is set, or from the best that answers.

    ``setting`` None: ``/usage`` is asked first; once it has answered 404, only every day anew. Raises
    ``ApiError``.
    """
    source = key.source_setting or setting
    if source is None and _lacks_usage(key, now):
        source = UsageSource.COUNTERS
    if source is UsageSource.COUNTERS:
        return fetch_counters(client, secret)
    if source in {UsageSource.ACTIVITY, UsageSource.ANALYTICS}:
        raise ApiError(
            f"its source is set to {source}, which only a management key of its account can read: add one"
        )
    try:
        return fetch_usage(client, secret, since, until)
    except EndpointMissingError:
        if source is not None:
            raise
        return fetch_counters(client, secret)


def fetch_usage(client: Client, secret: str, since: date, until: date) -> UsageAnswer:
    """``GET /usage`` for the days ``since`` to ``until``, both inclusive. Raises ``ApiError``."""
    params = {"start_date": since.isoformat(), "end_date": until.isoformat()}
    return parse_usage(client.get("/usage", secret, params), since, until)


def fetch_counters(client: Client, secret: str) -> CounterReading:
    """The counters of ``GET /key``. Raises ``ApiError``, ``UnexpectedAnswerError`` when they are missing."""
    facts, answered_at = _fetch_dated_facts(client, secret)
    # The server's day, not ours: the counters begin theirs when its clock says so.
    reading = counters_of(facts, answered_at.date())
    if reading is None:
        raise UnexpectedAnswerError("GET /key does not report the counters usage and usage_daily")
    return reading


def counters_of(facts: KeyFacts, day: date) -> CounterReading | None:
    """The counters that an answer of that day has of a key; None where it has none."""
    if facts.usage_usd is None or facts.usage_daily_usd is None:
        return None
    return CounterReading(
        day, facts.usage_usd, facts.usage_daily_usd, facts.byok_usage_usd, facts.byok_usage_daily_usd, facts
    )


def _lacks_usage(key: StoredKey, now: datetime) -> bool:
    return (
        key.source is UsageSource.COUNTERS
        and key.source_checked_at is not None
        and now - key.source_checked_at < _ASK_AGAIN_AFTER
    )


def _fetch_dated_facts(client: Client, secret: str) -> tuple[KeyFacts, datetime]:
    path = client.key_path
    try:
        body, answered_at = client.get_dated(path, secret)
    except EndpointMissingError:
        client.key_path = "/auth/key" if path == "/key" else "/key"
        body, answered_at = client.get_dated(client.key_path, secret)
    return parse_key(body), answered_at
