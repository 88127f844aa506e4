"""``orwatch key`` with a management key and the keys of its account."""

from __future__ import annotations

import json

import pytest
import respx

from orwatch.domain.keys import KeyFacts, KeyKind, ListedKey
from orwatch.secrets import hash_secret
from orwatch.store.keys import listings
from tests.cli.support import CI_SECRET, SECRET, Home, Orwatch, key_answer, piped
from tests.support import NOW


def listed(name: str, secret: str) -> ListedKey:
    return ListedKey(hash_secret(secret), name, "Default", False, NOW, KeyFacts(KeyKind.INFERENCE))


@pytest.fixture(autouse=True)
def account(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A management key ``ops`` that lists ``production`` (its secret in a pipe) and ``ci``."""
    home.set_up("ops")
    with home.store() as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET kind = 'management'")
    relist(home, listed("production", SECRET), listed("ci", CI_SECRET))
    monkeypatch.setattr("sys.stdin", piped(SECRET.encode()))


def relist(home: Home, *keys: ListedKey) -> None:
    owner = home.keys()["ops"]
    with home.store() as store, store.write() as connection:
        listings.merge_listing(connection, owner, keys, NOW)


def test_the_secret_of_a_discovered_key_says_whose_it_is(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/key").mock(return_value=key_answer())
    code, out, err = orwatch("key", "add", "shop")
    assert (code, err) == (0, "")
    assert out == (
        f"Stored 'shop' (sk-or-…{SECRET[-4:]}, inference). "
        "It is the key 'production' that 'ops' lists: its history stays.\n"
    )
    assert sorted(home.keys()) == ["ci", "ops", "shop"]


@pytest.mark.parametrize("new_name", [None, "builds"])
def test_of_two_keys_of_one_name_it_says_by_which_name_it_has_listed_it(
    orwatch: Orwatch, home: Home, new_name: str | None
) -> None:
    relist(home, listed("ci", CI_SECRET), listed("ci", SECRET))
    name = f"ci ({hash_secret(SECRET)[:6]})"
    assert name in list(home.keys())
    if new_name is not None:
        assert orwatch("key", "rename", name, new_name).code == 0
    out = orwatch("key", "add", "shop", "--no-check").out
    assert f"It is the key {new_name or name!r} that 'ops' lists: its history stays.\n" in out


@pytest.mark.parametrize("source", ["usage", "counters", "activity", "analytics"])
def test_a_listed_key_may_have_any_source_without_a_warning(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, source: str
) -> None:
    api.get("/key").mock(return_value=key_answer())
    code, _out, err = orwatch("key", "add", "production", "--source", source)
    assert (code, err) == (0, "")
    setting = home.keys()["production"].source_setting
    assert setting is not None
    assert setting.value == source


@pytest.mark.parametrize("source", ["activity", "analytics"])
def test_an_ordinary_key_that_needs_a_management_key_is_stored_with_a_warning(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    monkeypatch.setattr("sys.stdin", piped(b"sk-or-v1-somebody-else"))
    api.get("/key").mock(return_value=key_answer())
    code, out, err = orwatch("key", "add", "other", "--source", source)
    assert (code, out.startswith("Stored 'other'")) == (0, True)
    assert err == (
        f"orwatch: 'other' is an ordinary key: with --source {source} its usage is read only "
        "through a management key of its account. Add one, or its syncs will fail.\n"
    )


def test_one_discovered_key_is_shown_with_its_list(orwatch: Orwatch) -> None:
    code, out, err = orwatch("key", "show", "ci")
    assert (code, err) == (0, "")
    assert "Listed by       ops\n" in out
    members = json.loads(orwatch("key", "show", "ci", "--json").out)["key"]
    assert (members["listed_by"], members["is_discovered"], members["account"]) == ("ops", True, None)
    account = json.loads(orwatch("key", "show", "ops", "--json").out)["key"]["account"]
    assert (account["keys"], account["balance"]) == (2, None)


@pytest.mark.parametrize("options", [["--yes"], [], ["--purge", "--yes"]])
def test_a_discovered_key_is_not_removed_and_nobody_is_asked(
    orwatch: Orwatch, home: Home, options: list[str]
) -> None:
    code, out, err = orwatch("key", "remove", "ci", *options)
    assert (code, out) == (1, "")
    assert err == (
        "orwatch: 'ci' is a key of the account that 'ops' watches: the next sync would find it again. "
        "Delete it at OpenRouter, or remove 'ops'. Nothing was removed.\n"
    )
    assert "ci" in list(home.keys())


def test_of_a_listed_key_only_the_secret_is_forgotten(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    orwatch("key", "add", "production", "--no-check")
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, out, err = orwatch("key", "remove", "production")
    assert code == 0
    assert "Forget the secret of 'production' (the key stays: 'ops' lists it)? [y/N]" in err
    assert out.strip() == "Forgot the secret of 'production'. The key stays: 'ops' lists it."
    assert home.keys()["production"].secret_encrypted is None


def test_removing_a_management_key_says_what_goes_with_it(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    orwatch("key", "add", "production", "--no-check")
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, out, err = orwatch("key", "remove", "ops")
    assert code == 0
    assert "Remove 'ops' (its usage stays), and the 1 key known from it alone (usage stays)? [y/N]" in err
    assert out.strip() == (
        "Removed 'ops'; its usage stays. Also removed 1 key known from it alone; the usage stays. "
        "1 key with a secret of its own is watched as before."
    )
    assert list(home.keys()) == ["production"]


def test_purging_a_management_key_leaves_the_usage_of_its_keys(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("key", "remove", "ops", "--purge", "--yes")
    assert (code, err) == (0, "")
    assert out == (
        "Removed 'ops' and 0 rows of usage. Also removed 2 keys known from it alone; the usage stays.\n"
    )
    assert home.keys() == {}


def test_disabling_says_what_that_means_for_an_account(orwatch: Orwatch, home: Home) -> None:
    orwatch("key", "add", "production", "--no-check")
    assert orwatch("key", "disable", "production").out == (
        "'production' is disabled. Its own secret is not used; its usage is still read through 'ops'.\n"
    )
    code, out, err = orwatch("key", "disable", "ci")
    assert (code, out) == (1, "")
    assert err.startswith("orwatch: 'ci' has no secret here: its usage is read through 'ops'.")
    assert orwatch("key", "disable", "ops").out == "'ops' is disabled. Its account is not read any more.\n"
    assert orwatch("key", "enable", "ops").out == "'ops' is watched again.\n"


def test_status_tells_no_trouble_of_discovered_keys(orwatch: Orwatch) -> None:
    code, out, err = orwatch("status")
    assert (code, err) == (0, "")
    assert "Balance:  –\n" in out
    assert out.endswith("Nothing needs you.\n")
