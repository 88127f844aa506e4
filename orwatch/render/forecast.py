"""Forecasts as a few words and as JSON."""

from __future__ import annotations

from datetime import date

from orwatch.domain import days
from orwatch.domain.forecast import Forecast
from orwatch.jobs.report.result import MonthCourse
from orwatch.render import numbers
from orwatch.render.json_text import Member, Merged, Shape

# From so many dollars on, cents say nothing of where a window will end.
_WHOLE_DOLLARS_FROM = 10


def on_course(forecast: Forecast) -> str:
    """``on course for $212 (180 to 250)``; ``about`` that where few days are known."""
    return f"on course for {course(forecast)}"


def course(forecast: Forecast) -> str:
    """``$212 (180 to 250)``."""
    decimals = 0 if forecast.expected_usd >= _WHOLE_DOLLARS_FROM else 2
    expected, low, high = (
        numbers.usd(amount, decimals)
        for amount in (forecast.expected_usd, forecast.low_usd, forecast.high_usd)
    )
    about = "about " if forecast.is_rough else ""
    interval = "" if low == high else f" ({low} to {high})".replace("$", "")
    return f"{about}{expected}{interval}"


def short_day(day: date, today: date) -> str:
    """``9 Dec``; with its year where that is not this one: ``2 Jan 2027``."""
    return days.short_day(day) if day.year == today.year else days.long_day(day)


FORECAST = Shape(
    Forecast,
    Member("expected", "What it is on course for, in US dollars.", "expected_usd"),
    Member("low", "One outcome of ten is below this, in US dollars.", "low_usd"),
    Member("high", "One outcome of ten is above this, in US dollars.", "high_usd"),
    Member("is_rough", "Whether only few days are known to go by."),
)
MONTH = Shape(
    MonthCourse,
    Member("spent", "What the month has cost so far, in US dollars.", "spent_usd"),
    Merged("forecast", FORECAST),
)
