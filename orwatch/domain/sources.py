"""Where usage comes from, and which source is the better one."""

from __future__ import annotations

from enum import StrEnum


class UsageSource(StrEnum):
    """Where a day's rows came from.

    ``GET /usage`` or the counters of ``GET /key``; through a management key ``GET /activity`` (completed
    days by endpoint) or ``POST /analytics/query``.
    """

    USAGE = "usage"
    ACTIVITY = "activity"
    ANALYTICS = "analytics"
    COUNTERS = "counters"

    @property
    def rank(self) -> int:
        """A day is replaced by a source of the same or a higher rank only."""
        return _SOURCE_RANKS[self]


_SOURCE_RANKS = {
    UsageSource.COUNTERS: 10,
    UsageSource.ANALYTICS: 20,
    UsageSource.USAGE: 30,
    UsageSource.ACTIVITY: 40,
}
