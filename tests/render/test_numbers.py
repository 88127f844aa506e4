"""Numbers as people read them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.render import numbers
from tests.support import NOW

AMOUNTS = st.decimals(Decimal("1e-9"), Decimal("1e10"), places=9)


def test_what_is_not_known_is_a_dash_and_never_a_zero() -> None:
    unknown = [
        numbers.count(None),
        numbers.usd(None),
        numbers.exact_usd(None),
        numbers.share(None, Decimal(1)),
        numbers.share(Decimal(1), None),
        numbers.moment(None),
        numbers.age(None, NOW),
    ]
    assert set(unknown) == {"–"}


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (999, "999"), (1234567, "1,234,567")])
def test_a_count_has_thousands_separators(value: int, text: str) -> None:
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (458_512_345, "458.5M"),
        (999_949, "999.9k"),
        (999_950, "1.0M"),
        (12_345 * 10**15, "12,345,000.0T"),
    ],
)
def test_a_short_count_has_its_unit(value: int | None, text: str) -> None:
    assert numbers.compact_count(value) == text


@given(st.integers(0, 10**15))
def test_a_short_count_is_off_by_half_of_its_last_digit_at_most(value: int) -> None:
    text = numbers.compact_count(value).replace(",", "")
    unit = {"k": 3, "M": 6, "B": 9, "T": 12}.get(text[-1])
    if unit is None:
        assert text == str(value)
    else:
        assert 2 * abs(Decimal(text[:-1]).scaleb(unit) - value) <= 10 ** (unit - 1)


@given(st.lists(st.none() | st.decimals(0, 10**6, places=9), max_size=40))
def test_a_sparkline_tells_unknown_from_zero_and_zero_from_little(values: list[Decimal | None]) -> None:
    line = numbers.sparkline(values)
    assert len(line) == len(values)
    for value, block in zip(values, line, strict=True):
        assert (block == " ") == (value is None)
        assert (block == "▁") == (value == 0)
        assert (
            value is None
            or not value
            or block == "█"
            or value < max(known for known in values if known is not None)
        )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0E-9", "$0.00"),
        ("0.01", "$0.01"),
        ("1234567.891", "$1,234,567.89"),
        ("-12.5", "-$12.50"),
        ("-1234.5", "-$1,234.50"),
        ("9223372036.854775807", "$9,223,372,036.85"),
    ],
)
def test_an_amount_is_shown_in_dollars_and_cents(amount: str, text: str) -> None:
    assert numbers.usd(Decimal(amount)) == text


@pytest.mark.parametrize("amount", ["0.000000001", "0.0049", "0.005"])
def test_a_tiny_amount_is_told_from_nothing(amount: str) -> None:
    assert numbers.usd(Decimal(amount)) == "<$0.01"


@pytest.mark.parametrize("amount", ["-0.000000001", "-0.0049", "-0.005"])
def test_a_tiny_debt_is_told_from_nothing(amount: str) -> None:
    assert numbers.usd(Decimal(amount)) == ">-$0.01"


def test_a_tiny_amount_per_request_is_told_from_nothing_with_four_decimals() -> None:
    assert numbers.usd(Decimal("0.00004"), 4) == "<$0.0001"
    assert numbers.usd(Decimal("0.00005"), 4) == "<$0.0001"
    assert numbers.usd(Decimal("0.0001"), 4) == "$0.0001"


@given(AMOUNTS, st.sampled_from([2, 4]))
def test_no_amount_above_nothing_reads_as_nothing(amount: Decimal, decimals: int) -> None:
    zero = f"0.{'0' * decimals}"
    assert zero not in {numbers.usd(amount, decimals)[1:], numbers.usd(-amount, decimals)[2:]}


@given(AMOUNTS)
def test_a_shown_amount_is_off_by_half_a_cent_at_most(amount: Decimal) -> None:
    text = numbers.usd(amount)
    if not text.startswith("<"):
        assert abs(Decimal(text.replace(",", "").removeprefix("$")) - amount) <= Decimal("0.005")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("12", "$12.00"),
        ("0.015", "$0.015"),
        ("1E+3", "$1,000.00"),
        ("0.000000001", "$0.000000001"),
        ("-0.015", "-$0.015"),
        ("-12", "-$12.00"),
    ],
)
def test_an_exact_amount_shows_every_digit(amount: str, text: str) -> None:
    assert numbers.exact_usd(Decimal(amount)) == text


@given(AMOUNTS)
def test_an_exact_amount_can_be_read_back(amount: Decimal) -> None:
    assert Decimal(numbers.exact_usd(amount).replace(",", "").removeprefix("$")) == amount


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        ("0", "8", "0.0%"),
        ("1", "8", "12.5%"),
        ("8", "8", "100.0%"),
        ("0.001", "8", "<0.1%"),
        ("0.0005", "1", "<0.1%"),
        ("1", "0", "–"),
    ],
)
def test_a_share_is_a_percentage(part: str, whole: str, text: str) -> None:
    assert numbers.share(Decimal(part), Decimal(whole)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (-2500, "-2.5 kB"),
        (1_400_000, "1.4 MB"),
        (3_200_000_000, "3.2 GB"),
        (5_000_000_000_000, "5.0 TB"),
        (7_000_000_000_000_000, "7000.0 TB"),
    ],
)
def test_a_size_is_in_the_unit_that_fits(size: int, text: str) -> None:
    assert numbers.size(size) == text


@pytest.mark.parametrize(
    ("size", "text"), [(999_949, "999.9 kB"), (999_960, "1.0 MB"), (999_960_000, "1.0 GB")]
)
def test_a_size_that_rounds_up_to_a_thousand_takes_the_next_unit(size: int, text: str) -> None:
    assert numbers.size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min 0 s"),
        (200.9, "3 min 20 s"),
        (7200.0, "120 min 0 s"),
    ],
)
def test_a_duration_is_in_seconds_or_minutes(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_a_duration_that_rounds_up_to_a_minute_is_a_minute() -> None:
    assert numbers.duration(59.97) == "1 min 0 s"


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(seconds=-90), "in 1 min"),
        (timedelta(minutes=5, seconds=59), "5 min ago"),
        (timedelta(minutes=119), "119 min ago"),
        (timedelta(minutes=120), "2 h ago"),
        (timedelta(hours=47, minutes=59), "47 h ago"),
        (timedelta(hours=48), "2 d ago"),
        (timedelta(days=400), "400 d ago"),
        (timedelta(minutes=-20), "in 20 min"),
        (timedelta(days=-3), "in 3 d"),
    ],
)
def test_an_age_is_told_in_words(gap: timedelta, text: str) -> None:
    assert numbers.age(NOW - gap, NOW) == text


def test_a_moment_is_a_day_and_a_time() -> None:
    assert numbers.moment(NOW) == "2026-11-20 12:30"


@pytest.mark.parametrize(
    ("part", "bar"),
    [("0", ""), ("0.0001", "▏"), ("25", "██"), ("26.6", "██▏"), ("50", "████"), ("100", "████████")],
)
def test_a_bar_is_as_long_as_its_part(part: str, bar: str) -> None:
    assert numbers.bar(Decimal(part), Decimal(100), 8) == bar


@pytest.mark.parametrize(("part", "bar"), [("0", ""), ("0.0001", "#"), ("50", "####"), ("100", "########")])
def test_a_bar_needs_no_more_than_ascii(part: str, bar: str) -> None:
    assert numbers.bar(Decimal(part), Decimal(100), 8, ascii_only=True) == bar


@pytest.mark.parametrize(
    ("part", "largest", "width"),
    [(None, Decimal(1), 8), (Decimal(1), None, 8), (Decimal(0), Decimal(0), 8), (Decimal(1), Decimal(1), 0)],
)
def test_there_is_no_bar_where_there_is_nothing_to_compare(
    part: Decimal | None, largest: Decimal | None, width: int
) -> None:
    assert numbers.bar(part, largest, width) == ""


@given(AMOUNTS, AMOUNTS, st.integers(1, 60), st.booleans())
def test_a_bar_is_never_empty_and_never_too_long(
    first: Decimal, second: Decimal, width: int, ascii_only: bool
) -> None:
    bar = numbers.bar(min(first, second), max(first, second), width, ascii_only=ascii_only)
    assert 1 <= len(bar) <= width
