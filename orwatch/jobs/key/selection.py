"""Keys by their names."""

from __future__ import annotations

from collections.abc import Sequence

from orwatch.domain.keys import StoredKey
from orwatch.errors import UsageError
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.text import holding_or_nearest, printable


def select_keys(keys: Sequence[StoredKey], names: Sequence[str]) -> list[StoredKey]:
    """The named keys, each once, in the order of ``keys``; all of them when no name is given.

    Raises ``UsageError`` with the nearest name for a name that no key has.
    """
    for name in names:
        if not any(key.name == name for key in keys):
            raise UsageError(no_such_key(keys, name))
    return [key for key in keys if not names or key.name in names]


def check_names(store: Store, names: Sequence[str]) -> None:
    """Refuse a name that no key has before anything is begun. Raises ``UsageError``."""
    if names:
        with store.read() as connection:
            select_keys(stored_keys.list_keys(connection), names)


def keys_without_account(store: Store, names: Sequence[str]) -> list[str]:
    """The names of the active ordinary keys that no management key lists. Raises ``UsageError``."""
    with store.read() as connection:
        keys = select_keys(stored_keys.list_keys(connection), names)
    return [key.name for key in keys if key.is_active and not key.is_management and key.listing is None]


def find_key(keys: Sequence[StoredKey], name: str) -> StoredKey:
    """The key of that name. Raises ``UsageError``."""
    return select_keys(keys, [name])[0]


def find_known_key(keys: Sequence[StoredKey], name: str) -> StoredKey:
    """As ``find_key``, a removed one where no other has that name: the last one removed."""
    named = [key for key in keys if key.name == name]
    if not named:
        raise UsageError(no_such_key(keys, name))
    return max(named, key=lambda key: (key.removed_at is None, key.removed_at or key.created_at))


def no_such_key(keys: Sequence[StoredKey], name: str) -> str:
    """What to say about a name that no key has."""
    near = holding_or_nearest(name, [key.name for key in keys])
    hint = f" Did you mean {printable(near[0])!r}?" if near else " `orwatch key list` shows the names."
    return f"there is no key named {printable(name)!r}.{hint}"
