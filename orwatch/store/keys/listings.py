"""A list of an account's keys, merged into those that are stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from orwatch.domain.keys import KeyFacts, ListedKey, StoredKey
from orwatch.store.keys.accounts import members
from orwatch.store.keys.table import (
    ACTIVE,
    fact_values,
    forget_old_secret,
    forget_secret,
    list_keys,
    list_rows,
    rename_key,
    update_key,
    update_keys,
)
from orwatch.store.schema import api_keys
from orwatch.text import printable

_MAX_NAME_LENGTH = 100
_SHORT_HASH = 6


@dataclass(frozen=True, slots=True)
class ListingChanges:
    """What a list of keys has changed, by the keys' names in orwatch; ``renamed`` are (before, now).

    ``oldest``: when the oldest of the discovered keys was created; None where none is or that is not known.
    """

    discovered: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    oldest: datetime | None = None


def merge_listing(
    connection: Connection,
    owner: StoredKey,
    listed: Iterable[ListedKey],
    now: datetime,
    *,
    has_workspaces: bool = True,
) -> ListingChanges:
    """Store a whole list of an account's keys under the management key that it came from.

    Without workspaces (``has_workspaces``) it is the default one's list, and says nothing of the others.
    New keys are stored without a secret; a hash that is known is the known key. A key that is not listed any
    more counts as deleted, and keeps its history. Names stay unique in orwatch: a key that has its name from
    the list follows it, with a piece of its hash behind it where another key has that name already. A secret
    that was replaced is no key of its own: that it is disabled or deleted was to be expected.
    """
    listed = list(listed)
    _mark_listed(connection, owner, {key.key_hash for key in listed})
    by_hash = {key.key_hash: key for key in list_rows(connection)}
    in_order = sorted(listed, key=lambda key: (key.created_at is None, key.created_at or now, key.key_hash))
    deleted = _mark_deleted(connection, owner, listed, now, has_workspaces=has_workspaces)
    discovered, renamed, disabled, enabled = [], [], [], []
    changes: list[tuple[int, dict[str, Any]]] = []
    oldest: datetime | None = None
    names = _Names(connection)
    for key in in_order:
        known = by_hash.get(key.key_hash)
        if known is None:
            name = names.free(key)
            _insert(connection, owner, key, name, now)
            names.give(name, key.key_hash)
            discovered.append(name)
            if key.created_at is not None:
                oldest = min(key.created_at, oldest or key.created_at)
            continue
        kind = known.facts.kind if known.is_management else key.facts.kind
        values = {**_listing_values(owner, key), **fact_values(replace(key.facts, kind=kind), now)}
        if known.is_replaced:
            changes.append((known.id, values))
            if key.is_disabled:
                forget_old_secret(connection, known.id)
            continue
        name = _followed_name(names, known, key)
        names.give(name, key.key_hash, before=known.name)
        if name != known.name:
            renamed.append((known.name, name))
            rename_key(connection, known.id, name)
        if key.is_disabled and not known.is_listed_disabled:
            disabled.append(name)
        elif known.is_listed_disabled and not key.is_disabled:
            enabled.append(name)
        if known.is_removed:
            values |= ACTIVE
        changes.append((known.id, {**values, "removed_at": None}))
    update_keys(connection, changes)
    return ListingChanges(tuple(discovered), tuple(renamed), tuple(disabled), tuple(enabled), deleted, oldest)


def _mark_deleted(
    connection: Connection,
    owner: StoredKey,
    listed: Collection[ListedKey],
    now: datetime,
    *,
    has_workspaces: bool,
) -> tuple[str, ...]:
    hashes = {key.key_hash for key in listed}
    known = members(connection, owner.id)
    read = {key.workspace for key in listed} | {
        key.listing.workspace for key in known if key.listing is not None and key.key_hash in hashes
    }
    gone = [
        key
        for key in known
        if key.key_hash not in hashes and not key.is_management
        if key.listing is not None and key.listing.deleted_at is None
        if has_workspaces or key.listing.workspace is None or key.listing.workspace in read
    ]
    for key in gone:
        update_key(connection, key.id, {"deleted_at": now})
        if key.is_replaced:
            forget_old_secret(connection, key.id)
    return tuple(key.name for key in gone if not key.is_replaced)


def _mark_listed(connection: Connection, owner: StoredKey, hashes: Collection[str]) -> None:
    """Keys that are back are no longer deleted, before any name is given away."""
    for key in members(connection, owner.id):
        if key.key_hash in hashes and key.is_deleted:
            update_key(connection, key.id, {"deleted_at": None})


def _insert(connection: Connection, owner: StoredKey, key: ListedKey, name: str, now: datetime) -> None:
    connection.execute(
        api_keys.insert().values(
            name=name,
            key_hash=key.key_hash,
            hint=_hint(key.facts, key.key_hash),
            is_active=True,
            created_at=now,
            **_listing_values(owner, key),
            **fact_values(key.facts, now),
        )
    )


def _listing_values(owner: StoredKey, key: ListedKey) -> dict[str, Any]:
    return {
        "account_key_id": owner.id,
        "listed_name": key.name,
        "workspace": key.workspace,
        "is_listed_disabled": key.is_disabled,
        "listed_created_at": key.created_at,
        "deleted_at": None,
    }


def _followed_name(names: _Names, known: StoredKey, key: ListedKey) -> str:
    """The name in orwatch: its own where a person gave it one, otherwise the list's."""
    before = known.listing
    if before is not None and before.name != key.name:
        base = _base_name(before.name, known.key_hash)
        if known.name in {base, _numbered(base, known.key_hash)}:
            return names.free(key)
    # A key that was removed gave its name back: another one may have it by now.
    return names.free(key) if known.is_removed and names.has(known.name) else known.name


