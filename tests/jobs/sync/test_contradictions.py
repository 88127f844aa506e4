"""How days are reported on which sources contradict each other."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from orwatch.domain.contradictions import Contradiction
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.jobs.sync.contradictions import contradictions_text
from tests.support import TODAY


def test_of_many_days_three_are_named_and_the_rest_counted() -> None:
    days = [TODAY - timedelta(days=number) for number in range(5, 0, -1)]
    kept = [
        Contradiction(day, Decimal(number), Decimal("0.5"), UsageSource.ANALYTICS)
        for number, day in enumerate(days, 1)
    ]
    text = contradictions_text(kept, UsageAnswer(UsageSource.ACTIVITY, days[0], days[-1], ()))
    assert text == (
        "sources contradict each other on 2026-11-15: $1.00 by analytics, $0.50 by activity; "
        "2026-11-16: $2.00 by analytics, $0.50 by activity; "
        "2026-11-17: $3.00 by analytics, $0.50 by activity; and 2 more. "
        "The key's counters confirm the larger sum: it stays until they agree"
    )
