"""Stored secrets, opened: also while rotations change them and the encryption keys."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orwatch.errors import EncryptionKeyError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.jobs.key.rotation import reencrypt
from orwatch.jobs.key.secrets import open_secrets
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.keys.table import list_sealed
from tests.jobs.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, add_key
from tests.store.support import execute
from tests.support import NOW, secret_of

THIRD_KEY = "dGhpcmR0aGlyZHRoaXJkdGhpcmR0aGlyZHRoaXJkdDM="


def test_a_rotation_that_ended_before_the_secrets_were_read_changes_nothing(store: Store) -> None:
    add_key(store, encryption_key=OTHER_ENCRYPTION_KEY)
    keyring = Keyring([ENCRYPTION_KEY], lambda: [OTHER_ENCRYPTION_KEY])

    assert open_secrets(store, keyring, key_jobs.list_keys(store)) == ({1: secret_of("work")}, {})


def test_secrets_that_were_read_before_a_rotation_are_read_again(store: Store) -> None:
    key = add_key(store)
    gone = add_key(store, "gone")
    current = [OTHER_ENCRYPTION_KEY]

    def read() -> Sequence[str]:
        """What is in the env file, where rotation follows rotation."""
        if current == [OTHER_ENCRYPTION_KEY]:
            reencrypt(store, Keyring([THIRD_KEY, ENCRYPTION_KEY]))
            key_jobs.remove(store, "gone", NOW, with_history=False)
            current[:] = [THIRD_KEY]
        return current

    assert open_secrets(store, Keyring([OTHER_ENCRYPTION_KEY], read), [key, gone]) == (
        {key.id: secret_of("work")},
        {},
    )


def test_secrets_that_keys_had_before_are_read_again_too(store: Store) -> None:
    add_key(store)
    replacing.replace(store, Keyring([ENCRYPTION_KEY]), "work", secret_of("new"), None, NOW)
    with store.read() as connection:
        sealed = list_sealed(connection)
    reencrypt(store, Keyring([THIRD_KEY, ENCRYPTION_KEY]))

    assert open_secrets(store, Keyring([OTHER_ENCRYPTION_KEY], lambda: [THIRD_KEY]), sealed) == (
        {1: secret_of("work"), 2: secret_of("new")},
        {},
    )


def test_a_secret_that_no_encryption_key_opens_is_told_once_they_stay_the_same(store: Store) -> None:
    add_key(store)
    add_key(store, "broken")
    execute(store, "UPDATE api_keys SET secret_encrypted = 'rubbish' WHERE name = 'broken'")
    keyring = Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY], lambda: [ENCRYPTION_KEY])

    secrets, unopened = open_secrets(store, keyring, key_jobs.list_keys(store))
    assert (secrets, set(unopened)) == ({1: secret_of("work")}, {2})
    with pytest.raises(EncryptionKeyError, match="does not open"):
        open_secrets(store, Keyring([OTHER_ENCRYPTION_KEY], lambda: [THIRD_KEY]), key_jobs.list_keys(store))


def test_where_no_key_is_there_none_is_needed(store: Store) -> None:
    assert open_secrets(store, Keyring([]), []) == ({}, {})
