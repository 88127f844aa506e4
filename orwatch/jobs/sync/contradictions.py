"""A better source is written, but for the days on which the key's counters speak against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from orwatch.domain.contradictions import Contradiction, contradictions, counted_since
from orwatch.domain.keys import StoredKey
from orwatch.domain.usage import UsageAnswer
from orwatch.store.engine.database import Connection
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.histories import stored_days
from orwatch.store.ledger.write import WriteCounts
from orwatch.text import first_of

# How many days are listed; the rest is a number.
_DAYS_LISTED = 3


def write_agreed(
    connection: Connection, key: StoredKey, answer: UsageAnswer, today: date, now: datetime
) -> tuple[WriteCounts, list[Contradiction]]:
    """Write an answer for a key, and return the days that were left as they are stored."""
    counted = counted_since(key, today)
    kept: list[Contradiction] = []
    if counted:
        stored = stored_days(connection, key.id, answer.since, answer.until)
        kept = contradictions(stored, answer, counted, today)
    days = {each.day for each in kept}
    agreed = replace(
        answer,
        rows=tuple(row for row in answer.rows if row.day not in days),
        whole_days=answer.whole_days - days,
    )
    return ledger.write_usage(connection, key.id, agreed if days else answer, now), kept


def contradictions_text(kept: Sequence[Contradiction], answer: UsageAnswer) -> str:
    """Which days keep what is stored, and why."""
    days = [
        f"{each.day}: ${each.stored_usd:,.2f} by {each.source}, ${each.reported_usd:,.2f} by {answer.source}"
        for each in kept
    ]
    listed = first_of(days, _DAYS_LISTED, separator="; ")
    return (
        f"sources contradict each other on {listed}. The key's counters confirm the larger sum: it "
        "stays until they agree"
    )
