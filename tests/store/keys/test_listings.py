"""A list of an account's keys, merged into those that are stored."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from orwatch.domain.keys import KeyFacts, KeyKind, ListedKey, StoredKey
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store, open_store
from orwatch.store.keys import accounts, listings
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import ListingChanges
from tests.store.support import add_key, get_key
from tests.support import NOW, examples

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
        return listings.merge_listing(connection, boss, told, now)


def names(store: Store) -> dict[str, str]:
    """The names of all keys but the first by their hashes."""
    with store.read() as connection:
        return {key.key_hash: key.name for key in stored_keys.list_keys(connection)[1:]}


def test_new_keys_are_stored_without_a_secret_in_the_order_of_their_creation(
    store: Store, boss: StoredKey
) -> None:
    told_of = [listed(2, "second"), listed(1, "first")]
    changes = merge(store, boss, *told_of)
    assert changes == ListingChanges(discovered=("first", "second"), oldest=told_of[1].created_at)
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
        stored_keys.forget_secret(connection, key.id, NOW)
        stored_keys.rename_key(connection, key.id, "blue")
    add_key(store, "blue")
    merge(store, boss, replace(listed(1, "blue"), key_hash=key.key_hash))
    again = get_key(store, f"blue ({key.key_hash[:6]})")
    assert (again.id, again.removed_at, again.is_active) == (key.id, None, True)


def test_a_long_list_reads_the_stored_keys_no_more_often_than_a_short_one(
    store: Store, boss: StoredKey
) -> None:
    reads: list[str] = []
    engine = store.backend.engine

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        if statement.startswith("SELECT") and "FROM api_keys" in statement:
            reads.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    merge(store, boss, listed(1, "first"))
    of_one = len(reads)
    reads.clear()
    merge(store, boss, *(listed(number, f"key {number}") for number in range(1, 30)))
    event.remove(engine, "before_cursor_execute", note)

    assert len(reads) == of_one


LISTINGS = st.lists(
    st.dictionaries(st.integers(1, 4), st.sampled_from(["red", "blue", "", "red\n"]), max_size=4), max_size=6
)


@given(LISTINGS)
@settings(max_examples=examples(30))
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
