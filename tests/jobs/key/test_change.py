"""Keys: added, named, switched and removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind
from orwatch.errors import EncryptionKeyError, UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key.overview import describe
from orwatch.jobs.key.selection import check_names
from orwatch.secrets import Keyring, Vault, hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import (
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    add_key,
    days_ago,
    spend,
)
from tests.store.support import dump, get_key
from tests.support import NOW, SECRET, TODAY, secret_of


def names(store: Store) -> list[str]:
    return [key.name for key in key_jobs.list_keys(store)]


def add(store: Store, name: str, secret: str, *encryption_keys: str) -> None:
    key_jobs.add(store, Keyring(encryption_keys or [ENCRYPTION_KEY]), name, secret, None, NOW)


def check(store: Store, name: str, secret: str) -> None:
    key_jobs.check_can_add(store, Keyring([ENCRYPTION_KEY]), name, secret)


@pytest.mark.parametrize(
    ("text", "name"), [("work", "work"), ("  my laptop \n", "my laptop"), ("büro", "büro"), ("x" * 100,) * 2]
)
def test_a_name_loses_the_white_space_around_it(text: str, name: str) -> None:
    assert key_jobs.clean_name(text) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the name is empty"),
        (" \t\n", "the name is empty"),
        ("a\x1b[31mb", "the name 'a�[31mb' has control characters in it"),
        ("a\nb", "has control characters"),
        ("a\u202eb", "has control characters"),
        (f"my {SECRET}", "the name looks like a secret"),
        (f"{SECRET}\x1b", "the name looks like a secret"),
        ("x" * 101, "the name has 101 characters; 100 are allowed"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        key_jobs.clean_name(text)

    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_new_key_is_stored_sealed_with_a_hint_and_its_hash(store: Store) -> None:
    known = KeyFacts(KeyKind.INFERENCE, label="laptop")
    key = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "work", SECRET, known, NOW)

    assert (key.name, key.hint, key.is_active, key.facts) == ("work", "sk-or-…a29f", True, known)
    assert key.key_hash == hash_secret(SECRET)
    assert Vault([ENCRYPTION_KEY]).open(key.secret_encrypted or "") == SECRET
    assert SECRET not in repr(dump(store, "api_keys"))
    assert key_jobs.get_key(store, "work") == key


def test_keys_are_listed_in_the_order_they_came(store: Store) -> None:
    for name in ("b", "a", "c"):
        add_key(store, name)

    assert names(store) == ["b", "a", "c"]


def test_a_taken_name_is_refused_and_changes_nothing(store: Store) -> None:
    add_key(store)

    for refuse in (check, add):
        with pytest.raises(UsageError, match=r"^a key named 'work' exists already") as refused:
            refuse(store, "work", SECRET)
        assert refused.value.exit_code == 2

    assert len(dump(store, "api_keys")) == 1


def test_a_taken_secret_is_refused_with_the_name_it_has(store: Store) -> None:
    add(store, "work", SECRET)

    for refuse in (check, add):
        with pytest.raises(UsageError, match=r"^this secret is stored already, as 'work'"):
            refuse(store, "other", SECRET)

    assert names(store) == ["work"]


def test_a_new_name_and_a_new_secret_are_fine(store: Store) -> None:
    add_key(store)

    check(store, "other", SECRET)
    add(store, "other", SECRET)

    assert names(store) == ["work", "other"]


@pytest.mark.parametrize("encryption_key", [OTHER_ENCRYPTION_KEY, "nonsense"])
def test_an_encryption_key_that_does_not_fit_stores_nothing(store: Store, encryption_key: str) -> None:
    add_key(store)

    with pytest.raises(EncryptionKeyError):
        add(store, "other", SECRET, encryption_key)

    assert names(store) == ["work"]


def test_any_of_several_encryption_keys_may_fit_and_the_first_one_seals(store: Store) -> None:
    add_key(store)

    add(store, "other", SECRET, OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY)

    assert Vault([OTHER_ENCRYPTION_KEY]).open(get_key(store, "other").secret_encrypted or "") == SECRET


def test_a_removed_key_keeps_its_history_and_has_no_secret(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, "a", "1"))

    assert key_jobs.remove(store, "work", NOW, with_history=False).rows == 0

    assert names(store) == []
    assert get_key(store).secret_encrypted is None
    assert len(dump(store, "usage_stats")) == 1
    with pytest.raises(UsageError, match="'work' is removed already"):
        key_jobs.remove(store, "work", NOW, with_history=False)


def test_a_removed_key_that_is_added_again_gets_its_history_back_under_its_new_name(store: Store) -> None:
    before = add_key(store)
    spend(store, (TODAY, "a", "1"))
    key_jobs.remove(store, "work", NOW, with_history=False)

    check(store, "again", secret_of("work"))
    after = key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "again", secret_of("work"), None, NOW)

    assert after == replace(before, name="again", secret_encrypted=after.secret_encrypted)
    assert Vault([ENCRYPTION_KEY]).open(after.secret_encrypted or "") == secret_of("work")
    assert {row[1] for row in dump(store, "usage_stats")} == {after.id}


def test_a_removed_keys_name_may_be_given_to_another_secret(store: Store) -> None:
    first = add_key(store)
    key_jobs.remove(store, "work", NOW, with_history=False)

    add(store, "work", SECRET)

    assert key_jobs.get_key(store, "work").id != first.id


def test_a_removed_key_cannot_come_back_under_a_name_that_is_taken_meanwhile(store: Store) -> None:
    add_key(store)
    key_jobs.remove(store, "work", NOW, with_history=False)
    add(store, "work", SECRET)

    with pytest.raises(UsageError, match="a key named 'work' exists already"):
        add(store, "work", secret_of("work"))


def test_a_purge_takes_the_history_too_and_counts_its_rows(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, "a", "1"), (days_ago(1), "a", "1"))

    assert key_jobs.remove(store, "work", NOW, with_history=True).rows == 2

    assert dump(store, "usage_stats") == dump(store, "usage_days") == dump(store, "api_keys") == []


def test_a_key_is_renamed_and_keeps_everything_else(store: Store) -> None:
    key = add_key(store)

    key_jobs.rename(store, "work", "play")

    assert key_jobs.list_keys(store) == [replace(key, name="play")]


def test_a_rename_to_a_taken_name_is_refused_and_to_its_own_is_not(store: Store) -> None:
    add_key(store)
    add_key(store, "other")

    with pytest.raises(UsageError, match="a key named 'other' exists already"):
        key_jobs.rename(store, "work", "other")
    key_jobs.rename(store, "work", "work")

    assert names(store) == ["work", "other"]


def test_a_rename_to_the_name_of_a_removed_key_is_fine(store: Store) -> None:
    add_key(store)
    add_key(store, "gone")
    key_jobs.remove(store, "gone", NOW, with_history=False)

    key_jobs.rename(store, "work", "gone")

    assert names(store) == ["gone"]


def test_a_key_is_disabled_with_reason_and_time_and_enabled_again(store: Store) -> None:
    key = add_key(store)

    assert key_jobs.disable(store, "work", NOW)
    off = key_jobs.get_key(store, "work")
    assert not key_jobs.disable(store, "work", NOW)
    assert key_jobs.enable(store, "work")
    assert not key_jobs.enable(store, "work")

    assert (off.is_active, off.inactive_reason, off.inactive_since) == (False, InactiveReason.DISABLED, NOW)
    assert key_jobs.get_key(store, "work") == key


def test_disabling_an_invalid_key_makes_that_a_persons_wish(store: Store) -> None:
    key = add_key(store)
    with store.write() as connection:
        stored_keys.set_inactive(connection, key.id, InactiveReason.INVALID, NOW)

    assert key_jobs.disable(store, "work", NOW)
    assert key_jobs.get_key(store, "work").inactive_reason is InactiveReason.DISABLED


def test_an_invalid_key_that_a_person_enables_is_watched_again(store: Store) -> None:
    key = add_key(store)
    with store.write() as connection:
        stored_keys.set_inactive(connection, key.id, InactiveReason.INVALID, NOW)

    assert key_jobs.enable(store, "work")
    assert key_jobs.get_key(store, "work") == key


def test_an_encryption_key_that_does_not_fit_is_found_before_anybody_is_asked(store: Store) -> None:
    add_key(store)

    with pytest.raises(EncryptionKeyError, match="does not open the stored secret"):
        key_jobs.check_can_add(store, Keyring([OTHER_ENCRYPTION_KEY]), "other", SECRET)
    with pytest.raises(EncryptionKeyError, match="is not set"):
        key_jobs.check_can_add(store, Keyring([]), "other", SECRET)


def test_a_removed_key_can_be_shown_renamed_and_purged(store: Store) -> None:
    add_key(store, "old")
    spend(store, (TODAY, "x", "1.5"))
    key_jobs.remove(store, "old", NOW, with_history=False)

    key_jobs.rename(store, "old", "laptop of 2025")
    shown = describe(store, "laptop of 2025", NOW).overview
    assert (shown.key.state(NOW), shown.spent_month_usd) == ("removed", Decimal("1.5"))
    with pytest.raises(UsageError, match=r"is removed already; its usage is kept\. --purge deletes that too"):
        key_jobs.remove(store, "laptop of 2025", NOW, with_history=False)

    assert key_jobs.remove(store, "laptop of 2025", NOW, with_history=True).rows == 1
    assert (dump(store, "api_keys"), dump(store, "usage_days")) == ([], [])


def test_a_name_is_that_of_the_watched_key_before_removed_ones_and_of_the_last_removed(store: Store) -> None:
    for number in (1, 2, 3):
        add(store, "work", secret_of(str(number)))
        key_jobs.remove(store, "work", NOW + timedelta(days=number), with_history=False)
    assert describe(store, "work", NOW).overview.key.id == 3
    add(store, "work", secret_of("4"))
    assert describe(store, "work", NOW).overview.key.id == 4

    key_jobs.remove(store, "work", NOW, with_history=True)
    key_jobs.rename(store, "work", "third")
    with pytest.raises(UsageError, match="a key named 'third' exists already"):
        key_jobs.rename(store, "work", "third")
    with pytest.raises(UsageError, match=r"there is no key named 'wrok'\. Did you mean 'work'\?"):
        key_jobs.rename(store, "wrok", "x")


def test_a_removed_key_whose_name_is_taken_again_goes_by_what_reports_call_it(store: Store) -> None:
    for number in (1, 2, 3):
        add(store, "work", secret_of(str(number)))
        if number < 3:
            key_jobs.remove(store, "work", NOW + timedelta(days=number), with_history=False)

    assert key_jobs.known_names(store) == ["work (removed)", "work (removed) #2", "work"]
    assert describe(store, "work (removed)", NOW).overview.key.id == 1
    assert describe(store, "work (removed) #2", NOW).overview.key.id == 2
    key_jobs.rename(store, "work (removed) #2", "second")
    key_jobs.remove(store, "work (removed)", NOW, with_history=True)
    assert key_jobs.known_names(store) == ["second (removed)", "work"]
    # A watched key keeps the name that it has.
    key_jobs.rename(store, "work", "second (removed)")
    assert describe(store, "second (removed)", NOW).overview.key.id == 3
    assert describe(store, "second (removed) #2", NOW).overview.key.id == 2


@pytest.mark.parametrize("name", ["work", "work (removed)"])
def test_what_is_for_watched_keys_says_that_a_key_was_removed(store: Store, name: str) -> None:
    add_key(store, "work")
    key_jobs.remove(store, "work", NOW, with_history=False)

    for use in (
        lambda: key_jobs.enable(store, name),
        lambda: key_jobs.disable(store, name, NOW),
        lambda: check_names(store, [name]),
    ):
        with pytest.raises(UsageError) as refused:
            use()
        assert refused.value.problem == f"{name!r} was removed; its usage is kept"
        assert refused.value.advice == "`orwatch key add` with its secret watches it again, with its history."
