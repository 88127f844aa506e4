"""Keys by their names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orwatch.domain.keys import StoredKey
from orwatch.errors import UsageError
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.text import holding_or_nearest, printable


def key_labels(keys: Sequence[StoredKey]) -> dict[int, str]:
    """A unique name for each key: removed and deleted ones say so, and their number where they must.

    By the id of each row: that of a secret which was replaced is labelled as the key that it is a part of.
    """
    labels: dict[int, str] = {}
    taken = set()
    # The watched ones first: they keep the names that they have.
    whole = (key for key in keys if not key.is_replaced)
    for key in sorted(whole, key=lambda key: (key.is_removed, key.is_deleted)):
        label = key.name
        if key.is_removed:
            label = f"{key.name} (removed)"
        elif key.is_deleted:
            label = f"{key.name} (deleted)"
        while label in taken:
            label = f"{label} #{key.id}"
        labels[key.id] = label
        taken.add(label)
    return {key.id: labels.get(key.current_id, key.name) for key in keys}


def select_keys(keys: Sequence[StoredKey], names: Sequence[str]) -> list[StoredKey]:
    """The keys of these names or labels, each once, in the order of ``keys``; all when no name is given.

    Raises ``UsageError`` with the nearest name for a name that no key has.
    """
    if not names:
        return list(keys)
    labels = key_labels(keys)
    known = {key.name for key in keys} | set(labels.values())
    for name in names:
        if name not in known:
            raise _no_such_key(keys, name)
    return [key for key in keys if key.name in names or labels[key.id] in names]


def check_names(store: Store, names: Sequence[str]) -> None:
    """Refuse what names no watched key before anything is begun. Raises ``UsageError``."""
    if names:
        with store.read() as connection:
            keys = stored_keys.list_keys(connection, with_removed=True)
        for name in names:
            find_watched_key(keys, name)


def keys_without_account(store: Store, names: Sequence[str]) -> list[str]:
    """The names of the active ordinary keys that no management key lists. Raises ``UsageError``."""
    with store.read() as connection:
        keys = select_keys(stored_keys.list_keys(connection), names)
    return [key.name for key in keys if key.is_active and not key.is_management and key.listing is None]


def find_key(keys: Sequence[StoredKey], name: str) -> StoredKey:
    """The key of that name. Raises ``UsageError``."""
    return select_keys(keys, [name])[0]


def find_known_key(keys: Sequence[StoredKey], name: str) -> StoredKey:
    """As ``find_key``, a removed one where no other has that name: the last one, or that of this label."""
    labels = key_labels(keys)

    def rank(key: StoredKey) -> tuple[bool, bool, datetime]:
        return not key.is_removed, labels[key.id] == name, key.removed_at or key.created_at

    return max(select_keys(keys, [name]), key=rank)


def find_watched_key(keys: Sequence[StoredKey], name: str) -> StoredKey:
    """As ``find_known_key``. Raises ``UsageError`` for a removed one, too."""
    key = find_known_key(keys, name)
    if key.is_removed:
        raise UsageError(
            f"{printable(name)!r} was removed; its usage is kept.",
            "`orwatch key add` with its secret watches it again, with its history.",
        )
    return key


def _no_such_key(keys: Sequence[StoredKey], name: str) -> UsageError:
    near = holding_or_nearest(name, [key.name for key in keys])
    hint = f"Did you mean {printable(near[0])!r}?" if near else "`orwatch key list` shows the names."
    return UsageError(f"there is no key named {printable(name)!r}", hint)
