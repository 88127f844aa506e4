"""Which endpoint answers for which kind of key.

A source is a function that asks the API for a window of days of one key. ``choose_source`` is the place
where further kinds of keys and servers get theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TypeAlias

from orwatch.errors import EndpointMissingError
from orwatch.models import KeyFacts, StoredKey, UsageAnswer, UsageSource
from orwatch.openrouter.client import Client
from orwatch.openrouter.parse import parse_key, parse_usage

Source: TypeAlias = Callable[[Client, str, date, date], UsageAnswer]


def fetch_key_facts(client: Client, secret: str) -> KeyFacts:
    """What ``GET /key`` tells about the key that asks; on 404 what ``GET /auth/key`` does.

    Raises ``ApiError``.
    """
    try:
        body = client.get("/key", secret)
    except EndpointMissingError:
        body = client.get("/auth/key", secret)
    return parse_key(body)


def choose_source(key: StoredKey) -> Source:
    """The source for a key: so far ``GET /usage``, whatever ``key.facts.kind`` is."""
    return _SOURCES[key.source or UsageSource.USAGE]


def fetch_usage(client: Client, secret: str, since: date, until: date) -> UsageAnswer:
    """``GET /usage`` for the days ``since`` to ``until``, both inclusive. Raises ``ApiError``."""
    params = {"start_date": since.isoformat(), "end_date": until.isoformat()}
    try:
        return parse_usage(client.get("/usage", secret, params), since, until)
    except EndpointMissingError as error:
        raise EndpointMissingError(
            f"{error}. This server does not serve /usage, the one endpoint that this version reads.",
            error.status,
        ) from error


_SOURCES: dict[UsageSource, Source] = {UsageSource.USAGE: fetch_usage}
