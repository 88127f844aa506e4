"""A key that was rotated takes its new secret: it stays one key, with all its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.errors import UsageError
from orwatch.jobs.key.change import give_secret
from orwatch.jobs.key.secrets import check_opens, seal
from orwatch.jobs.key.selection import find_key
from orwatch.secrets import Keyring, hash_secret
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys


@dataclass(frozen=True, slots=True)
class Replacement:
    """What came of it. ``old``: the row of the secret before.

    ``linked``: the name of the discovered key whose secret the new one is, and which this one now is.
    """

    key: StoredKey
    old: StoredKey
    linked: str | None = None

    @property
    def is_old_asked(self) -> bool:
        """Whether the secret before is still asked about what it spends."""
        return self.old.secret_encrypted is not None


def check_can_replace(store: Store, keyring: Keyring, name: str, secret: str) -> None:
    """Find out whether ``replace`` could store this secret, before OpenRouter is asked about it.

    Raises as ``replace`` does.
    """
    with store.read() as connection:
        _check(connection, name, hash_secret(secret), None)
    check_opens(store, keyring)


def replace(
    store: Store,
    keyring: Keyring,
    name: str,
    secret: str,
    facts: KeyFacts | None,
    now: datetime,
) -> Replacement:
    """Give a key a new secret. Each secret has a row, counters and days of its own; the key is all of them.

    ``secret`` as ``secrets.clean_secret`` gives it; ``facts`` None: the API was not asked. The old secret is
    used on for as long as it is accepted, but for a management key's: its account is read with the new one.
    Raises ``UsageError`` for a name that no key has, a key of another kind and a secret that is taken,
    ``EncryptionKeyError`` when the encryption key does not open what is stored already.
    """
    key_hash = hash_secret(secret)
    with store.write() as connection:
        # Under the write lock, as in ``add``.
        old, new = _check(connection, name, key_hash, facts)
        token = seal(connection, keyring, secret)
        linked = new.name if new is not None and new.is_discovered and not new.is_replaced else None
        if new is None:
            new = _insert(connection, old, key_hash, token, facts, now)
        stored_keys.mark_replaced(connection, old, new.id)
        give_secret(connection, new, name, secret, token, facts, old.source_setting, now)
        if old.is_management:
            accounts.hand_over(connection, old, new.id, now.date())
        if old.is_management or not old.is_active or old.is_deleted or old.is_listed_disabled:
            stored_keys.forget_old_secret(connection, old.id)
        rows = {row.id: row for row in stored_keys.list_rows(connection)}
        return Replacement(rows[new.id], rows[old.id], linked)


def _insert(
    connection: Connection, old: StoredKey, key_hash: str, token: str, facts: KeyFacts | None, now: datetime
) -> StoredKey:
    """A row for a secret that was never seen; by its hash, until the old row gives the name away."""
    stored_keys.insert_key(
        connection,
        name=key_hash,
        key_hash=key_hash,
        hint="",
        secret_encrypted=token,
        facts=facts,
        kind=old.facts.kind,
        now=now,
    )
    return next(row for row in stored_keys.list_rows(connection) if row.key_hash == key_hash)


def _check(
    connection: Connection, name: str, key_hash: str, facts: KeyFacts | None
) -> tuple[StoredKey, StoredKey | None]:
    """The key of that name, and the row that the new secret has already, if any."""
    rows = stored_keys.list_rows(connection)
    old = find_key(stored_keys.list_keys(connection), name)
    new = next((row for row in rows if row.key_hash == key_hash), None)
    if new is not None:
        _refuse_taken(rows, old, new)
    kind = facts.kind if facts is not None else KeyKind.UNKNOWN
    kinds = {kind, old.facts.kind}
    if kinds == {KeyKind.MANAGEMENT, KeyKind.INFERENCE}:
        words = {KeyKind.MANAGEMENT: "a management key", KeyKind.INFERENCE: "an ordinary key"}
        raise UsageError(
            f"{name!r} is {words[old.facts.kind]}, and this secret is that of {words[kind]}. "
            "Nothing was stored; `orwatch key add` stores it under a name of its own."
        )
    return old, new


def _refuse_taken(rows: Sequence[StoredKey], old: StoredKey, new: StoredKey) -> None:
    """Raises ``UsageError`` for a secret that the key, or another one, has already."""
    if new.id == old.id:
        if old.secret_encrypted is None:
            raise UsageError(
                f"this is the secret of {old.name!r} itself.", f"`orwatch key add {old.name}` stores it."
            )
        raise UsageError(f"{old.name!r} has this secret already; nothing was changed.")
    holder = next(row for row in rows if row.id == new.current_id)
    if holder.is_removed or holder.id == old.id:
        return
    if new.is_replaced:
        raise UsageError(f"this secret is one that {holder.name!r} had before; nothing was changed.")
    if new.secret_encrypted is not None:
        raise UsageError(f"this secret is stored already, as {holder.name!r}; nothing was changed.")
