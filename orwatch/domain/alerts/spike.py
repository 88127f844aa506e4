"""A day that costs far more than such days do.

Such days are those of the four weeks before, and the same weekdays of the eight weeks before, on which there
was any use. A day is found when it costs more than all of these: three times their median, and their median
and five deviations (the median absolute one, scaled to a standard deviation), of both; one and a half times
the second dearest day of the eight weeks, so that bursts, growth and a new level soon are no news, while one
earlier spike hides no second; and five dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.days import ONE_DAY, short_day
from orwatch.domain.money import ZERO, dollars, round_to_nano

# A day that costs no more is never found.
FLOOR_USD = Decimal(5)

# So many days before the day that is judged are looked at.
DAYS_LOOKED_AT = 56

_RECENT_DAYS = 28
# It has just begun where fewer days are known since its first use, or it was used on fewer.
_LEAST_KNOWN_DAYS = 14
_LEAST_DAYS_OF_USE = 3
_TIMES_MEDIAN = 3
_DEVIATIONS = 5
# From the median absolute deviation to a standard deviation.
_SCALE = Decimal("1.4826")
_TIMES_SECOND_DEAREST = Decimal("1.5")


@dataclass(frozen=True, slots=True)
class DailyCosts:
    """What each day has cost an account, a key or a model (``model:openai/gpt-4.1``), in dollars.

    ``costs_usd``: of today, yesterday and the ``DAYS_LOOKED_AT`` before; a day of which the whole cost is
    not known is left out, one without use is zero. Wanted of every subject for which today or yesterday
    ``may_be_spike``, told by the few days before, and of those with an open alert.
    """

    subject: str
    name: str
    costs_usd: Mapping[date, Decimal]


def find_spikes(subjects: Iterable[DailyCosts], today: date, watched_from: date) -> Iterator[Finding]:
    """Of each subject a finding for today and one for yesterday, whose last hours arrive after midnight.

    The window is the day. Days before ``watched_from`` are no news, and are left out.
    """
    for subject in subjects:
        for day in (today - ONE_DAY, today):
            if day >= watched_from:
                yield _judge(subject, day, is_over=day < today)


def may_be_spike(costs_usd: Mapping[date, Decimal], day: date) -> bool:
    """Whether the day may be one, for all that the days before tell that are given: most are told by two."""
    cost, dear_days = costs_usd.get(day, ZERO), 0
    if cost <= FLOOR_USD:
        return False
    for number in range(1, DAYS_LOOKED_AT + 1):
        dear_days += _TIMES_SECOND_DEAREST * costs_usd.get(day - timedelta(number), ZERO) >= cost
        if dear_days == 2:
            return False
    return True


def _judge(subject: DailyCosts, day: date, *, is_over: bool) -> Finding:
    cost, so_far = subject.costs_usd.get(day), "" if is_over else " so far"
    shown = short_day(day)
    is_met: bool | None = None
    figures: dict[str, Decimal | None] = {"cost_usd": cost}
    if cost is None:
        summary = f"what {shown} cost is not known"
    elif not may_be_spike(subject.costs_usd, day):
        is_met, summary = False, f"{shown} has cost {dollars(cost)}{so_far}, which is no spike"
    elif (usual := _usual(subject.costs_usd, day)) is None:
        summary = (
            f"{shown} has cost {dollars(cost)}{so_far}; too little is known of the days before to compare"
        )
    else:
        is_met = cost > usual.most_usd
        summary = f"{shown} has cost {dollars(cost)}{so_far}; such days cost {dollars(usual.median_usd)}"
        if is_met:
            times = cost / usual.median_usd
            summary = (
                f"{shown} has cost {dollars(cost)}{so_far}, {times:,.1f} times what such days cost "
                f"({dollars(usual.median_usd)}). See `orwatch report --since {day} --until {day} "
                "--by key --by model`"
            )
        figures |= {
            "usual_usd": round_to_nano(usual.median_usd),
            "most_usual_usd": round_to_nano(usual.most_usd),
        }
    window = day.isoformat()
    return Finding(Rule.SPIKE, subject.subject, subject.name, window, is_met, summary, figures=figures)


@dataclass(frozen=True, slots=True)
class _Usual:
    """What such days cost, and the most that one can cost that is no spike, if few were as dear."""

    median_usd: Decimal
    most_usd: Decimal


def _usual(costs_usd: Mapping[date, Decimal], day: date) -> _Usual | None:
    """None where it has just begun, or too few days are known."""
    days_ago = [number for number in range(1, DAYS_LOOKED_AT + 1) if day - timedelta(number) in costs_usd]
    used = {number: cost for number in days_ago if (cost := costs_usd[day - timedelta(number)]) > 0}
    known = sum(number <= max(used, default=0) for number in days_ago)
    if known < _LEAST_KNOWN_DAYS or len(used) < _LEAST_DAYS_OF_USE:
        return None
    recent = [cost for number, cost in used.items() if number <= _RECENT_DAYS]
    same_weekdays = [cost for number, cost in used.items() if number % 7 == 0]
    compared = [costs for costs in (recent, same_weekdays) if len(costs) >= _LEAST_DAYS_OF_USE]
    compared = compared or [list(used.values())]
    return _Usual(max(map(_median, compared)), max(map(_line, compared)))


def _line(costs: Sequence[Decimal]) -> Decimal:
    middle = _median(costs)
    deviation = _SCALE * _median([abs(cost - middle) for cost in costs])
    return max(_TIMES_MEDIAN * middle, middle + _DEVIATIONS * deviation)


def _median(costs: Sequence[Decimal]) -> Decimal:
    """As ``statistics.median``, which takes more time to import than all rules to judge."""
    ordered, half = sorted(costs), len(costs) // 2
    return ordered[half] if len(costs) % 2 else (ordered[half - 1] + ordered[half]) / 2
