"""Days of the calendar: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

ONE_DAY = timedelta(days=1)


def days_between(since: date, until: date) -> Iterator[date]:
    """Every day from ``since`` to ``until``, both inclusive."""
    return (since + timedelta(days=offset) for offset in range((until - since).days + 1))


def midnight(day: date) -> datetime:
    """When the day begins, in UTC."""
    return datetime.combine(day, time(), UTC)


def week_start(day: date) -> date:
    """The Monday of the week."""
    return day - timedelta(days=day.weekday())


def month_start(day: date) -> date:
    """The first day of the month."""
    return day.replace(day=1)


def month_end(day: date) -> date:
    """The last day of the month."""
    return month_start(month_start(day) + timedelta(days=31)) - ONE_DAY


def next_month(day: date) -> date:
    """The first day of the month that follows."""
    return month_end(day) + ONE_DAY


def short_day(day: date) -> str:
    """``1 Dec``."""
    return f"{day.day} {day:%b}"


def long_day(day: date) -> str:
    """``1 Dec 2026``."""
    return f"{short_day(day)} {day:%Y}"
