"""Money and totals: exact, and unknown is not zero."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.money import add_exactly, are_in_nano, from_nano, round_to_nano, to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import NO_USE, Dimension, Totals
from tests.support import stored_key

usd = st.decimals(-(10**9), 10**9, places=9)
totals = st.builds(
    Totals,
    requests=st.none() | st.integers(0, 10**15),
    tokens_input=st.none() | st.integers(0, 10**15),
    tokens_output=st.none() | st.integers(0, 10**15),
    cost_usd=st.none() | usd,
    cost_with_requests_usd=st.none() | usd,
)
FIELDS = ("requests", "tokens_input", "tokens_output", "cost_usd", "cost_with_requests_usd")


@given(usd)
def test_dollars_with_nine_decimals_come_back_from_nano_dollars_as_they_went(amount: Decimal) -> None:
    assert from_nano(to_nano(amount)) == amount


@given(st.integers(-(2**63), 2**63))
def test_nano_dollars_come_back_from_dollars_as_they_went(amount: int) -> None:
    dollars = from_nano(amount)
    assert to_nano(dollars) == amount
    assert Fraction(dollars) == Fraction(amount, 10**9)
    digits = dollars.as_tuple()
    assert digits.exponent == 0 or (digits.exponent < 0 and digits.digits[-1] != 0)


@given(st.decimals(0, 10**7, places=20))
def test_less_than_a_nano_dollar_is_rounded_half_to_even(amount: Decimal) -> None:
    assert to_nano(amount) == round(Fraction(amount) * 10**9)
    assert round_to_nano(amount) == from_nano(to_nano(amount))


amounts = st.decimals(0, 10**7, places=9) | st.decimals(0, 10**7, places=10) | st.integers(0, 9).map(Decimal)


@given(st.lists(amounts | st.sampled_from([Decimal("1e-399"), Decimal(f"0.1{'0' * 300}1")])))
def test_that_amounts_are_in_whole_nano_dollars_is_seen_by_their_sum(found: list[Decimal]) -> None:
    rounded = [Decimal(round_to_nano(amount)) for amount in found]
    if are_in_nano(found):
        assert rounded == found
    if rounded != found:
        assert not are_in_nano(found)
    assert are_in_nano(rounded)


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.00000000050000000001", 1),
        (f"0.0000000005{'0' * 5000}1", 1),
        ("1e-30", 0),
        ("-0.0", 0),
    ],
)
def test_halves_go_to_the_even_neighbour(amount: str, nano: int) -> None:
    assert to_nano(Decimal(amount)) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (15_000_000, "0.015"), (100 * 10**9, "100"), (-1_500_000_000, "-1.5"), (1, "1E-9")],
)
def test_dollars_are_written_without_trailing_zeros(nano: int, text: str) -> None:
    assert str(from_nano(nano)) == text


@given(st.lists(st.decimals(-(10**25), 10**25, places=20), max_size=20))
def test_sums_are_never_rounded(amounts: list[Decimal]) -> None:
    total = Decimal(0)
    for amount in amounts:
        total = add_exactly(total, amount)
    assert Fraction(total) == sum(map(Fraction, amounts))


@given(totals, totals, totals)
def test_totals_add_up_in_any_order(first: Totals, second: Totals, third: Totals) -> None:
    assert first + second == second + first
    assert (first + second) + third == first + (second + third)


@given(totals, totals)
def test_what_only_one_of_two_totals_knows_is_kept_and_what_neither_knows_stays_unknown(
    first: Totals, second: Totals
) -> None:
    total = first + second
    for field in FIELDS:
        known = [value for value in (getattr(first, field), getattr(second, field)) if value is not None]
        assert getattr(total, field) == (sum(map(Fraction, known)) if known else None)


@given(totals)
def test_nothing_known_adds_nothing_and_no_use_adds_zero(row: Totals) -> None:
    assert row + Totals() == row
    with_zeros = row + NO_USE
    assert all(getattr(with_zeros, field) == (getattr(row, field) or 0) for field in FIELDS)
    assert None not in (getattr(with_zeros, field) for field in FIELDS)


@pytest.mark.parametrize(
    ("row", "cost"),
    [
        (Totals(4, 1, 1, Decimal(9), Decimal(2)), Decimal("0.5")),
        (Totals(4, 1, 1, Decimal(9), Decimal(0)), Decimal(0)),
        (Totals(0, 1, 1, Decimal(9), Decimal(9)), None),
        (Totals(None, 1, 1, Decimal(9)), None),
        (Totals(4, 1, 1, Decimal(9), None), None),
        (Totals(), None),
        (NO_USE, None),
    ],
)
def test_a_cost_per_request_is_that_of_the_rows_whose_requests_are_known(
    row: Totals, cost: Decimal | None
) -> None:
    assert row.cost_per_request_usd == cost


def test_days_weeks_and_months_are_times_and_the_rest_is_not() -> None:
    assert [dimension for dimension in Dimension if dimension.is_time] == [
        Dimension.DAY,
        Dimension.WEEK,
        Dimension.MONTH,
    ]


def test_every_source_has_a_rank_of_its_own() -> None:
    assert len({source.rank for source in UsageSource}) == len(UsageSource)


def test_a_stored_key_does_not_show_its_token() -> None:
    assert "gAAAAtoken" not in repr(stored_key(secret_encrypted="gAAAAtoken"))
