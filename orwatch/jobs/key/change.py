"""Keys: added, named, watched or not, and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.errors import OrwatchError, UsageError
from orwatch.jobs.key.secrets import check_opens, seal
from orwatch.jobs.key.selection import find_key, find_known_key, find_watched_key, key_labels
from orwatch.secrets import Keyring, hash_secret
from orwatch.store import budgets
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.listings import Members, current_members, detach, release_members
from orwatch.text import has_secret, printable, secret_hint

MAX_NAME_LENGTH = 100


_NO_MEMBERS = Members((), ())


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of a key does, or has done.

    ``listed_by``: only the secret goes, for that management key goes on listing the key. ``members``: the
    keys that a management key lists. ``rows``: the rows of usage that went.
    """

    key: StoredKey
    listed_by: str | None = None
    members: Members = _NO_MEMBERS
    rows: int = 0


def clean_name(text: str) -> str:
    """The name without the white space around it. Raises ``UsageError`` for one that cannot be shown."""
    name = text.strip()
    if not name:
        raise UsageError("the name is empty.")
    if has_secret(name):
        raise UsageError("the name looks like a secret", "Choose another one; the secret is asked for.")
    if not name.isprintable():
        raise UsageError(f"the name {printable(name)!r} has control characters in it.")
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(f"the name has {len(name)} characters; {MAX_NAME_LENGTH} are allowed.")
    return name


def list_keys(store: Store) -> list[StoredKey]:
    """All keys but the removed ones, by id."""
    with store.read() as connection:
        return stored_keys.list_keys(connection)


def known_names(store: Store) -> list[str]:
    """What names the keys: the watched ones by their names, the removed ones by their labels."""
    with store.read() as connection:
        keys = stored_keys.list_keys(connection, with_removed=True)
    labels = key_labels(keys)
    return [labels[key.id] if key.is_removed else key.name for key in keys]


def get_key(store: Store, name: str) -> StoredKey:
    """The key of that name. Raises ``UsageError``."""
    return find_key(list_keys(store), name)


def lister_of(store: Store, key: StoredKey) -> str | None:
    """The name of the management key that lists a key."""
    return _lister_of(list_keys(store), key)


def check_name(store: Store, name: str) -> None:
    """Refuse a name that is taken whatever the secret is; a discovered key may get its own.

    Raises ``UsageError``.
    """
    if any(key.name == name and key.secret_encrypted is not None for key in list_keys(store)):
        raise UsageError(f"a key named {name!r} exists already.")


def check_can_add(store: Store, keyring: Keyring, name: str, secret: str) -> str | None:
    """Find out whether ``add`` could store this key, before OpenRouter is asked about it.

    Returns the name by which it is known already, removed or discovered. Raises ``UsageError`` naming the key
    that has this name or this secret already, and ``EncryptionKeyError`` as ``add`` does.
    """
    key_hash = hash_secret(secret)
    with store.read() as connection:
        _refuse_known(connection, name, key_hash)
        known = stored_keys.find_by_hash(connection, key_hash)
    check_opens(store, keyring)
    return None if known is None else known.name


def add(
    store: Store,
    keyring: Keyring,
    name: str,
    secret: str,
    facts: KeyFacts | None,
    now: datetime,
    *,
    source_setting: UsageSource | None = None,
) -> StoredKey:
    """Store a new key; one that is known already, removed or discovered, keeps its history.

    ``secret`` as ``secrets.clean_secret`` gives it. Raises ``UsageError`` when the name or the secret is
    taken and for a source that the key cannot have, ``EncryptionKeyError`` when the encryption key does not
    open what is stored already.
    """
    key_hash = hash_secret(secret)
    with store.write() as connection:
        # Under the write lock: nothing can come between the checks and the insertion.
        _refuse_known(connection, name, key_hash)
        token = seal(connection, keyring, secret)
        known = stored_keys.find_by_hash(connection, key_hash)
        _refuse_source(known, facts, source_setting)
        if known is None:
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
            give_secret(connection, known, name, secret, token, facts, source_setting, now)
        return find_key(stored_keys.list_keys(connection), name)


def give_secret(
    connection: Connection,
    known: StoredKey,
    name: str,
    secret: str,
    token: str,
    facts: KeyFacts | None,
    source_setting: UsageSource | None,
    now: datetime,
) -> None:
    """Let a key that is known already be watched with its secret, under that name; ``token``: it sealed."""
    if not known.is_management and _lister_of(stored_keys.list_keys(connection), known) is None:
        detach(connection, [known.id])
    stored_keys.restore_key(
        connection,
        known.id,
        name=name,
        secret_encrypted=token,
        facts=facts,
        source_setting=source_setting,
        hint=secret_hint(secret),
        now=now,
    )


def _refuse_source(known: StoredKey | None, facts: KeyFacts | None, setting: UsageSource | None) -> None:
    kind = facts.kind if facts is not None else known.facts.kind if known is not None else KeyKind.UNKNOWN
    if kind is KeyKind.MANAGEMENT and setting is UsageSource.USAGE:
        raise UsageError(
            "a management key has no usage of its own that --source usage could ask for: "
            "leave --source out, or choose activity, analytics or counters. Nothing was stored."
        )


