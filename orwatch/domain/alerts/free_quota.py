"""The day's requests to free models are nearly, or all, used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orwatch.domain.alerts.alert import WARN_PERCENT, Finding, Rule, whole_percent
from orwatch.domain.layers import FreeQuota

# What an account may ask once it has bought ten dollars of credits.
_BOUGHT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class FreeUse:
    """What a key last reported of its account's free requests. ``subject``: the account, ``account:3``."""

    subject: str
    name: str
    quota: FreeQuota
    read_at: datetime


def find_free_quotas(
    readings: Iterable[FreeUse], now: datetime, warn_percent: Sequence[int] = WARN_PERCENT
) -> Iterator[Finding]:
    """Of each account a finding for each of ``warn_percent``, by its newest reading.

    The window is today; what was read on an earlier day says nothing about it.
    """
    newest: dict[str, FreeUse] = {}
    for reading in readings:
        known = newest.get(reading.subject)
        if reading.quota.limit > 0 and (known is None or known.read_at < reading.read_at):
            newest[reading.subject] = reading
    for reading in newest.values():
        for threshold in warn_percent:
            yield _judge(reading, threshold, now)


def _judge(reading: FreeUse, threshold: int, now: datetime) -> Finding:
    today, quota = now.astimezone(UTC).date(), reading.quota
    is_met: bool | None = None
    summary = "how many free requests are used today is not known"
    is_known = reading.read_at.astimezone(UTC).date() == today
    if is_known:
        is_met = quota.used * 100 >= quota.limit * threshold
        summary = (
            f"{whole_percent(quota.used, quota.limit)} % of the day's free requests are used: "
            f"{quota.used:,} of {quota.limit:,} until 00:00 UTC"
        )
    if is_met and quota.limit < _BOUGHT_LIMIT:
        summary += f". An account that has bought $10 of credits has {_BOUGHT_LIMIT:,} a day"
    figures = {"limit": quota.limit, "used": quota.used if is_known else None}
    window = today.isoformat()
    return Finding(
        Rule.FREE_QUOTA, reading.subject, reading.name, window, is_met, summary, threshold, figures
    )
