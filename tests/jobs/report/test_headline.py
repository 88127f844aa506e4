"""What the days of a report cost, and when they can be compared with those before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from orwatch.domain.usage import UsageSpan
from orwatch.jobs.report.result import Change, Days
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention, spans
from tests.jobs.report.test_run import run
from tests.jobs.support import add_key, days_ago, spend
from tests.jobs.sync.account_support import add_owner, list_under, listed, note_spent
from tests.store.support import on_each_engine, write
from tests.support import NOW, TODAY, usage_answer, usage_row

pytestmark = on_each_engine


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    """Three whole days of a dollar each, three of two dollars before, and ten dollars today."""
    add_key(store)
    costs = {**dict.fromkeys((6, 5, 4), "2"), **dict.fromkeys((3, 2, 1), "1"), 0: "10"}
    spend(store, *((days_ago(ago), "m", cost) for ago, cost in costs.items()))


BEGIN = days_ago(3)


def change(store: Store, since: date = BEGIN, until: date = TODAY, **others: object) -> Change | None:
    return run(store, since=since, until=until, now=NOW, with_headline=True, **others).change


def test_whole_days_are_compared_with_as_many_before_and_today_is_none(store: Store) -> None:
    expected = Change(Days(days_ago(3), days_ago(1)), Decimal(3), Days(days_ago(6), days_ago(4)), Decimal(6))
    assert change(store) == expected
    assert change(store, until=days_ago(1)) == expected
    assert change(store, since=TODAY) is None
    assert change(store, since=days_ago(4)) is None


def test_each_day_has_its_cost_and_an_unknown_one_none(store: Store) -> None:
    result = run(store, since=days_ago(8), until=TODAY, now=NOW, with_headline=True)
    assert result.day_costs == (None, None, 2, 2, 2, 1, 1, 1, 10)


def _new_key(store: Store) -> None:
    key = add_key(store, "new")
    spend(store, (days_ago(3), "m", "5"), (days_ago(1), "m", "5"), key_id=key.id)


def _sum_over_the_border(store: Store) -> None:
    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(4), days_ago(3), Decimal(8)), set())


def _cleanup(store: Store) -> None:
    with store.write() as connection:
        retention.remove_day(connection, days_ago(6))


@pytest.mark.parametrize("spoil", [_new_key, _sum_over_the_border, _cleanup])
def test_nothing_is_compared_where_not_all_of_it_is_known(
    store: Store, spoil: Callable[[Store], None]
) -> None:
    spoil(store)
    assert change(store) is None


def test_a_sum_on_one_side_of_the_border_is_as_good_as_its_days(store: Store) -> None:
    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(6), days_ago(4), Decimal(10)), set())
    found = change(store)
    assert found is not None
    assert (found.before_usd, found.cost_usd) == (10, 3)
    result = run(store, since=days_ago(6), until=TODAY, now=NOW, with_headline=True)
    assert result.day_costs == (None, None, None, 1, 1, 1, 10)


def test_a_listed_key_is_known_as_far_as_its_account(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("ci"))
    write(store, usage_answer(since=days_ago(6), until=TODAY), owner.id)
    note_spent(store, "ci", "3", days=1)
    found = change(store, key_names=("ci",))
    assert found is not None
    assert found.before_usd == 0
    assert found.cost_usd in {0, 3}


def test_a_model_is_compared_only_where_all_models_are_known(store: Store) -> None:
    wanted = {"model_globs": ("m",)}
    assert change(store, **wanted) is not None
    write(store, usage_answer(usage_row(days_ago(5), None, cost="1"), usage_row(days_ago(5), "m", cost="2")))
    assert change(store, **wanted) is None