class _Names:
    """Who has which name, while a list of keys is merged."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        keys = list_keys(connection)
        self._hashes = {key.name: key.key_hash for key in keys}
        self._deleted_ids = {key.key_hash: key.id for key in keys if key.is_deleted}

    def has(self, name: str) -> bool:
        """Whether a key has the name."""
        return name in self._hashes

    def give(self, name: str, key_hash: str, before: str | None = None) -> None:
        """The key has that name now, and no longer the one from before."""
        if before is not None and self._hashes.get(before) == key_hash:
            del self._hashes[before]
        self._hashes[name] = key_hash

    def free(self, key: ListedKey) -> str:
        """A name for a listed key that no other key has."""
        base = _base_name(key.name, key.key_hash)
        holder = self._hashes.get(base)
        if holder is None or holder == key.key_hash:
            return base
        if holder in self._deleted_ids:
            # The dead give their names to the living.
            numbered = _numbered(base, holder)
            rename_key(self._connection, self._deleted_ids[holder], numbered)
            self.give(numbered, holder, before=base)
            return base
        return _numbered(base, key.key_hash)


def _base_name(name: str, key_hash: str) -> str:
    return printable(name.strip())[:_MAX_NAME_LENGTH].strip() or f"key {key_hash[:_SHORT_HASH]}"


def _numbered(base: str, key_hash: str) -> str:
    return f"{base} ({key_hash[:_SHORT_HASH]})"


def _hint(facts: KeyFacts, key_hash: str) -> str:
    """How the list abbreviates the secret (``sk-or-v1-0e6...1c96``), as orwatch does."""
    start, dots, end = (facts.label or "").partition("...")
    if dots and start.startswith("sk-") and end.isalnum() and len(end) <= _SHORT_HASH:
        return f"sk-or-…{end}"
    return f"#{key_hash[:_SHORT_HASH]}"


_NO_LISTING = dict.fromkeys(
    (
        "account_key_id",
        "listed_name",
        "workspace",
        "is_listed_disabled",
        "listed_created_at",
        "deleted_at",
        "activity_read_at",
        "activity_before_nano",
        "activity_byok_before_nano",
    )
)


@dataclass(frozen=True, slots=True)
class Members:
    """The keys of an account: those known from its management key alone, and those with a secret."""

    discovered: tuple[StoredKey, ...]
    with_secret: tuple[StoredKey, ...]


def current_members(connection: Connection, owner_id: int) -> Members:
    """The keys of an account that were not removed; other management keys are none of them."""
    keys = [
        key
        for key in members(connection, owner_id)
        if not key.is_management and not key.is_removed and not key.is_replaced
    ]
    return Members(
        tuple(key for key in keys if key.secret_encrypted is None),
        tuple(key for key in keys if key.secret_encrypted is not None),
    )


def release_members(connection: Connection, owner_id: int, now: datetime, *, is_purge: bool) -> None:
    """Remove the keys that only this management key lists; those with a secret become ordinary ones.

    The history of all of them stays. What is removed stays a part of the account, so that a management key
    that is added later counts none of it again; not where the row of this one goes (``is_purge``).
    """
    for key in current_members(connection, owner_id).discovered:
        forget_secret(connection, key.id, now)
    detach(
        connection,
        [
            key.id
            for key in members(connection, owner_id)
            if is_purge or (key.secret_encrypted is not None and key.id != owner_id)
        ],
    )


def detach(connection: Connection, key_ids: Collection[int]) -> None:
    """Forget that a management key lists these keys."""
    for key_id in key_ids:
        connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(**_NO_LISTING))
