"""Made-up histories of spending, a day each, of kinds that a forecast has to cope with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random

from orwatch.domain.days import ONE_DAY, days_between, month_end

# Days that are known before the month begins.
_DAYS_BEFORE = 75
_NOON = time(12)


@dataclass(frozen=True, slots=True)
class Ranges:
    """From where the parameters of histories are drawn: the least and the most of each.

    ``noise``: the deviation of a day's logarithm; ``weekend``: a weekend's day by a weekday; ``growth``: in a
    week; ``step``: what the level is multiplied with; ``burst_share``: of days; ``burst``: of a usual day.
    """

    noise: tuple[float, float]
    weekend: tuple[float, float]
    growth: tuple[float, float]
    step: tuple[float, float]
    burst_share: tuple[float, float]
    burst: tuple[float, float]


# The forecast's constants were chosen on the first, with seeds below 1,000,000, and its figures are those of
# the second, with seeds above: wider, and with other middles.
TUNING = Ranges((0.2, 0.5), (0.1, 0.6), (0.03, 0.15), (2, 4), (0.05, 0.15), (4, 12))
MEASURED = Ranges((0.1, 0.7), (0.0, 0.9), (-0.08, 0.25), (0.25, 6), (0.03, 0.3), (3, 20))
FIRST_SEED = 1_000_000


@dataclass(frozen=True, slots=True)
class History:
    """What each day until the end of a month cost, and ``now``, noon of a day in its middle."""

    days: dict[date, Decimal]
    now: datetime

    @property
    def known(self) -> dict[date, Decimal]:
        """The days before today."""
        return {day: amount for day, amount in self.days.items() if day < self.now.date()}

    @property
    def spent_usd(self) -> Decimal:
        """What the month has cost so far: of today, the half."""
        today = self.now.date()
        return self._month(today - ONE_DAY) + self.days[today] / 2

    @property
    def outcome_usd(self) -> Decimal:
        """What the month will have cost."""
        return self._month(month_end(self.now.date()))

    @property
    def plain_usd(self) -> Decimal:
        """Where it will be by the plainest forecast: so much a day so far."""
        today = self.now.date()
        return self.spent_usd / (today.day - Decimal("0.5")) * month_end(today).day

    def _month(self, until: date) -> Decimal:
        first = self.now.date().replace(day=1)
        return sum((self.days[day] for day in days_between(first, until)), Decimal())


# What a day costs by its number, counted from now: days before are negative.
_Level = Callable[[int], float]


def _weekday(random: Random, ranges: Ranges) -> _Level:
    return lambda day: 1.0


def _growth(random: Random, ranges: Ranges) -> _Level:
    weekly = 1 + random.uniform(*ranges.growth)
    return lambda day: weekly ** (day / 7)


def _step(random: Random, ranges: Ranges) -> _Level:
    factor, begins = random.uniform(*ranges.step), random.randint(-50, 10)
    return lambda day: factor if day >= begins else 1.0


def _bursts(random: Random, ranges: Ranges) -> _Level:
    share = random.uniform(*ranges.burst_share)
    return lambda day: random.uniform(*ranges.burst) if random.random() < share else 1.0


def _new_key(random: Random, ranges: Ranges) -> _Level:
    begins = random.randint(-25, -7)
    return lambda day: float(day >= begins)


def _dead_key(random: Random, ranges: Ranges) -> _Level:
    ends = random.randint(-30, -1)
    return lambda day: float(day <= ends)


KINDS: dict[str, Callable[[Random, Ranges], _Level]] = {
    "a weekday pattern": _weekday,
    "growth": _growth,
    "a step": _step,
    "bursts": _bursts,
    "a new key": _new_key,
    "a dead key": _dead_key,
}


def histories(kind: str, seeds: range, ranges: Ranges = MEASURED) -> Iterator[History]:
    """One history of the kind for each seed, the same each time."""
    for seed in seeds:
        # A text is hashed alike by every Python.
        random = Random(f"{kind} {seed}")
        now = datetime.combine(date(2024 + seed % 3, random.randint(1, 12), 15), _NOON)
        today = now.date()
        level, noise = KINDS[kind](random, ranges), random.uniform(*ranges.noise)
        # All but the histories of the first kind may as well cost the same on each day of the week.
        weekend = (
            random.uniform(*ranges.weekend) if kind == "a weekday pattern" else random.choice((1.0, 0.4))
        )
        first = today.replace(day=1) - timedelta(days=_DAYS_BEFORE)
        days = {}
        for day in days_between(first, month_end(today)):
            amount = 10 * level((day - today).days) * random.lognormvariate(0, noise)
            days[day] = Decimal(amount * (weekend if day.weekday() >= 5 else 1)).quantize(Decimal("0.01"))
        yield History(days, now)
