"""What becomes of an account's keys when the management key goes that lists them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from orwatch.models import StoredKey
from orwatch.store.accounts import members
from orwatch.store.keys import forget_secret
from orwatch.store.schema import api_keys

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
    keys = [key for key in members(connection, owner_id) if not key.is_management and key.removed_at is None]
    return Members(
        tuple(key for key in keys if key.secret_encrypted is None),
        tuple(key for key in keys if key.secret_encrypted is not None),
    )


def release_members(connection: Connection, owner_id: int, now: datetime, *, is_purge: bool) -> None:
    """Remove the keys that only this management key told of; those with a secret become ordinary ones.

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