def rename(store: Store, name: str, new_name: str) -> None:
    """Give a key another name. Raises ``UsageError``, also when the new name is taken.

    A removed key may have it too, but not by this: the two could not be told apart.
    """
    with store.write() as connection:
        keys = stored_keys.list_keys(connection, with_removed=True)
        key = find_known_key(keys, name)
        rivals = keys if key.is_removed else [each for each in keys if not each.is_removed]
        if any(other.name == new_name and other.id != key.id for other in rivals):
            raise UsageError(f"a key named {new_name!r} exists already.")
        stored_keys.rename_key(connection, key.id, new_name)


def enable(store: Store, name: str) -> bool:
    """Watch a key again; whether that changed anything. Raises ``UsageError``."""
    with store.write() as connection:
        key = find_watched_key(stored_keys.list_keys(connection, with_removed=True), name)
        stored_keys.set_active(connection, key.id)
    return not key.is_active


def disable(store: Store, name: str, now: datetime) -> bool:
    """Stop watching a key until a person enables it; whether that changed anything.

    Raises ``UsageError``, and ``OrwatchError`` for a key that only a management key lists.
    """
    with store.write() as connection:
        key = find_watched_key(stored_keys.list_keys(connection, with_removed=True), name)
        keys = stored_keys.list_keys(connection)
        lister = _lister_of(keys, key)
        if lister is not None and key.secret_encrypted is None:
            raise OrwatchError(
                f"{name!r} has no secret here: its usage is read through {lister!r}",
                f"Disable the key at OpenRouter, or disable {lister!r} and with it the whole account.",
            )
        if key.inactive_reason is InactiveReason.DISABLED:
            return False
        stored_keys.set_inactive(connection, key.id, InactiveReason.DISABLED, now)
    return True


def plan_removal(store: Store, name: str, *, with_history: bool) -> Removal:
    """What ``remove`` would do. Raises as that does."""
    with store.read() as connection:
        return _plan_removal(connection, name, with_history)


def remove(store: Store, name: str, now: datetime, *, with_history: bool) -> Removal:
    """Forget a key's secret; with ``with_history`` its usage too.

    A key that a management key lists stays without its secret. With a management key go those that only
    it lists; their usage stays. Raises ``UsageError``, and ``OrwatchError`` for a key that the next sync
    would find again.
    """
    with store.write() as connection:
        removal = _plan_removal(connection, name, with_history)
        key = removal.key
        if removal.listed_by is not None:
            stored_keys.drop_secret(connection, key.id)
            return removal
        if key.is_management:
            release_members(connection, key.id, now, is_purge=with_history)
        if with_history:
            parts = {row.id for row in stored_keys.list_rows(connection) if row.current_id == key.id}
            budgets.forget_keys(connection, parts)
            return replace(removal, rows=stored_keys.purge_key(connection, key.id))
        stored_keys.forget_secret(connection, key.id, now)
    return removal


def _plan_removal(connection: Connection, name: str, with_history: bool) -> Removal:
    keys = stored_keys.list_keys(connection)
    key = find_known_key(stored_keys.list_keys(connection, with_removed=True), name)
    if key.is_removed and not with_history:
        raise UsageError(f"{name!r} is removed already; its usage is kept.", "--purge deletes that too.")
    if key.is_management:
        return Removal(key, members=current_members(connection, key.id))
    # A purge takes the replaced secrets along, of which the account may list one still.
    parts = [row for row in stored_keys.list_rows(connection) if row.current_id == key.id]
    listers = (_lister_of(keys, row) for row in (parts if with_history else [key]) if not row.is_deleted)
    lister = next(filter(None, listers), None)
    if lister is None:
        return Removal(key)
    if with_history or key.secret_encrypted is None:
        raise OrwatchError(
            f"{name!r} is a key of the account that {lister!r} watches: the next sync would find it again",
            f"Delete it at OpenRouter, or remove {lister!r}. Nothing was removed.",
        )
    return Removal(key, listed_by=lister)


def _lister_of(keys: Sequence[StoredKey], key: StoredKey) -> str | None:
    owner_id = None if key.listing is None else key.listing.account_key_id
    return next((other.name for other in keys if other.id == owner_id), None)


def _refuse_known(connection: Connection, name: str, key_hash: str) -> None:
    keys = stored_keys.list_keys(connection)
    ids = {key.id for key in keys}
    for key in stored_keys.list_rows(connection):
        if key.key_hash == key_hash and key.is_replaced and key.current_id in ids:
            raise UsageError(f"this secret is one that {key.name!r} had before.")
    for key in keys:
        if key.key_hash == key_hash:
            if key.secret_encrypted is not None:
                raise UsageError(f"this secret is stored already, as {key.name!r}.")
        elif key.name == name:
            raise UsageError(f"a key named {name!r} exists already.")
