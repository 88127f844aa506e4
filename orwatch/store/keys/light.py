"""All keys in one light query: a sync judges a thousand of them, and most are of no interest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection


class LightKey(NamedTuple):
    """A row of ``api_keys``. Days, times (in seconds) and amounts (in nano-dollars) as they are stored.

    ``key_id``: the row that stands for the whole key. ``is_in_use``: neither replaced nor removed, deleted or
    disabled. ``account_id``: the management key that lists it. ``is_read``: each sync is to read it, until it
    expires. ``is_counted``: what it spends is known by its counters.
    """

    id: int
    key_id: int
    name: str
    kind: str
    is_in_use: int
    inactive_reason: str | None
    inactive_since: int | None
    has_secret: int
    account_id: int | None
    workspace: str | None
    created_at: int
    listed_created_at: int | None
    expires_at: int | None
    facts_read_at: int | None
    limit_nano: int | None
    limit_remaining_nano: int | None
    limit_reset: str | None
    layers: str | None
    layers_read_at: int | None
    is_read: int
    is_counted: int
    synced_at: int | None
    synced_through: int | None


def list_light(connection: Connection) -> Sequence[LightKey]:
    """Every row, by id."""
    found = connection.exec_driver_sql(
        "SELECT id, COALESCE(replaced_by, id), name, kind, CASE WHEN replaced_by IS NULL "
        "AND removed_at IS NULL AND deleted_at IS NULL AND COALESCE(is_listed_disabled, FALSE) IS FALSE "
        "AND (inactive_reason IS NULL OR inactive_reason <> 'disabled') THEN 1 ELSE 0 END, "
        "inactive_reason, inactive_since, CASE WHEN secret_encrypted IS NULL THEN 0 ELSE 1 END, "
        "account_key_id, workspace, created_at, listed_created_at, expires_at, facts_read_at, "
        "limit_nano, limit_remaining_nano, limit_reset, layers, layers_read_at, "
        "CASE WHEN removed_at IS NULL AND deleted_at IS NULL AND is_active "
        "AND COALESCE(is_listed_disabled, FALSE) IS FALSE "
        "AND (replaced_by IS NULL OR secret_encrypted IS NOT NULL) THEN 1 ELSE 0 END, "
        "CASE WHEN kind <> 'management' "
        "AND (source = 'counters' OR (source IS NULL AND account_key_id IS NULL)) THEN 1 ELSE 0 END, "
        "last_synced_at, synced_through "
        "FROM api_keys ORDER BY id"
    )
    return [*map(LightKey._make, found.all())]
