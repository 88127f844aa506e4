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
    connection: Connection, answers: Sequence[tuple[StoredKey, UsageAnswer]], today: date, now: datetime
) -> list[tuple[WriteCounts, list[Contradiction]]]:
    """Write answers for one window, each for another key; the days that were left as they are stored."""
    counted = {key.id: counted_since(key, today) for key, _ in answers}
    window = answers[0][1]
    judged = [key_id for key_id, amounts in counted.items() if amounts]
    stored = stored_days(connection, judged, window.since, window.until)
    agreed: dict[int, UsageAnswer] = {}
    kept: dict[int, list[Contradiction]] = {}
    for key, answer in answers:
        kept[key.id] = contradictions(stored.get(key.id, {}), answer, counted[key.id], today)
        days = {each.day for each in kept[key.id]}
        rows = tuple(row for row in answer.rows if row.day not in days) if days else answer.rows
        agreed[key.id] = replace(answer, rows=rows, whole_days=answer.whole_days - days)
    counts = ledger.write_answers(connection, agreed, now)
    return [(counts[key_id], kept[key_id]) for key_id in agreed]


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
