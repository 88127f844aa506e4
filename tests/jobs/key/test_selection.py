"""Keys by their names."""

from __future__ import annotations

import pytest

from orwatch.domain.keys import StoredKey
from orwatch.errors import UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key.selection import find_key, keys_without_account, select_keys
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.sync.account_support import add_owner, list_under, listed
from tests.store.support import add_key
from tests.support import NOW


@pytest.fixture
def keys(store: Store) -> list[StoredKey]:
    for name in ("beta", "alpha", "gamma"):
        add_key(store, name)
    with store.read() as connection:
        return stored_keys.list_keys(connection)


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], ["beta", "alpha", "gamma"]),
        (["gamma"], ["gamma"]),
        (["gamma", "beta"], ["beta", "gamma"]),
        (["alpha", "alpha"], ["alpha"]),
    ],
)
def test_the_named_keys_come_once_each_in_the_order_of_the_keys(
    keys: list[StoredKey], names: list[str], selected: list[str]
) -> None:
    assert [key.name for key in select_keys(keys, names)] == selected


def test_a_key_is_found_by_its_name(keys: list[StoredKey]) -> None:
    assert find_key(keys, "alpha").name == "alpha"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gama", "there is no key named 'gama'. Did you mean 'gamma'?"),
        ("GAM", "there is no key named 'GAM'. Did you mean 'gamma'?"),
        ("zzz", "there is no key named 'zzz'. `orwatch key list` shows the names."),
        ("a\x1b[31m", "there is no key named 'a�[31m'. `orwatch key list` shows the names."),
    ],
)
def test_a_name_that_no_key_has_is_refused_with_the_nearest_one(
    keys: list[StoredKey], name: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        select_keys(keys, ["alpha", name])

    assert str(refused.value) == message
    assert refused.value.advice == message.partition(". ")[2]
    assert refused.value.exit_code == 2


def test_every_name_is_unknown_where_there_are_no_keys() -> None:
    assert select_keys([], []) == []
    with pytest.raises(UsageError, match="there is no key named 'work'"):
        find_key([], "work")


def test_a_key_without_an_account_is_active_and_neither_a_management_key_nor_listed(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("found"))
    for name in ("own", "asleep"):
        add_key(store, name)
    key_jobs.disable(store, "asleep", NOW)
    assert keys_without_account(store, ()) == ["own"]
    assert keys_without_account(store, ["found", "ops"]) == []
