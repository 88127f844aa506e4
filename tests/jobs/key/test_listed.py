"""Keys that a management key lists: added, disabled, renamed and removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.errors import OrwatchError, UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.secrets import Keyring, Vault
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, add_key
from tests.jobs.sync.account_support import (
    MANAGEMENT,
    add_owner,
    list_under,
    listed,
    note_account,
    note_credits,
    note_spent,
)
from tests.store.support import dump, get_key, on_each_engine, scalar
from tests.support import NOW, secret_of

pytestmark = on_each_engine


@pytest.fixture
def owner(store: Store) -> StoredKey:
    """A management key whose account has a ``production`` and a ``ci``, both with usage."""
    owner = add_owner(store)
    list_under(store, owner, listed("production"), listed("ci", age_days=100))
    for name in ("ops", "production", "ci"):
        note_spent(store, name, "1")
    return owner


def names(store: Store) -> list[str]:
    return [key.name for key in key_jobs.list_keys(store)]


def delete_ci(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("production"))


def test_the_secret_of_a_discovered_key_becomes_its_own_and_its_history_stays(
    store: Store, owner: StoredKey
) -> None:
    before = get_key(store, "production")

    key_jobs.check_can_add(store, Keyring([ENCRYPTION_KEY]), "prod", secret_of("production"))
    added = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "prod", secret_of("production"), None, NOW)

    assert added == replace(
        before,
        name="prod",
        secret_encrypted=added.secret_encrypted,
        hint=added.hint,
    )
    assert added.hint == f"sk-or-…{secret_of('production')[-4:]}"
    assert Vault([ENCRYPTION_KEY]).open(added.secret_encrypted or "") == secret_of("production")
    assert key_jobs.lister_of(store, added) == "ops"
    assert scalar(store, f"SELECT count(*) FROM usage_stats WHERE api_key_id = {added.id}") == 1


def test_a_discovered_key_may_keep_its_name(store: Store, owner: StoredKey) -> None:
    added = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "production", secret_of("production"), None, NOW)

    assert added.secret_encrypted is not None
    assert names(store) == ["ops", "production", "ci"]


def test_a_secret_that_was_added_is_refused_the_second_time(store: Store, owner: StoredKey) -> None:
    add_key(store, "production")

    with pytest.raises(UsageError, match="this secret is stored already, as 'production'"):
        key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "again", secret_of("production"), None, NOW)


def test_the_name_of_another_discovered_key_is_refused(store: Store, owner: StoredKey) -> None:
    with pytest.raises(UsageError, match="a key named 'ci' exists already"):
        key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "ci", secret_of("production"), None, NOW)


def test_a_persons_name_outlives_the_next_list(store: Store, owner: StoredKey) -> None:
    key_jobs.rename(store, "production", "shop")

    list_under(
        store, owner, replace(listed("production"), name="renamed"), replace(listed("ci"), name="robot")
    )

    assert names(store) == ["ops", "shop", "robot"]


@pytest.mark.parametrize("is_known", [False, True])
def test_a_management_key_has_no_usage_of_its_own_to_ask_for(store: Store, is_known: bool) -> None:
    if is_known:
        add_owner(store)
        key_jobs.remove(store, "ops", NOW, with_history=False)
    before = dump(store, "api_keys")

    with pytest.raises(UsageError, match=r"a management key has no usage of its own.*Nothing was stored"):
        key_jobs.add(
            store,
            Keyring([ENCRYPTION_KEY]),
            "ops",
            secret_of("ops"),
            None if is_known else MANAGEMENT,
            NOW,
            source_setting=UsageSource.USAGE,
        )

    assert dump(store, "api_keys") == before


@pytest.mark.parametrize("source", [UsageSource.ACTIVITY, UsageSource.ANALYTICS, UsageSource.COUNTERS])
def test_a_management_key_may_have_any_other_source(store: Store, source: UsageSource) -> None:
    key = key_jobs.add(
        store, Keyring([ENCRYPTION_KEY]), "ops", secret_of("ops"), MANAGEMENT, NOW, source_setting=source
    )

    assert key.source_setting is source


def test_a_listed_key_with_a_secret_loses_that_and_stays(store: Store, owner: StoredKey) -> None:
    before = add_key(store, "production").listing
    with store.write() as connection:
        key_id = get_key(store, "production").id
        stored_keys.set_inactive(connection, key_id, InactiveReason.INVALID, NOW)
        stored_keys.record_sync_failure(connection, key_id, "401")

    assert key_jobs.plan_removal(store, "production", with_history=False).listed_by == "ops"
    removal = key_jobs.remove(store, "production", NOW, with_history=False)

    after = get_key(store, "production")
    assert (removal.listed_by, removal.rows) == ("ops", 0)
    assert (after.secret_encrypted, after.is_active, after.removed_at) == (None, True, None)
    assert (after.inactive_reason, after.inactive_since, after.last_sync_error) == (None, None, None)
    assert (after.source_setting, after.listing) == (None, before)
    assert len(dump(store, "usage_stats")) == 3


@pytest.mark.parametrize(("has_secret", "with_history"), [(False, False), (False, True), (True, True)])
def test_what_the_next_sync_would_find_again_is_not_removed(
    store: Store, owner: StoredKey, has_secret: bool, with_history: bool
) -> None:
    if has_secret:
        add_key(store, "production")
    before = dump(store, "api_keys"), dump(store, "usage_stats")

    for refuse in (
        lambda: key_jobs.plan_removal(store, "production", with_history=with_history),
        lambda: key_jobs.remove(store, "production", NOW, with_history=with_history),
    ):
        with pytest.raises(OrwatchError, match=r"Delete it at OpenRouter, or remove 'ops'") as refused:
            refuse()
        assert refused.value.exit_code == 1

    assert (dump(store, "api_keys"), dump(store, "usage_stats")) == before


def test_a_key_that_was_deleted_may_be_removed_and_keeps_its_history(store: Store, owner: StoredKey) -> None:
    delete_ci(store, owner)

    key_jobs.remove(store, "ci", NOW, with_history=False)

    assert names(store) == ["ops", "production"]
    assert len(dump(store, "usage_stats")) == 3


def test_a_key_that_was_deleted_may_be_purged(store: Store, owner: StoredKey) -> None:
    delete_ci(store, owner)

    assert key_jobs.remove(store, "ci", NOW, with_history=True).rows == 1

    assert len(dump(store, "usage_stats")) == 2
    assert len(dump(store, "api_keys")) == 2


def test_with_a_management_key_go_the_keys_that_only_it_told_of(store: Store, owner: StoredKey) -> None:
    add_key(store, "ci")

    removal = key_jobs.remove(store, "ops", NOW, with_history=False)

    assert [key.name for key in removal.members.discovered] == ["production"]
    assert [key.name for key in removal.members.with_secret] == ["ci"]
    assert names(store) == ["ci"]
    assert get_key(store, "ci").listing is None
    assert get_key(store, "ci").is_active
    gone = get_key(store, "production")
    assert (gone.removed_at, gone.is_active) == (NOW, False)
    assert len(dump(store, "usage_stats")) == 3


def test_a_deleted_key_is_gone_with_its_management_key_too(store: Store, owner: StoredKey) -> None:
    delete_ci(store, owner)

    removal = key_jobs.remove(store, "ops", NOW, with_history=False)

    assert [key.name for key in removal.members.discovered] == ["production", "ci"]
    assert names(store) == []


def test_a_management_key_that_comes_back_finds_its_keys_and_their_history(
    store: Store, owner: StoredKey
) -> None:
    ids = {key.name: key.id for key in key_jobs.list_keys(store)}
    key_jobs.remove(store, "ops", NOW, with_history=False)

    back = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "ops", secret_of("ops"), MANAGEMENT, NOW)
    list_under(store, back, listed("production"), listed("ci"))

    assert {key.name: key.id for key in key_jobs.list_keys(store)} == ids
    assert all(key.is_active for key in key_jobs.list_keys(store))


def test_a_key_that_went_with_its_management_key_comes_back_as_an_ordinary_one(
    store: Store, owner: StoredKey
) -> None:
    delete_ci(store, owner)
    key_jobs.remove(store, "ops", NOW, with_history=False)

    for name in ("production", "ci"):
        back = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), name, secret_of(name), None, NOW)
        assert (back.listing, back.is_active, key_jobs.lister_of(store, back)) == (None, True, None)
        key_jobs.remove(store, name, NOW, with_history=True)

    assert len(dump(store, "usage_stats")) == 1


def test_purging_a_management_key_takes_its_own_rows_and_its_account_along(
    store: Store, owner: StoredKey
) -> None:
    add_key(store, "ci")
    note_account(store, owner, account_id="account")
    note_credits(store, owner, "100", "25")

    removal = key_jobs.remove(store, "ops", NOW, with_history=True)

    assert removal.rows == 1
    assert dump(store, "accounts") == dump(store, "account_credits") == []
    assert names(store) == ["ci"]
    # Ids are given again: nothing may still point at this one.
    assert scalar(store, "SELECT count(*) FROM api_keys WHERE account_key_id IS NOT NULL") == 0
    assert len(dump(store, "usage_stats")) == 2
    assert get_key(store, "production").removed_at == NOW


def test_a_discovered_key_cannot_be_disabled_here(store: Store, owner: StoredKey) -> None:
    with pytest.raises(
        OrwatchError, match=r"'production' has no secret here: its usage is read through 'ops'"
    ):
        key_jobs.disable(store, "production", NOW)

    assert get_key(store, "production").is_active
    assert not key_jobs.enable(store, "production")


def test_a_management_key_and_a_listed_key_with_a_secret_can_be_disabled(
    store: Store, owner: StoredKey
) -> None:
    key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "ci", secret_of("ci"), KeyFacts(KeyKind.INFERENCE), NOW)

    assert key_jobs.disable(store, "ops", NOW)
    assert key_jobs.disable(store, "ci", NOW)
    assert [key.is_active for key in key_jobs.list_keys(store)] == [False, True, False]
