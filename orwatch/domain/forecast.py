"""Where spending will be at the end of a window, and how long money lasts: pure, and without chance.

A day is expected to cost the level times the share of its weekday. The level is the mean of the longest of
the last stretches of days that does not contradict a shorter one, so that it follows a step within days and
is calm otherwise. The interval is that of a gamma distribution, which is skewed as sums of spending are: its
variance is measured on the history, from day to day and from week to week, and grows with the horizon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import exp, log, sqrt

from orwatch.domain.alerts.balance import PACE_DAYS, pace_usd
from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.money import add_exactly

# Of the days before these, none counts.
HISTORY_DAYS = 56
LEAST_KNOWN_DAYS = 7

_ROUGH_BELOW_DAYS = 21
_WEEK = 7
# The stretches that the level may be the mean of; all but the first are whole weeks.
_STRETCHES = (3, 7, 14, 28)
# So many standard errors two means may be apart and mean the same level.
_AGREEMENT = 2.4
# A weekday's share counts as if so many weeks more had said that it is like any other.
_DOUBT_WEEKS = 2.0
# A weekday of which next to nothing is expected says little of the level.
_LEAST_SHARE = 0.3
# Growth is measured on so many weeks at least, is doubted by so many times its squared error, is at most so
# much a week (as a logarithm), and goes on more slowly.
_LEAST_WEEKS = 5
_GROWTH_DOUBT = 3.0
_MOST_GROWTH = 0.25
_GROWTH_GOES_ON = 0.8
# From week to week, the level is taken to change by that share of it at least.
_LEAST_WEEKLY_CHANGE = 0.15
# Eight of ten outcomes lie within so many standard deviations of a normal distribution.
_EIGHT_OF_TEN = 1.2816
# A balance that lasts longer lasts for ever.
_LONGEST = timedelta(days=3650)
_SHOWN = Decimal("0.0001")

# Days and what they cost, in dollars, the first one first.
_Days = Sequence[tuple[date, float]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have been spent at the end of a window, in dollars.

    Eight of ten outcomes lie from ``low_usd`` to ``high_usd``. ``is_rough``: few days are known as yet.
    """

    expected_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    is_rough: bool


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a balance lasts at the pace of the last two weeks: so many whole days, until that day."""

    days: int
    until: date


@dataclass(frozen=True, slots=True)
class _Course:
    """What days are expected to cost, in dollars, and how far they may be off.

    ``day_variance``: of a single day; ``level_variance``: of the level as measured; ``change_variance``: what
    the level's variance grows by in a week.
    """

    level: float
    growth: float
    shares: Sequence[float]
    day_variance: float
    level_variance: float
    change_variance: float
    known_days: int


def forecast(
    days: Mapping[date, Decimal], now: datetime, until: date, *, spent_usd: Decimal
) -> Forecast | None:
    """Where a window will be that ends with the day ``until``; None before seven days are known.

    ``days``: what was spent on each known day, in dollars; a missing one is unknown. Those before today
    count, and of them the last eight weeks. ``spent_usd``: what the window has so far, today included.
    """
    course = _course(days, now.date())
    if course is None:
        return None
    weights = [weight for _, weight in _weights(course, now, until)]
    horizon = sum(weights)
    rest = course.level * horizon
    noise = course.day_variance * sum(weight * weight for weight in weights)
    drift = course.level_variance + course.change_variance * horizon / _WEEK / 3
    low, high = _eight_of_ten(rest, noise + drift * horizon * horizon)
    expected, least, most = (add_exactly(spent_usd, _usd(amount)) for amount in (rest, low, high))
    return Forecast(expected, least, most, course.known_days < _ROUGH_BELOW_DAYS)


def reached_on(
    days: Mapping[date, Decimal], now: datetime, until: date, *, spent_usd: Decimal, limit_usd: Decimal
) -> date | None:
    """The day on which a window will have spent its limit; None: not by its end, or too little is known."""
    if spent_usd >= limit_usd:
        return now.date()
    course = _course(days, now.date())
    if course is None:
        return None
    left = float(limit_usd - spent_usd)
    for day, weight in _weights(course, now, until):
        left -= course.level * weight
        if left <= 0:
            return day
    return None


def lasts(days: Mapping[date, Decimal], now: datetime, balance_usd: Decimal) -> Lasting | None:
    """How long a balance lasts at ``pace_usd``; None: for ever, or too little is known.

    ``days`` as for ``forecast``. ``now``: when the balance was read.
    """
    today = now.date()
    recent = [days[day] for day in days_between(today - PACE_DAYS * ONE_DAY, today - ONE_DAY) if day in days]
    pace = pace_usd(recent)
    if pace is None:
        return None
    if balance_usd <= 0:
        return Lasting(0, today)
    if pace <= 0 or balance_usd > pace * _LONGEST.days:
        return None
    left = timedelta(days=float(balance_usd / pace))
    return Lasting(left.days, (now + left).date())


def _course(days: Mapping[date, Decimal], today: date) -> _Course | None:
    first = today - HISTORY_DAYS * ONE_DAY
    known = [(day, float(days[day])) for day in days_between(first, today - ONE_DAY) if day in days]
    # How much use there is, days before the first one do not say.
    begun = next((index for index, (_, amount) in enumerate(known) if amount), 0)
    known = known[begun:]
    if len(known) < LEAST_KNOWN_DAYS:
        return None
    used = _without_spike(known)
    shares = _weekday_shares(used)
    growth = _weekly_growth(used, today)
    # As if there had been no growth: today's level.
    used = [(day, amount * growth ** ((today - day).days / _WEEK)) for day, amount in used]
    variance = _day_variance(used, shares)
    level, error = _level(used, shares, variance, today)
    change = _change_variance(_weekly_means(used, today), level, variance)
    return _Course(level, growth, shares, variance, error, change, len(used))


def _weekly_growth(used: _Days, today: date) -> float:
    """What the level is multiplied with in a week: 1 unless a line is nearer to the weeks than a step."""
    means = _weekly_means(used, today)
    if len(means) < _LEAST_WEEKS or min(means) <= 0:
        return 1.0
    # Here and below, it takes longer to import than all of this.
    from statistics import linear_regression

    logs = [log(mean) for mean in means]
    slope = linear_regression(range(len(logs)), logs).slope
    off_line = _squares([each - slope * index for index, each in enumerate(logs)])
    off_step = min(_squares(logs[:at]) + _squares(logs[at:]) for at in range(1, len(logs)))
    if off_line >= off_step:
        return 1.0
    # The less certain it is, the less of it counts.
    error = off_line / (len(logs) - 2) / ((len(logs) ** 3 - len(logs)) / 12)
    certain = slope * max(0.0, 1 - _GROWTH_DOUBT * error / slope**2)
    return exp(max(-_MOST_GROWTH, min(_MOST_GROWTH, certain)))


def _weekly_means(used: _Days, today: date) -> list[float]:
    """The mean day of each week before today of which all days are known, the first one first."""
    weeks: dict[int, list[float]] = {}
    for day, amount in used:
        weeks.setdefault((today - day).days // -_WEEK, []).append(amount)
    return [_mean(week) for _, week in sorted(weeks.items()) if len(week) == _WEEK]


def _squares(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((each - mean) ** 2 for each in values)


def _without_spike(known: _Days) -> list[tuple[date, float]]:
    """The largest amount cut to the second largest: what comes again stays."""
    second = sorted(amount for _, amount in known)[-2]
    return [(day, min(amount, second)) for day, amount in known]


def _weekday_shares(used: _Days) -> list[float]:
    """What each weekday costs of a mean day, Monday first; the fewer weeks say so, the nearer to 1."""
    from statistics import median

    ratios: list[list[float]] = [[] for _ in range(_WEEK)]
    amounts = [amount for _, amount in used]
    for index, (day, amount) in enumerate(used):
        begin = max(0, min(index - 3, len(used) - _WEEK))
        around = _mean(amounts[begin : begin + _WEEK])
        if around > 0:
            ratios[day.weekday()].append(amount / around)
    shares = [
        (median(each) * len(each) + _DOUBT_WEEKS) / (len(each) + _DOUBT_WEEKS) if each else 1.0
        for each in ratios
    ]
    mean = _mean(shares)
    return [share / mean for share in shares]


def _day_variance(used: _Days, shares: Sequence[float]) -> float:
    """How far a day is off its level, from one day to the next: no step or growth counts for much."""
    plain = [amount / max(shares[day.weekday()], _LEAST_SHARE) for day, amount in used]
    return _mean([(after - before) ** 2 / 2 for before, after in pairwise(plain)])


def _level(used: _Days, shares: Sequence[float], variance: float, today: date) -> tuple[float, float]:
    """The mean of the longest stretch that agrees with all shorter ones, and its variance."""
    found: list[tuple[float, float]] = []
    for length in _STRETCHES:
        part = [(amount, shares[day.weekday()]) for day, amount in used if (today - day).days <= length]
        weight = sum(share for _, share in part)
        if weight < 1:
            continue
        mean, error = sum(amount for amount, _ in part) / weight, variance / weight
        if any(abs(mean - level) > _AGREEMENT * sqrt(other) for level, other in found):
            break
        found.append((mean, error))
    return found[-1] if found else (_mean([amount for _, amount in used]), variance)


def _change_variance(weekly_means: Sequence[float], level: float, variance: float) -> float:
    """By how much the variance of the level grows in a week: how weeks differ beyond their days' noise."""
    changes = [(after - before) ** 2 for before, after in pairwise(weekly_means)]
    beyond = _mean(changes) - 2 * variance / _WEEK if changes else 0.0
    return max(beyond, (level * _LEAST_WEEKLY_CHANGE) ** 2)


def _weights(course: _Course, now: datetime, until: date) -> Iterator[tuple[date, float]]:
    """The days to come, and the rest of today, in days of the level."""
    today = now.date()
    passed = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
    for day in days_between(today, until):
        share = course.shares[day.weekday()] * course.growth ** ((day - today).days * _GROWTH_GOES_ON / _WEEK)
        yield day, share * (1 - passed / ONE_DAY) if day == today else share


def _eight_of_ten(mean: float, variance: float) -> tuple[float, float]:
    """Between what eight of ten outcomes lie, of a gamma distribution (by Wilson and Hilferty)."""
    if mean <= 0 or variance <= 0:
        return mean, mean + _EIGHT_OF_TEN * sqrt(max(variance, 0))
    spread = variance / (9 * mean * mean)
    low, high = (mean * max(0.0, 1 - spread + way * _EIGHT_OF_TEN * sqrt(spread)) ** 3 for way in (-1.0, 1.0))
    return min(low, mean), max(high, mean)


def _mean(values: Sequence[float]) -> float:
    # A tenth of fmean's time, and exact enough for a forecast.
    return sum(values) / len(values)


def _usd(amount: float) -> Decimal:
    return Decimal(amount).quantize(_SHOWN)
