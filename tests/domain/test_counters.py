"""Counters to days: exact, whatever was missed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.counters import CounterReading, count_days
from orwatch.domain.usage import UsageSpan
from tests.support import TODAY

YESTERDAY = TODAY - timedelta(days=1)


def reading(
    day: date, usage: str, daily: str, byok: str | None = None, byok_daily: str | None = None
) -> CounterReading:
    return CounterReading(
        day,
        Decimal(usage),
        Decimal(daily),
        None if byok is None else Decimal(byok),
        None if byok_daily is None else Decimal(byok_daily),
    )


def test_the_first_reading_tells_only_the_day_so_far() -> None:
    counted = count_days(None, reading(TODAY, "100", "2.5"))
    assert [(row.day, row.cost_usd) for row in counted.rows] == [(TODAY, Decimal("2.5"))]
    assert counted.span is None
    assert not counted.is_reset


def test_a_reading_on_the_next_day_closes_the_day_before_to_the_cent_though_hours_were_missed() -> None:
    # Read in the morning at 3 dollars; 7.25 more were spent after that and before midnight.
    counted = count_days(reading(YESTERDAY, "103", "3"), reading(TODAY, "111.75", "1.5"))
    assert [(row.day, row.cost_usd) for row in counted.rows] == [
        (YESTERDAY, Decimal("10.25")),
        (TODAY, Decimal("1.5")),
    ]


def test_days_without_a_reading_are_known_by_their_sum_and_not_spread() -> None:
    counted = count_days(
        reading(TODAY - timedelta(days=4), "103", "3"), reading(TODAY, "141.5", "1.5", "9", "2")
    )
    assert [(row.day, row.cost_usd) for row in counted.rows] == [(TODAY, Decimal("1.5"))]
    assert counted.span == UsageSpan(TODAY - timedelta(days=4), YESTERDAY, Decimal(40), None)


def test_models_requests_and_tokens_are_unknown() -> None:
    (row,) = count_days(None, reading(TODAY, "1", "1")).rows
    assert (row.model, row.provider, row.requests, row.tokens_input, row.tokens_output) == (None,) * 5


def test_byok_is_counted_the_same_way_and_apart() -> None:
    counted = count_days(reading(YESTERDAY, "0", "0", "5", "1"), reading(TODAY, "0", "0", "9", "2"))
    assert [(row.cost_usd, row.byok_cost_usd) for row in counted.rows] == [(0, 3), (0, 2)]


def test_a_counter_that_goes_down_starts_anew_and_says_so() -> None:
    counted = count_days(reading(YESTERDAY, "103", "3"), reading(TODAY, "1.5", "1.5"))
    assert counted.is_reset
    assert [(row.day, row.cost_usd) for row in counted.rows] == [(TODAY, Decimal("1.5"))]
    assert counted.span is None


def test_a_counter_that_was_reset_and_has_grown_beyond_its_old_value_today_is_noticed() -> None:
    assert count_days(reading(YESTERDAY, "3", "3"), reading(TODAY, "7", "7")).is_reset


def test_noise_of_binary_fractions_is_no_reset_and_no_negative_cost() -> None:
    counted = count_days(reading(YESTERDAY, "0.30000000000000004", "0"), reading(TODAY, "0.3", "0"))
    assert not counted.is_reset
    assert [row.cost_usd for row in counted.rows] == [0, 0]


# What a key spends on each of some days before and after the moment at which it is read, if it is.
DAYS = st.lists(
    st.tuples(st.integers(0, 10**12), st.integers(0, 10**12), st.booleans()), min_size=1, max_size=20
)


@given(DAYS, st.integers(0, 10**15))
def test_whatever_is_missed_days_and_spans_add_up_to_what_was_spent(
    days: list[tuple[int, int, bool]], spent_before: int
) -> None:
    nano = Decimal("1e-9")
    life, previous, told = spent_before, None, Decimal(0)
    closed: dict[date, Decimal] = {}
    first_total = None
    for number, (before_reading, after_reading, is_read) in enumerate(days):
        day = TODAY + timedelta(days=number)
        if is_read:
            if first_total is None:
                first_total = life
            current = CounterReading(day, (life + before_reading) * nano, before_reading * nano)
            counted = count_days(previous, current)
            assert not counted.is_reset
            for row in counted.rows:
                closed[row.day] = row.cost_usd
            if counted.span is not None:
                closed.pop(counted.span.first_day)
                told += counted.span.cost_usd
            previous = current
            assert sum(closed.values()) + told == (life + before_reading - first_total) * nano
        life += before_reading + after_reading
