"""Whom a sync asks first: ordinary keys, then the accounts."""

from __future__ import annotations

from collections.abc import Sequence

from orwatch.domain.keys import StoredKey, has_own_source


def owners_of(keys: Sequence[StoredKey], selected: Sequence[StoredKey]) -> list[StoredKey]:
    """The management keys whose accounts are to be read."""
    listed_by = {key.listing.account_key_id for key in selected if key.listing and not has_own_source(key)}
    return [key for key in keys if key.watches_account and (key in selected or key.id in listed_by)]


def is_ordinary(key: StoredKey, owners: Sequence[StoredKey]) -> bool:
    """Whether the key is in none of these accounts, as far as their last lists say."""
    return (
        not key.is_management
        and key.listing is None
        and all(
            owner.last_sync_error is not None
            or (owner.last_synced_at is not None and key.created_at < owner.last_synced_at)
            for owner in owners
        )
    )
