"""A new encryption key for every stored secret, and nothing lost wherever it stops.

Secrets are written, and encryption keys leave the env file, under the write lock of the database only, and
after the env file was read under it: no secret is sealed with an encryption key that goes.
"""

from __future__ import annotations

from pathlib import Path

from orwatch.config.env_file import env_file_lock, write_encryption_keys
from orwatch.errors import EncryptionKeyError
from orwatch.secrets import Keyring, Vault, generate_encryption_key
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys


def rotate(store: Store, env_file: Path, keyring: Keyring, *, keeps_old: bool) -> int:
    """Seal every secret under a new encryption key in the env file; how many.

    Killed at any point it has lost nothing: the env file has every encryption key that is in use, and the
    next rotation goes on from there. Raises ``EncryptionKeyError`` when one of the secrets is opened by no
    encryption key, ``SettingsError`` when the env file cannot be written.
    """
    with env_file_lock(env_file):
        with store.write(is_durable=True) as connection:
            keyring.read_again()
            secrets = _open_all(connection, keyring.vault())
            new = generate_encryption_key()
            # First what a database refuses that can only be read: the env file is as it was then.
            _seal_all(connection, secrets, Vault((new,)))
            write_encryption_keys(env_file, (new, *keyring.keys))
            _require_newest(keyring, new, env_file)
        if not keeps_old:
            _remove_old(store, env_file, keyring)
    return len(secrets)


def reencrypt(store: Store, keyring: Keyring) -> int:
    """Seal every secret under the first of the encryption keys, all or none; how many.

    Raises ``EncryptionKeyError`` when one of them is opened by none.
    """
    with store.write(is_durable=True) as connection:
        keyring.read_again()
        vault = keyring.vault()
        secrets = _open_all(connection, vault)
        _seal_all(connection, secrets, vault)
    return len(secrets)


def _require_newest(keyring: Keyring, new: str, env_file: Path) -> None:
    keyring.read_again()
    if keyring.keys[:1] != (new,):
        raise EncryptionKeyError(
            f"the new encryption key was written to {env_file}, but is not read from there. "
            "Write ORWATCH_ENCRYPTION_KEY in one line of it; no secret was changed."
        )


def _remove_old(store: Store, env_file: Path, keyring: Keyring) -> None:
    """Take the old encryption keys out of the env file, once every secret is read back without them."""
    with store.write() as connection:
        keyring.read_again()
        newest = keyring.keys[:1]
        try:
            _open_all(connection, Vault(newest))
        except EncryptionKeyError:
            raise EncryptionKeyError(
                f"not every secret opens with the newest encryption key of {env_file}: the old ones stay "
                "there. Something else has changed the file or the database; run this again."
            ) from None
        write_encryption_keys(env_file, newest)


def _seal_all(connection: Connection, secrets: dict[int, str], vault: Vault) -> None:
    tokens = {key_id: vault.seal(secret) for key_id, secret in secrets.items()}
    stored_keys.replace_secrets(connection, tokens)


def _open_all(connection: Connection, vault: Vault) -> dict[int, str]:
    """The secrets by key id."""
    secrets = {}
    for key in stored_keys.list_sealed(connection):
        try:
            secrets[key.id] = vault.open(key.secret_encrypted or "")
        except EncryptionKeyError:
            raise EncryptionKeyError(
                f"ORWATCH_ENCRYPTION_KEY does not open the secret of {key.name!r}; nothing was changed. "
                "List the key that it was stored with too (newest,older), or remove that API key."
            ) from None
    return secrets
