"""A large account for the first time and again: 1,000 keys and a year each, 2.5 million rows."""

from __future__ import annotations

from tests.bench import account
from tests.bench.measure import Options, Row

_KEYS, _MODELS, _DAYS = 1_000, 7, 365


def measure(options: Options) -> list[Row]:
    """The processor time of a first sync and of one right after it, and what they take of memory."""
    first, later, memory_mb = account.synced(options, options.scaled(_KEYS), (_MODELS, _DAYS))
    return [
        Row("first sync of an account of 1,000 keys, 2.5 million rows", 60, first),
        Row("memory of that", 150, memory_mb, "MB"),
        Row("hourly sync of 1,000 keys, nothing new, without start-up", 1, later),
    ]
