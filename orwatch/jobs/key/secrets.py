"""The stored secrets, opened; also while a rotation changes them and the encryption keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orwatch.domain.keys import StoredKey
from orwatch.errors import EncryptionKeyError
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys


def open_secrets(
    store: Store, keyring: Keyring, keys: Sequence[StoredKey]
) -> tuple[dict[int, str], dict[int, EncryptionKeyError]]:
    """The secrets of these keys by their ids, and why the others do not open.

    Raises ``EncryptionKeyError`` when there are some and none of them opens.
    """
    tokens: Mapping[int, str | None] = {key.id: key.secret_encrypted for key in keys}
    # A rotation writes a new encryption key to the env file before it uses it: where the env file is the
    # same after the secrets were read as it was before, it has all the encryption keys that they need.
    while tokens:
        try:
            secrets, unopened = keyring.vault().open_all(tokens)
        except EncryptionKeyError:
            if not keyring.read_again():
                raise
        else:
            if not unopened or not keyring.read_again():
                return secrets, unopened
        tokens = _as_stored_now(store, tokens)
    return {}, {}


def open_what_opens(
    store: Store, keyring: Keyring, keys: Sequence[StoredKey]
) -> tuple[dict[int, str], dict[int, EncryptionKeyError]]:
    """As ``open_secrets``, but where none opens that is each one's error, too."""
    try:
        return open_secrets(store, keyring, keys)
    except EncryptionKeyError as error:
        return {}, {key.id: error for key in keys}


def check_opens(store: Store, keyring: Keyring) -> None:
    """Find out whether ``seal`` could seal now. Raises ``EncryptionKeyError`` as it does."""
    keyring.vault()
    with store.read() as connection:
        sealed = stored_keys.list_sealed(connection)
    open_secrets(store, keyring, sealed[:1])


def seal(connection: Connection, keyring: Keyring, secret: str) -> str:
    """The secret sealed with an encryption key that is in the env file now.

    ``connection`` has the write lock: until its end no encryption key leaves the env file. Raises
    ``EncryptionKeyError`` where the key opens no other secret: that would be the first sign of a lost one.
    """
    keyring.read_again()
    vault = keyring.vault()
    for key in stored_keys.list_sealed(connection)[:1]:
        vault.open(key.secret_encrypted or "")
    return vault.seal(secret)


def _as_stored_now(store: Store, tokens: Mapping[int, str | None]) -> dict[int, str | None]:
    with store.read() as connection:
        keys = stored_keys.list_with_old_secrets(connection)
    return {key.id: key.secret_encrypted for key in keys if key.id in tokens}
