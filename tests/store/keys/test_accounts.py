"""What management keys tell of their accounts, stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.ledger import spans
from tests.store.keys.test_listings import MANAGEMENT, listed, merge
from tests.store.keys.test_listings import boss as boss
from tests.store.support import add_key, execute, get_key, write
from tests.support import NOW, TODAY, usage_answer, usage_row


def test_a_second_management_key_is_known_by_the_keys_or_by_the_account(
    store: Store, boss: StoredKey
) -> None:
    deputy = add_key(store, "deputy", MANAGEMENT)
    merge(store, boss, listed(1, "red"))
    hashes = {hash_secret("1")}
    with store.write() as connection:
        accounts.update_account(connection, boss.id, account_id="space 1")
        assert accounts.find_twin(connection, deputy, None, hashes) == get_key(store, "boss")
        assert accounts.find_twin(connection, deputy, "space 1", set()) == get_key(store, "boss")
        assert accounts.find_twin(connection, deputy, "space 2", set()) is None
        assert accounts.find_twin(connection, deputy, None, set()) is None
        assert accounts.find_twin(connection, boss, "space 1", hashes) is None


@pytest.mark.parametrize(("days_ago", "is_followed"), [(3, True), (40, False)])
def test_a_management_key_that_takes_over_goes_on_where_the_other_was(
    store: Store, boss: StoredKey, days_ago: int, is_followed: bool
) -> None:
    merge(store, boss, listed(1, "red"), listed(2, "gone"))
    merge(store, boss, listed(1, "red"))
    deputy = add_key(store, "deputy", MANAGEMENT)
    reached = date(2026, 1, 1)
    through = TODAY - timedelta(days=days_ago)
    with store.write() as connection:
        accounts.update_account(connection, boss.id, backfilled_from=reached)
    execute(
        store, "UPDATE api_keys SET synced_through = ? WHERE id = ?", (through - date(1970, 1, 1)).days, 1
    )
    with store.write() as connection:
        accounts.take_over(connection, deputy, None, {hash_secret("1")}, TODAY)
        state = accounts.account_state(connection, deputy.id)
        members = accounts.members(connection, deputy.id)
    assert state.backfilled_from == (reached if is_followed else None)
    assert {key.name for key in members} == {"boss", "red", "gone"}


def test_another_account_is_left_alone(store: Store, boss: StoredKey) -> None:
    merge(store, boss, listed(1, "red"))
    deputy = add_key(store, "deputy", MANAGEMENT)
    with store.write() as connection:
        accounts.update_account(connection, boss.id, account_id="space 1")
        accounts.take_over(connection, deputy, "space 2", {hash_secret("9")}, TODAY)
        assert accounts.members(connection, deputy.id) == []


def test_days_are_open_until_a_better_source_has_told_them_twice(store: Store, boss: StoredKey) -> None:
    def unsettled() -> dict[int, set[date]]:
        with store.read() as connection:
            return accounts.unsettled_days(connection, {boss.id}, TODAY - timedelta(days=30), TODAY)

    answer = usage_answer(usage_row(TODAY))
    write(store, replace(answer, source=UsageSource.ANALYTICS), now=NOW + timedelta(days=4))
    write(store, replace(answer, source=UsageSource.ANALYTICS), now=NOW + timedelta(days=5))
    assert unsettled() == {boss.id: {TODAY}}
    told = replace(answer, source=UsageSource.ACTIVITY)
    write(store, told, now=NOW + timedelta(days=5))
    assert unsettled() == {boss.id: {TODAY}}
    write(store, told, now=NOW + timedelta(days=5))
    assert unsettled() == {}


def test_an_account_is_read_when_every_day_with_usage_of_its_keys_was_read_since_then(
    store: Store, boss: StoredKey
) -> None:
    key = add_key(store)
    used, later = TODAY - timedelta(days=3), NOW + timedelta(hours=1)

    def is_read(since: datetime) -> bool:
        with store.read() as connection:
            days = TODAY - timedelta(days=30), TODAY - timedelta(days=1)
            return accounts.is_read_since(connection, boss.id, {boss.id, key.id}, *days, since)

    of_boss = replace(usage_answer(usage_row(used)), source=UsageSource.ANALYTICS)
    write(store, of_boss, boss.id)
    assert not is_read(NOW)
    write(store, replace(of_boss, source=UsageSource.ACTIVITY), boss.id)
    assert is_read(NOW)
    assert not is_read(later)
    write(store, usage_answer(usage_row(TODAY - timedelta(days=20))), key.id)
    assert not is_read(NOW)


def test_sums_of_several_keys_know_a_count_only_where_all_of_them_do(store: Store, boss: StoredKey) -> None:
    add_key(store, "red")
    write(store, usage_answer(usage_row(TODAY, "a", requests=2), usage_row(TODAY, "b", requests=2)))
    write(store, usage_answer(usage_row(TODAY, "a", requests=3), usage_row(TODAY, "b", requests=None)), 2)
    with store.read() as connection:
        sums = accounts.stored_sums(connection, {1, 2}, TODAY, TODAY)
        own = accounts.stored_sums(connection, {2}, TODAY, TODAY)
    assert {row.model: (row.requests, row.cost_usd) for row in sums} == {
        "a": (5, Decimal("0.03")),
        "b": (None, Decimal("0.03")),
    }
    assert {row.model: row.requests for row in own} == {"a": 3, "b": None}


@pytest.mark.parametrize(("cost", "is_unknown"), [("5", True), ("0", False)])
def test_days_of_a_sum_are_unknown_but_for_those_that_a_better_source_has_told(
    store: Store, boss: StoredKey, cost: str, is_unknown: bool
) -> None:
    first = TODAY - timedelta(days=3)
    with store.write() as connection:
        spans.write_span(connection, boss.id, UsageSpan(first, TODAY, Decimal(cost)), set())
    told = usage_answer(usage_row(TODAY, cost="1"), since=TODAY, until=TODAY)
    write(store, replace(told, source=UsageSource.ANALYTICS))
    with store.read() as connection:
        found = accounts.days_in_spans(connection, {boss.id}, first + timedelta(days=1), TODAY)
    expected = {first + timedelta(days=1), first + timedelta(days=2)}
    assert found == (expected if is_unknown else set())


def test_the_last_credits_of_each_day_are_kept(store: Store, boss: StoredKey) -> None:
    with store.write() as connection:
        for hour, spent in ((0, 1), (1, 2), (24, 3)):
            credits = Credits(Decimal(10), Decimal(spent))
            accounts.record_credits(connection, boss.id, credits, NOW + timedelta(hours=hour))
    with store.read() as connection:
        readings = accounts.list_credits(connection, boss.id)
        latest = accounts.latest_credits(connection, boss.id)
        assert accounts.latest_credits(connection, 99) is None
    assert [reading.credits.balance_usd for reading in readings] == [8, 7]
    assert latest == readings[-1]
