"""Keys: added, named, watched or not, removed, and re-encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from orwatch.errors import EncryptionKeyError, OrwatchError, UsageError
from orwatch.jobs.selection import find_key
from orwatch.models import InactiveReason, KeyFacts, StoredKey, UsageSource
from orwatch.secrets import Vault, hash_secret
from orwatch.store import keys as stored_keys
from orwatch.store.database import Connection, Store
from orwatch.text import printable, secret_hint

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

MAX_NAME_LENGTH = 100


def clean_name(text: str) -> str:
    """The name without the white space around it. Raises ``UsageError`` for one that cannot be shown."""
    name = text.strip()
    if not name:
        raise UsageError("the name is empty.")
    if not name.isprintable():
        raise UsageError(f"the name {printable(name)!r} has control characters in it.")
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(f"the name has {len(name)} characters; {MAX_NAME_LENGTH} are allowed.")
    return name


def list_keys(store: Store) -> list[StoredKey]:
    """All keys but the removed ones, by id."""
    with store.read() as connection:
        return stored_keys.list_keys(connection)


def get_key(store: Store, name: str) -> StoredKey:
    """The key of that name. Raises ``UsageError``."""
    return find_key(list_keys(store), name)


def check_can_add(store: Store, encryption_keys: Sequence[str], name: str, secret: str) -> None:
    """Find out whether ``add`` could store this key, before anybody is asked about it.

    Raises ``OrwatchError`` naming the key that has this name or this secret already, and
    ``EncryptionKeyError`` as ``add`` does.
    """
    vault = Vault(encryption_keys)
    with store.read() as connection:
        _refuse_known(connection, name, hash_secret(secret))
        _check_fits(connection, vault)


def ask_about(client: Client, secret: str) -> KeyFacts:
    """What the API says about a secret. Raises ``ApiError``."""
    # Of all that is done with keys, this alone needs the HTTP client.
    from orwatch.openrouter.sources import fetch_key_facts

    return fetch_key_facts(client, secret)


def add(
    store: Store,
    encryption_keys: Sequence[str],
    name: str,
    secret: str,
    facts: KeyFacts | None,
    now: datetime,
    *,
    source_setting: UsageSource | None = None,
) -> StoredKey:
    """Store a new key; a removed one with the same secret gets its history back.

    ``secret`` as ``secrets.clean_secret`` gives it. Raises ``OrwatchError`` when the name or the secret is
    taken, ``EncryptionKeyError`` when the encryption key does not open what is stored already.
    """
    vault = Vault(encryption_keys)
    key_hash = hash_secret(secret)
    token = vault.seal(secret)
    with store.write() as connection:
        # Under the write lock: nothing can come between the checks and the insertion.
        _refuse_known(connection, name, key_hash)
        _check_fits(connection, vault)
        removed = stored_keys.find_by_hash(connection, key_hash)
        if removed is None:
            stored_keys.insert_key(
                connection,
                name=name,
                key_hash=key_hash,
                hint=secret_hint(secret),
                secret_encrypted=token,
                facts=facts,
                source_setting=source_setting,
                now=now,
            )
        else:
            stored_keys.restore_key(
                connection,
                removed.id,
                name=name,
                secret_encrypted=token,
                facts=facts,
                source_setting=source_setting,
                now=now,
            )
        return find_key(stored_keys.list_keys(connection), name)


def rename(store: Store, name: str, new_name: str) -> None:
    """Give a key another name. Raises ``UsageError``, and ``OrwatchError`` when the new name is taken."""
    with store.write() as connection:
        keys = stored_keys.list_keys(connection)
        key = find_key(keys, name)
        if any(other.name == new_name and other.id != key.id for other in keys):
            raise OrwatchError(f"a key named {new_name!r} exists already.")
        stored_keys.rename_key(connection, key.id, new_name)


def enable(store: Store, name: str) -> bool:
    """Watch a key again; whether that changed anything. Raises ``UsageError``."""
    with store.write() as connection:
        key = find_key(stored_keys.list_keys(connection), name)
        stored_keys.set_active(connection, key.id)
    return not key.is_active


def disable(store: Store, name: str, now: datetime) -> bool:
    """Stop watching a key until a person enables it; whether that changed anything. Raises ``UsageError``."""
    with store.write() as connection:
        key = find_key(stored_keys.list_keys(connection), name)
        if key.inactive_reason is InactiveReason.DISABLED:
            return False
        stored_keys.set_inactive(connection, key.id, InactiveReason.DISABLED, now)
    return True


def remove(store: Store, name: str, now: datetime, *, with_history: bool) -> int:
    """Forget a key's secret; with ``with_history`` its usage too: how many rows. Raises ``UsageError``."""
    with store.write() as connection:
        key = find_key(stored_keys.list_keys(connection), name)
        if with_history:
            return stored_keys.purge_key(connection, key.id)
        stored_keys.forget_secret(connection, key.id, now)
    return 0


def check_all_open(store: Store, encryption_keys: Sequence[str]) -> None:
    """Raises ``EncryptionKeyError`` when one of the stored secrets is opened by none of the keys."""
    with store.read() as connection:
        _open_all(connection, Vault(encryption_keys))


def reencrypt(store: Store, encryption_keys: Sequence[str]) -> int:
    """Seal every secret under the first of ``encryption_keys``, all or none; how many.

    Raises ``EncryptionKeyError`` when one of them is opened by none.
    """
    vault = Vault(encryption_keys)
    with store.write() as connection:
        secrets = _open_all(connection, vault)
        stored_keys.replace_secrets(
            connection, {key_id: vault.seal(secret) for key_id, secret in secrets.items()}
        )
    return len(secrets)


def _open_all(connection: Connection, vault: Vault) -> dict[int, str]:
    """The secrets by key id."""
    secrets = {}
    for key in stored_keys.list_keys(connection):
        try:
            if key.secret_encrypted is not None:
                secrets[key.id] = vault.open(key.secret_encrypted)
        except EncryptionKeyError:
            raise EncryptionKeyError(
                f"ORWATCH_ENCRYPTION_KEY does not open the secret of {key.name!r}; nothing was changed. "
                "List the key that it was stored with too (newest,older), or remove that API key."
            ) from None
    return secrets


def _refuse_known(connection: Connection, name: str, key_hash: str) -> None:
    for key in stored_keys.list_keys(connection):
        if key.key_hash == key_hash:
            raise OrwatchError(f"this secret is stored already, as {key.name!r}.")
        if key.name == name:
            raise OrwatchError(f"a key named {name!r} exists already.")


def _check_fits(connection: Connection, vault: Vault) -> None:
    """A secret sealed with a key that opens no other one would be the first sign of a lost key."""
    for key in stored_keys.list_keys(connection):
        if key.secret_encrypted is not None:
            vault.open(key.secret_encrypted)
            return
