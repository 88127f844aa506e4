"""Rotation: every secret under a new encryption key, and nothing lost wherever it stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from orwatch.config.env_file import write_encryption_keys
from orwatch.errors import EncryptionKeyError, StoreUnusableError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.jobs.key import rotation
from orwatch.secrets import Keyring, Vault
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, add_key
from tests.store.support import dump, execute, on_each_engine
from tests.support import NOW, SECRET, secret_of


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "settings" / ".env"
    write_encryption_keys(path, (ENCRYPTION_KEY,))
    return path


def listed(env_file: Path) -> list[str]:
    """The encryption keys of the env file."""
    return env_file.read_text(encoding="utf-8").strip().partition("=")[2].split(",")


def keyring_of(env_file: Path) -> Keyring:
    return Keyring(listed(env_file), lambda: listed(env_file))


def opened(store: Store, *encryption_keys: str) -> list[str]:
    vault = Vault(encryption_keys)
    with store.read() as connection:
        return [vault.open(row.secret_encrypted or "") for row in stored_keys.list_sealed(connection)]


def test_all_secrets_are_sealed_again_under_the_newest_encryption_key(store: Store) -> None:
    for name in ("a", "b"):
        add_key(store, name)
    add_key(store, "gone")
    key_jobs.remove(store, "gone", NOW, with_history=False)

    assert rotation.reencrypt(store, Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY])) == 2

    assert opened(store, OTHER_ENCRYPTION_KEY) == [secret_of("a"), secret_of("b")]


def test_secrets_of_different_ages_are_all_opened_by_a_list_of_encryption_keys(store: Store) -> None:
    add_key(store, "a")
    key_jobs.add(store, Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY]), "b", SECRET, None, NOW)

    assert rotation.reencrypt(store, Keyring([ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY])) == 2
    assert opened(store, ENCRYPTION_KEY) == [secret_of("a"), SECRET]


def test_when_one_secret_does_not_open_none_is_changed(store: Store, env_file: Path) -> None:
    add_key(store, "a")
    key_jobs.add(store, Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY]), "b", SECRET, None, NOW)
    before = dump(store, "api_keys")

    with pytest.raises(EncryptionKeyError, match="the secret of 'b'; nothing was changed"):
        rotation.reencrypt(store, Keyring([ENCRYPTION_KEY]))
    with pytest.raises(EncryptionKeyError, match="the secret of 'b'; nothing was changed"):
        rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    assert dump(store, "api_keys") == before
    assert listed(env_file) == [ENCRYPTION_KEY]


def test_a_reencryption_that_is_killed_half_way_has_changed_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        add_key(store, name)
    before = dump(store, "api_keys")
    update = stored_keys.update_key
    updated: list[object] = []

    def update_one_and_die(*arguments: object) -> None:
        if updated:
            raise KeyboardInterrupt
        update(*arguments)  # type: ignore[arg-type]
        updated.append(arguments)

    monkeypatch.setattr(stored_keys, "update_key", update_one_and_die)
    with pytest.raises(KeyboardInterrupt):
        rotation.reencrypt(store, Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY]))

    assert dump(store, "api_keys") == before


def test_without_keys_there_is_nothing_to_reencrypt(store: Store) -> None:
    assert rotation.reencrypt(store, Keyring([ENCRYPTION_KEY])) == 0


def test_a_key_whose_secret_is_lost_is_passed_over(store: Store) -> None:
    add_key(store, "lost")
    add_key(store, "kept")
    execute(store, "UPDATE api_keys SET secret_encrypted = NULL WHERE name = 'lost'")

    assert rotation.reencrypt(store, Keyring([ENCRYPTION_KEY])) == 1


def test_a_database_that_can_only_be_read_leaves_the_env_file_as_it_was(store: Store, env_file: Path) -> None:
    add_key(store, "a")
    event.listen(store.backend.engine, "begin", _let_read_only)

    with pytest.raises(StoreUnusableError):
        rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    assert listed(env_file) == [ENCRYPTION_KEY]


def _let_read_only(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA query_only = ON")


@on_each_engine
def test_a_rotation_starts_from_the_encryption_keys_that_are_in_the_env_file_now(
    store: Store, env_file: Path
) -> None:
    """Another one may have ended while this one waited, through another name of the file."""
    add_key(store, "a")
    late = keyring_of(env_file)
    rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    rotation.rotate(store, env_file, late, keeps_old=False)

    assert opened(store, *listed(env_file)) == [secret_of("a")]
    assert len(listed(env_file)) == 1


def test_the_old_encryption_key_stays_where_a_secret_is_not_read_back_with_the_new_one(
    store: Store, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(store, "a")
    monkeypatch.setattr(stored_keys, "replace_secrets", lambda *_arguments: None)

    with pytest.raises(EncryptionKeyError, match="the old ones stay there"):
        rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    assert listed(env_file)[1:] == [ENCRYPTION_KEY]
    assert opened(store, *listed(env_file)) == [secret_of("a")]


def test_a_secret_is_never_under_an_encryption_key_that_is_not_read_from_the_env_file(
    store: Store, env_file: Path
) -> None:
    add_key(store, "a")
    before = dump(store, "api_keys")

    with pytest.raises(EncryptionKeyError, match="is not read from there"):
        rotation.rotate(store, env_file, Keyring([ENCRYPTION_KEY]), keeps_old=False)

    assert dump(store, "api_keys") == before
    assert listed(env_file)[1:] == [ENCRYPTION_KEY]


@on_each_engine
def test_a_key_that_is_added_is_sealed_with_the_encryption_key_of_that_moment(
    store: Store, env_file: Path
) -> None:
    """The first one of all: no other secret could show that the encryption key is another one now."""
    early = keyring_of(env_file)
    assert rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False) == 0

    key_jobs.add(store, early, "a", secret_of("a"), None, NOW)

    assert opened(store, *listed(env_file)) == [secret_of("a")]


@on_each_engine
def test_a_rotation_loses_no_secret_that_a_key_had_before(store: Store, env_file: Path) -> None:
    add_key(store, "a")
    replacing.replace(store, keyring_of(env_file), "a", secret_of("new"), None, NOW)

    assert rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False) == 2

    (newest,) = listed(env_file)
    assert newest != ENCRYPTION_KEY
    assert opened(store, newest) == [secret_of("a"), secret_of("new")]


def test_the_old_encryption_key_stays_where_a_secret_that_a_key_had_before_needs_it(
    store: Store, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(store, "a")
    replacing.replace(store, keyring_of(env_file), "a", secret_of("new"), None, NOW)
    replace_secrets = stored_keys.replace_secrets

    def replace_the_present_one(connection: Connection, tokens: dict[int, str]) -> None:
        replace_secrets(connection, {2: tokens[2]})

    monkeypatch.setattr(stored_keys, "replace_secrets", replace_the_present_one)
    with pytest.raises(EncryptionKeyError, match="the old ones stay there"):
        rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    assert opened(store, *listed(env_file)) == [secret_of("a"), secret_of("new")]


@on_each_engine
def test_a_new_secret_is_sealed_with_the_encryption_key_of_that_moment(store: Store, env_file: Path) -> None:
    add_key(store, "a")
    early = keyring_of(env_file)
    rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    replacing.check_can_replace(store, early, "a", secret_of("new"))
    rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)
    replacing.replace(store, early, "a", secret_of("new"), None, NOW)

    assert opened(store, *listed(env_file)) == [secret_of("a"), secret_of("new")]


@on_each_engine
def test_the_old_encryption_key_goes_only_when_the_disk_has_the_new_secrets(
    store: Store, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that a crash of the machine undoes: the env file is on the disk."""
    is_sqlite = store.backend.file is not None
    setting = "PRAGMA synchronous" if is_sqlite else "SHOW synchronous_commit"
    add_key(store, "a")
    with store.read() as connection:
        usual = connection.exec_driver_sql(setting).scalar()
    waits = []
    replace_secrets = stored_keys.replace_secrets

    def note(connection: Connection, tokens: dict[int, str]) -> None:
        waits.append(connection.exec_driver_sql(setting).scalar())
        replace_secrets(connection, tokens)

    monkeypatch.setattr(stored_keys, "replace_secrets", note)
    rotation.rotate(store, env_file, keyring_of(env_file), keeps_old=False)

    full = 2 if is_sqlite else "on"
    assert waits == [full]
    with store.read() as connection:
        assert connection.exec_driver_sql(setting).scalar() == usual
