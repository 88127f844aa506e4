"""What the tests of several rooms share: a clock that is told the time, and rows in a few words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, settings

from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
TODAY = NOW.date()
SECRET = "sk-or-v1-" + "0123456789abcdef" * 3 + "a29f"
API_URL = "https://openrouter.example/api/v1"

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


class FakeClock:
    """A clock that moves only when somebody sleeps on it or advances it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.current = now
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.current

    def monotonic(self) -> float:
        return (self.current - NOW).total_seconds()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.current += timedelta(seconds=seconds)

    def advance(self, **parts: float) -> None:
        self.current += timedelta(**parts)


def secret_of(name: str) -> str:
    """A secret of its own for each name of a key."""
    return f"sk-or-v1-{sha256(name.encode()).hexdigest()}"


def no_limit() -> Callable[[], None]:
    """A rate limit that lets everything through."""
    return lambda: None


def usage_row(
    day: date = TODAY,
    model: str | None = "openai/gpt-4.1",
    *,
    provider: str | None = None,
    requests: int | None = 5,
    tokens_input: int | None = 50,
    tokens_output: int | None = 125,
    cost: str = "0.015",
) -> UsageRow:
    return UsageRow(day, model, provider, requests, tokens_input, tokens_output, Decimal(cost))


def usage_answer(
    *rows: UsageRow, since: date | None = None, until: date | None = None, **others: object
) -> UsageAnswer:
    """An answer with these rows; its window is theirs unless told otherwise."""
    days = [row.day for row in rows] or [TODAY]
    ordered = tuple(sorted(rows, key=lambda row: (row.day, row.model or "", row.provider or "")))
    return UsageAnswer(
        UsageSource.USAGE,
        since or min(days),
        until or max(days),
        ordered,
        **others,  # type: ignore[arg-type]
    )


def stored_key(**others: object) -> StoredKey:
    """An active key that was just added; what is told otherwise is otherwise."""
    values = dict.fromkeys(StoredKey.__dataclass_fields__) | {
        "id": 1,
        "name": "laptop",
        "key_hash": "0" * 64,
        "hint": "sk-or-…a29f",
        "is_active": True,
        "created_at": NOW,
        "facts": KeyFacts(KeyKind.UNKNOWN),
    }
    return StoredKey(**(values | others))  # type: ignore[arg-type]


def examples(count: int) -> int:
    """How many examples of a property are tried: ``ORWATCH_TEST_EXAMPLES`` times as many, where it is set."""
    return count * int(os.environ.get("ORWATCH_TEST_EXAMPLES", "1"))


# A busy machine is no failure. Every run tries other examples; a failing one is printed, ready to paste.
settings.register_profile(
    "orwatch",
    max_examples=examples(40),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("orwatch")
