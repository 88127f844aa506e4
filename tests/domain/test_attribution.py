"""Whose usage it is: an account's rows to its keys, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.attribution import (
    DUST_USD,
    add_up,
    by_key,
    differing_days,
    keys_by_name,
    remainder,
    shared_names,
)
from orwatch.domain.keys import Listing, StoredKey
from orwatch.domain.usage import OwnedRow, UsageRow
from tests.support import NOW, TODAY, stored_key, usage_row

YESTERDAY = TODAY - timedelta(days=1)


def row(model: str | None = "a", cost: str = "1", provider: str | None = None, **others: object) -> UsageRow:
    made = usage_row(
        others.pop("day", TODAY),  # type: ignore[arg-type]
        model,
        provider=provider,
        requests=others.pop("requests", 1),  # type: ignore[arg-type]
        tokens_input=0,
        tokens_output=0,
        cost=cost,
    )
    return made._replace(**others)  # type: ignore[arg-type]


def listed(key_id: int, name: str, *, created: date | None = None, deleted: date | None = None) -> StoredKey:
    def moment(day: date | None) -> datetime | None:
        return None if day is None else datetime(day.year, day.month, day.day, 12, tzinfo=UTC)

    listing = Listing(9, name, None, False, moment(created), moment(deleted))
    return stored_key(id=key_id, name=f"{name} in orwatch", listing=listing)


def told(rows: Sequence[UsageRow]) -> list[tuple[str | None, str | None, Decimal, int | None]]:
    return [(each.model, each.provider, each.cost_usd, each.requests) for each in rows]


def test_what_no_key_has_used_is_left_by_model_and_provider() -> None:
    account = [row("a", "3", "x", requests=3), row("a", "5", "y", requests=5), row("b", "1", "x")]
    keys = [row("a", "1", "x"), row("b", "1", "x")]
    assert told(remainder(account, keys)) == [("a", "x", Decimal(2), 2), ("a", "y", Decimal(5), 5)]


def test_the_rows_of_several_keys_are_added_up_before_they_are_taken_off() -> None:
    assert remainder([row("a", "3", "x", requests=2)], [row("a", "1", "x"), row("a", "2", "x")]) == []


def test_keys_without_providers_leave_a_remainder_by_model_only() -> None:
    account = [row("a", "3", "x", requests=3), row("a", "5", "y", requests=5), row("b", "1", "x")]
    keys = [row("a", "4", requests=4)]
    assert told(remainder(account, keys)) == [("a", None, Decimal(4), 4), ("b", None, Decimal(1), 1)]


def test_keys_that_have_another_provider_than_the_account_leave_a_remainder_by_model_only() -> None:
    assert told(remainder([row("a", "3", "x", requests=3)], [row("a", "1", "y")])) == [
        ("a", None, Decimal(2), 2)
    ]


def test_keys_without_models_leave_one_sum_of_the_day() -> None:
    account = [row("a", "3", "x"), row("b", "5", "y")]
    assert told(remainder(account, [row(None, "2", requests=None)])) == [(None, None, Decimal(6), None)]


def test_keys_that_exceed_the_account_leave_nothing_and_never_less() -> None:
    assert remainder([row("a", "3")], [row("a", "4")]) == []


def test_keys_that_exceed_the_byok_of_the_account_leave_nothing_finer_than_what_is_possible() -> None:
    account = [row("a", "3", byok_cost_usd=Decimal(1)), row("b", "3", byok_cost_usd=Decimal(1))]
    keys = [row("a", "1", byok_cost_usd=Decimal(2), requests=1)]
    (rest,) = remainder(account, keys)
    assert (rest.model, rest.cost_usd, rest.byok_cost_usd) == (None, Decimal(5), Decimal(0))


def test_requests_that_keys_have_elsewhere_are_not_told_again_as_the_remainders() -> None:
    account = [row("a", "0", "x", requests=5)]
    keys = [row("a", "0", "y", requests=5)]  # read before the account told otherwise; both were free
    assert remainder(account, keys) == []


def test_a_day_that_one_key_makes_impossible_leaves_the_other_days_as_they_are() -> None:
    account = [row("a", "3", day=YESTERDAY), row("a", "3")]
    keys = [row("a", "4", day=YESTERDAY), row("a", "1", requests=0)]
    assert told(remainder(account, keys)) == [("a", None, Decimal(2), 1)]


def test_days_that_the_account_does_not_tell_have_no_remainder() -> None:
    assert remainder([], [row("a", "4")]) == []


def test_differences_of_rounding_are_not_use() -> None:
    almost = Decimal(1) - DUST_USD / 2
    assert remainder([row("a", "1")], [row("a", f"{almost}")]) == []
    assert remainder([row("a", f"{almost}")], [row("a", "1")]) == []


def test_a_remainder_that_is_below_zero_by_rounding_is_zero() -> None:
    (rest,) = remainder([row("a", "1", requests=2)], [row("a", f"{1 + DUST_USD / 2}", requests=1)])
    assert (rest.cost_usd, rest.requests) == (Decimal(0), 1)


def test_use_that_costs_nothing_is_use() -> None:
    assert told(remainder([row("a:free", "0", requests=7)], [])) == [("a:free", None, Decimal(0), 7)]


cents = st.integers(0, 500)
spots = st.tuples(st.sampled_from([YESTERDAY, TODAY]), st.sampled_from("ab"), st.sampled_from("xy"))


@st.composite
def usages(draw: st.DrawFn) -> tuple[list[UsageRow], list[UsageRow]]:
    """The rows of an account, and of its keys: some told by day or by model only, none too much in a day."""
    account, keys = [], []
    for day, model, provider in draw(st.lists(spots, max_size=8)):
        cost, rest, requests = draw(cents), draw(cents), draw(cents)
        whole = row(
            model,
            f"{(cost + rest) / 100:.2f}",
            provider,
            day=day,
            requests=requests + draw(st.integers(1, 3)),
            byok_cost_usd=Decimal(cost + rest),
        )
        account.append(whole)
        kind = draw(st.sampled_from(["none", "provider", "model", "day"]))
        own = whole._replace(
            cost_usd=Decimal(f"{cost / 100:.2f}"), requests=requests, byok_cost_usd=Decimal(cost)
        )
        if kind != "none":
            # Of the wrong model or provider, too: the sum of the day is right all the same.
            keys.append(
                own._replace(
                    provider=draw(st.sampled_from("xy")) if kind == "provider" else None,
                    model=None if kind == "day" else draw(st.sampled_from("ab")),
                )
            )
    return account, keys


def sums(rows: Sequence[UsageRow]) -> dict[date, tuple[Decimal, Decimal, int]]:
    found: dict[date, tuple[Decimal, Decimal, int]] = {}
    for each in rows:
        cost, byok, requests = found.get(each.day, (Decimal(0), Decimal(0), 0))
        found[each.day] = (
            cost + each.cost_usd,
            byok + (each.byok_cost_usd or 0),
            requests + (each.requests or 0),
        )
    return found


@given(usages())
def test_remainder_and_keys_are_the_account_exactly_whatever_the_keys_tell(
    usage: tuple[list[UsageRow], list[UsageRow]],
) -> None:
    account, keys = usage
    rest = remainder(add_up(account), keys)
    assert sums([*keys, *rest]) == sums(account)
    assert all(min(each.cost_usd, each.byok_cost_usd or 0, each.requests or 0) >= 0 for each in rest)
    assert differing_days(account, [*keys, *rest]) == set()


@given(usages(), usages())
def test_a_remainder_is_never_negative_even_of_keys_that_have_nothing_to_do_with_the_account(
    usage: tuple[list[UsageRow], list[UsageRow]], other: tuple[list[UsageRow], list[UsageRow]]
) -> None:
    rest = remainder(usage[0], other[0])
    assert all(min(each.cost_usd, each.byok_cost_usd or 0, each.requests or 0) >= 0 for each in rest)
    for day, (cost, *_) in sums(rest).items():
        assert cost <= sums(usage[0])[day][0]
    assert {each.day for each in rest} <= {each.day for each in usage[0]}


def test_rows_of_one_model_are_added_up_and_an_unknown_count_makes_the_sum_unknown() -> None:
    rows = [row("b"), row("a", "1", requests=2), row("a", "0.5", requests=None, byok_cost_usd=Decimal(3))]
    assert told(add_up(rows)) == [("a", None, Decimal("1.5"), None), ("b", None, Decimal(1), 1)]
    assert add_up(rows)[0].byok_cost_usd == 3


def test_money_is_added_up_to_the_last_digit() -> None:
    (one,) = add_up([row("a", "9999999.000000001"), row("a", "0." + "0" * 30 + "1")])
    assert one.cost_usd == Decimal("9999999.0000000010000000000000000000001")


@pytest.mark.parametrize(
    ("stored", "differs"),
    [
        ([row("a", "3", requests=3)], False),
        ([row("a", "1"), row("b", "2", requests=2)], False),
        ([row("a", "3.0000005", requests=3)], False),
        ([row("a", "3.1", requests=3)], True),
        ([row("a", "3", requests=2)], True),
        ([row("a", "3", requests=3, byok_cost_usd=Decimal(1))], True),
        ([row("a", "1"), row(None, "2", requests=None)], True),
        ([], True),
    ],
)
def test_a_day_differs_where_its_dollars_or_its_known_requests_do(
    stored: list[UsageRow], differs: bool
) -> None:
    assert differing_days([row("a", "3", requests=3)], stored) == ({TODAY} if differs else set())


def test_requests_that_a_source_cannot_count_make_no_difference() -> None:
    stored = [row("a", "1"), row(None, "2", requests=None)]
    assert differing_days([row("a", "3", requests=3)], stored, with_requests=False) == set()
    assert differing_days([row("a", "4", requests=3)], stored, with_requests=False) == {TODAY}


def test_keys_of_one_name_are_shared_and_the_others_are_known_by_theirs() -> None:
    keys = [listed(1, "red"), listed(2, "blue"), listed(3, "red"), stored_key(id=4)]
    names = keys_by_name(keys, TODAY)
    assert {name: key.id for name, key in names.unique.items()} == {"blue": 2}
    assert [key.id for key in names.shared["red"]] == [1, 3]


@pytest.mark.parametrize(("deleted", "is_shared"), [(TODAY, True), (YESTERDAY, False)])
def test_a_deleted_key_shares_its_name_for_the_days_that_it_still_lived(
    deleted: date, is_shared: bool
) -> None:
    names = keys_by_name([listed(1, "red", deleted=deleted), listed(2, "red")], TODAY)
    assert ("red" in names.shared) is is_shared
    assert ("red" in names.unique) is not is_shared


def test_only_the_keys_of_shared_names_that_were_used_are_asked_for_one_by_one() -> None:
    names = keys_by_name([listed(number, "red" if number % 2 else "blue") for number in range(4)], TODAY)
    assert [key.id for key in shared_names([OwnedRow("red", row())], names)] == [1, 3]
    assert shared_names([OwnedRow(None, row()), OwnedRow("green", row())], names) == ()


def test_rows_go_to_the_key_of_their_name_and_those_of_no_known_key_to_none() -> None:
    names = keys_by_name([listed(1, "red"), listed(2, "two"), listed(3, "two")], TODAY)
    rows = [OwnedRow("red", row("a")), OwnedRow("red", row("b"))]
    others = [OwnedRow(None, row()), OwnedRow("two", row()), OwnedRow("gone", row())]
    assert by_key([*rows, *others], names) == {1: [row("a"), row("b")]}


def test_a_row_from_before_a_key_was_created_is_not_its_own() -> None:
    names = keys_by_name([listed(1, "red", created=TODAY)], YESTERDAY)
    rows = [OwnedRow("red", row(day=YESTERDAY)), OwnedRow("red", row(day=TODAY))]
    assert by_key(rows, names) == {1: [row(day=TODAY)]}


def test_a_key_whose_creation_is_not_told_gets_all_rows_of_its_name() -> None:
    names = keys_by_name([listed(1, "red")], NOW.date())
    assert by_key([OwnedRow("red", row(day=date(2020, 1, 1)))], names)[1][0].day == date(2020, 1, 1)
