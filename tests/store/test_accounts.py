"""What management keys tell of their accounts, stored."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.models import Credits, KeyFacts, KeyKind, ListedKey, StoredKey, UsageSource, UsageSpan
from orwatch.secrets import hash_secret
from orwatch.store import accounts, keys, spans
from orwatch.store.accounts import ListingChanges
from orwatch.store.database import Store, open_store
from tests.store.support import add_key, execute, get_key, write
from tests.support import NOW, TODAY, usage_answer, usage_row

MANAGEMENT = KeyFacts(KeyKind.MANAGEMENT)
FACTS = KeyFacts(KeyKind.INFERENCE, label="sk-or-v1-0e6...1c96")


def listed(number: int, name: str, **others: object) -> ListedKey:
    values = {"is_disabled": False, "created_at": NOW + timedelta(hours=number), "facts": FACTS, **others}
    return ListedKey(hash_secret(f"{number}"), name, None, **values)  # type: ignore[arg-type]


@pytest.fixture
def boss(store: Store) -> StoredKey:
    return add_key(store, "boss", MANAGEMENT)


def merge(store: Store, boss: StoredKey, *told: ListedKey, now: datetime = NOW) -> ListingChanges:
    with store.write() as connection:
        return accounts.merge_listing(connection, boss, told, now)


def names(store: Store) -> dict[str, str]:
    """The names of all keys but the first by their hashes."""
    with store.read() as connection:
        return {key.key_hash: key.name for key in keys.list_keys(connection)[1:]}


def test_new_keys_are_stored_without_a_secret_in_the_order_of_their_creation(
    store: Store, boss: StoredKey
) -> None:
    changes = merge(store, boss, listed(2, "second"), listed(1, "first"))
    assert changes == ListingChanges(discovered=("first", "second"))
    first = get_key(store, "first")
    assert (first.id, first.secret_encrypted, first.hint) == (2, None, "sk-or-…1c96")
    assert first.is_active
    assert first.listing is not None
    assert first.listing.account_key_id == boss.id


def test_the_same_list_again_changes_nothing(store: Store, boss: StoredKey) -> None:
    told = [listed(1, "red"), listed(2, "red"), listed(3, "")]
    merge(store, boss, *told)
    before = names(store)
    assert merge(store, boss, *told) == ListingChanges()
    assert names(store) == before


def test_a_key_without_a_label_is_hinted_at_by_its_hash(store: Store, boss: StoredKey) -> None:
    merge(store, boss, listed(1, "red", facts=KeyFacts(KeyKind.INFERENCE)))
    assert get_key(store, "red").hint == f"#{hash_secret('1')[:6]}"


def test_a_key_with_the_name_of_one_that_is_watched_here_is_numbered(store: Store, boss: StoredKey) -> None:
    add_key(store, "red")
    merge(store, boss, listed(1, "red"))
    assert get_key(store, f"red ({hash_secret('1')[:6]})").listing is not None


def test_long_names_are_cut_and_names_of_nothing_replaced(store: Store, boss: StoredKey) -> None:
    merge(store, boss, listed(1, "x" * 300), listed(2, " \t"), listed(3, "a\x07b"))
    told = names(store)
    assert told[hash_secret("1")] == "x" * 100
    assert told[hash_secret("2")] == f"key {hash_secret('2')[:6]}"
    assert told[hash_secret("3")].isprintable()


def test_a_management_key_in_the_list_stays_one(store: Store, boss: StoredKey) -> None:
    merge(store, boss, replace(listed(1, "boss"), key_hash=boss.key_hash))
    assert get_key(store, "boss").is_management


def test_a_key_that_was_removed_here_is_watched_again_under_a_free_name(
    store: Store, boss: StoredKey
) -> None:
    key = add_key(store, "red")
    with store.write() as connection:
        keys.forget_secret(connection, key.id, NOW)
        keys.rename_key(connection, key.id, "blue")
    add_key(store, "blue")
    merge(store, boss, replace(listed(1, "blue"), key_hash=key.key_hash))
    again = get_key(store, f"blue ({key.key_hash[:6]})")
    assert (again.id, again.removed_at, again.is_active) == (key.id, None, True)


LISTINGS = st.lists(
    st.dictionaries(st.integers(1, 4), st.sampled_from(["red", "blue", "", "red\n"]), max_size=4), max_size=6
)


@given(LISTINGS)
@settings(max_examples=60)
def test_whatever_is_listed_in_any_order_each_key_has_a_name_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, new_database: Path, listings: Iterable[dict[int, str]]
) -> None:
    path = shutil.copy(new_database, tmp_path_factory.mktemp("accounts"))
    store = open_store(f"sqlite:///{path}", NOW)
    try:
        boss = add_key(store, "boss", MANAGEMENT)
        known: set[int] = set()
        for told in listings:
            merge(store, boss, *(listed(number, name) for number, name in told.items()))
            known |= told.keys()
            stored = names(store)
            assert stored.keys() == {hash_secret(f"{number}") for number in known}
            assert len(set(stored.values())) == len(stored)
            with store.read() as connection:
                members = accounts.members(connection, boss.id)
            alive = {key.key_hash for key in members if key.listing and key.listing.deleted_at is None}
            assert alive == {hash_secret(f"{number}") for number in told}
    finally:
        store.close()


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
