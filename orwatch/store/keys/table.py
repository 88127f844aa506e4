"""Reads and writes of ``api_keys``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, exists, func, select

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, Listing, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.store.keys.layers import dump_layers, load_layers
from orwatch.store.ledger import rollups
from orwatch.store.schema import (
    account_credits,
    accounts,
    api_keys,
    key_counters,
    usage_by_key,
    usage_days,
    usage_months,
    usage_spans,
)
from orwatch.text import has_secret, without_secrets

_FACT_COLUMNS = {
    "label": "label",
    "usage_usd": "usage_nano",
    "usage_daily_usd": "usage_daily_nano",
    "usage_weekly_usd": "usage_weekly_nano",
    "usage_monthly_usd": "usage_monthly_nano",
    "byok_usage_usd": "byok_usage_nano",
    "byok_usage_daily_usd": "byok_usage_daily_nano",
    "byok_usage_monthly_usd": "byok_usage_monthly_nano",
    "limit_usd": "limit_nano",
    "limit_remaining_usd": "limit_remaining_nano",
    "limit_reset": "limit_reset",
    "is_free_tier": "is_free_tier",
    "expires_at": "expires_at",
    "is_byok_limited": "is_byok_limited",
}

# The columns of a key that is watched.
ACTIVE: Mapping[str, Any] = {"is_active": True, "inactive_reason": None, "inactive_since": None}


def list_keys(connection: Connection, *, with_removed: bool = False) -> list[StoredKey]:
    """All keys, in the order they came; removed ones, whose history is kept, only when asked for."""
    places: dict[int, int] = {}
    rows = list_rows(connection)
    for row in rows:
        places.setdefault(row.current_id, row.id)
    keys = [row for row in rows if not row.is_replaced and (with_removed or not row.is_removed)]
    return sorted(keys, key=lambda key: places[key.id])


def list_rows(connection: Connection) -> list[StoredKey]:
    """Every row, by id: the keys, removed ones too, and the secrets that they had before."""
    query = select(api_keys).order_by(api_keys.c.id)
    return [_to_key(row) for row in connection.execute(query).mappings()]


def list_with_old_secrets(connection: Connection) -> list[StoredKey]:
    """The keys that were not removed, and of their replaced secrets those that are still used, by id."""
    return [
        key
        for key in list_rows(connection)
        if not key.is_removed and (not key.is_replaced or key.secret_encrypted is not None)
    ]


def list_sealed(connection: Connection) -> list[StoredKey]:
    """Every row with a secret, that of a key or one that it had before, by id."""
    return [row for row in list_rows(connection) if row.secret_encrypted is not None]


def find_by_hash(connection: Connection, key_hash: str) -> StoredKey | None:
    """The key with this SHA-256, removed or not."""
    row = connection.execute(select(api_keys).where(api_keys.c.key_hash == key_hash)).mappings().first()
    return None if row is None else _to_key(row)


def has_secrets(connection: Connection) -> bool:
    """Whether any secret is stored that an encryption key must open."""
    query = select(exists().where(api_keys.c.secret_encrypted.is_not(None)))
    return bool(connection.execute(query).scalar())


def names_like_secrets(connection: Connection) -> list[str]:
    """The names of the keys in whose name or label stands what looks like a secret, as they are shown."""
    columns = api_keys.c.name, api_keys.c.listed_name, api_keys.c.label, api_keys.c.workspace
    rows = connection.execute(select(*columns).order_by(api_keys.c.id))
    names = [row.name for row in rows if any(has_secret(text or "") for text in row)]
    return [without_secrets(name) for name in dict.fromkeys(names)]


def insert_key(
    connection: Connection,
    *,
    name: str,
    key_hash: str,
    hint: str,
    secret_encrypted: str,
    facts: KeyFacts | None,
    source_setting: UsageSource | None = None,
    kind: KeyKind = KeyKind.UNKNOWN,
    now: datetime,
) -> None:
    """Store a new key, active. ``facts`` None: the API was not asked, and ``kind`` is all that is known."""
    connection.execute(
        api_keys.insert().values(
            name=name,
            key_hash=key_hash,
            hint=hint,
            secret_encrypted=secret_encrypted,
            is_active=True,
            source_setting=source_setting,
            created_at=now,
            **{"kind": kind, **fact_values(facts, now)},
        )
    )


def restore_key(
    connection: Connection,
    key_id: int,
    *,
    name: str,
    secret_encrypted: str,
    facts: KeyFacts | None,
    source_setting: UsageSource | None = None,
    hint: str | None = None,
    now: datetime,
) -> None:
    """Give a key that was removed or discovered its secret: it is watched with it, its history is its own.

    ``hint`` None: it has the right one already.
    """
    rename_key(connection, key_id, name)
    update_key(
        connection,
        key_id,
        {
            **({} if hint is None else {"hint": hint}),
            "secret_encrypted": secret_encrypted,
            "removed_at": None,
            "replaced_by": None,
            **ACTIVE,
            "last_sync_error": None,
            "source_setting": source_setting,
            "source_checked_at": None,
            **fact_values(facts, now),
        },
    )


def rename_key(connection: Connection, key_id: int, name: str) -> None:
    """Give the key another name; the caller has seen that it is free."""
    connection.execute(api_keys.update().where(_is_part_of(key_id)).values(name=name))


def set_active(connection: Connection, key_id: int) -> None:
    """Watch the key again, and with the secrets that it had before."""
    connection.execute(api_keys.update().where(_is_part_of(key_id)).values(**ACTIVE))


def set_inactive(connection: Connection, key_id: int, reason: InactiveReason, now: datetime) -> None:
    """Stop watching the key; a person's decision is one for the secrets that it had before, too."""
    rows = _is_part_of(key_id) if reason is InactiveReason.DISABLED else api_keys.c.id == key_id
    values = {"is_active": False, "inactive_reason": reason, "inactive_since": now}
    connection.execute(api_keys.update().where(rows).values(**values))


def mark_replaced(connection: Connection, key: StoredKey, new_id: int) -> None:
    """Let another row stand for the key: all that this one and those before it have spent is that one's.

    The caller gives that row the key's name.
    """
    rows = _is_part_of(key.id) & (api_keys.c.id != new_id)
    connection.execute(api_keys.update().where(rows).values(replaced_by=new_id))


def forget_old_secret(connection: Connection, key_id: int) -> None:
    """Ask no more with a secret that was replaced."""
    update_key(connection, key_id, {"secret_encrypted": None, "is_active": False, "last_sync_error": None})


def _forget_old_secrets(connection: Connection, key_id: int) -> None:
    for row in list_rows(connection):
        if row.replaced_by == key_id:
            forget_old_secret(connection, row.id)


def _is_part_of(key_id: int) -> ColumnElement[bool]:
    """The row of a key and those of the secrets that it had before."""
    return (api_keys.c.id == key_id) | (api_keys.c.replaced_by == key_id)


def forget_secret(connection: Connection, key_id: int, now: datetime) -> None:
    """Remove the key but for its name and its history."""
    _forget_old_secrets(connection, key_id)
    update_key(connection, key_id, {"secret_encrypted": None, "removed_at": now, "is_active": False})


def drop_secret(connection: Connection, key_id: int) -> None:
    """Make a key that a management key lists one that was merely discovered."""
    _forget_old_secrets(connection, key_id)
    update_key(
        connection,
        key_id,
        {
            "secret_encrypted": None,
            **ACTIVE,
            "last_sync_error": None,
            "source_setting": None,
            "source_checked_at": None,
        },
    )


def purge_key(connection: Connection, key_id: int) -> int:
    """Delete the key with all its history; how many rows of usage went."""
    before = select(api_keys.c.id).where(api_keys.c.replaced_by == key_id)
    parts = [*connection.execute(before).scalars(), key_id]
    return sum(_purge_row(connection, part) for part in parts)


def _purge_row(connection: Connection, key_id: int) -> int:
    of_months = select(func.sum(usage_months.c.row_count)).where(usage_months.c.api_key_id == key_id)
    of_spans = select(func.count()).where(usage_spans.c.api_key_id == key_id)
    rows = int(connection.execute(of_months).scalar() or 0) + connection.execute(of_spans).scalar_one()
    days = connection.execute(select(usage_by_key.c.date).where(usage_by_key.c.api_key_id == key_id))
    part = rollups.Part(days.scalars().all(), (key_id,))
    rollups.delete(connection, part)
    for table in (usage_months, usage_spans, usage_days, key_counters, accounts, account_credits):
        connection.execute(table.delete().where(table.c.api_key_id == key_id))
    connection.execute(api_keys.delete().where(api_keys.c.id == key_id))
    return rows


def replace_secrets(connection: Connection, tokens: Mapping[int, str]) -> None:
    """Store re-encrypted secrets, by key id."""
    for key_id, token in tokens.items():
        update_key(connection, key_id, {"secret_encrypted": token})


def record_facts(connection: Connection, key_id: int, facts: KeyFacts, now: datetime) -> None:
    """Store what validate read from ``GET /key``, and let the next sync look for a better source."""
    values = {"last_validated_at": now, "source_checked_at": None, **fact_values(facts, now)}
    update_key(connection, key_id, values)


def record_counters(connection: Connection, key: StoredKey, facts: KeyFacts, now: datetime) -> None:
    """Store what sync read from ``GET /key``, and since when that is where the usage comes from."""
    is_new = key.source is not UsageSource.COUNTERS or key.source_checked_at is None
    checked_at = now if is_new else key.source_checked_at
    update_key(connection, key.id, {"source_checked_at": checked_at, **fact_values(facts, now)})


def record_check(connection: Connection, key_id: int, now: datetime) -> None:
    """Store that validate came to a conclusion about the key."""
    update_key(connection, key_id, {"last_validated_at": now})


def record_sync(
    connection: Connection,
    key: StoredKey,
    *,
    source: UsageSource,
    since: date,
    until: date,
    error: str | None,
    now: datetime,
) -> None:
    """Store that the days ``since``..``until`` of the key were read and written; see ``synced_values``."""
    values = synced_values(key, source=source, since=since, until=until, error=error, now=now)
    update_key(connection, key.id, values)


def synced_values(
    key: StoredKey, *, source: UsageSource, since: date, until: date, error: str | None, now: datetime
) -> dict[str, Any]:
    """The columns that tell that the days ``since``..``until`` of the key were read and written.

    ``error``: what of the answer was left out, if anything.

    ``synced_through`` moves on only when no day is left out between it and ``since``, and not past today:
    from it the next sync knows how far back it must reach. ``since`` is the day from which on nothing that
    can still be read is left out.
    """
    values: dict[str, Any] = {"source": source, "last_synced_at": now, "last_sync_error": error}
    through = min(until, now.date())
    before = key.synced_through
    if before is not None and before > now.date():
        before = None  # from a clock that was wrong: what was read is not known
    if since <= through and (before is None or since <= before < through):
        values["synced_through"] = through
    return values


def record_sync_failure(connection: Connection, key_id: int, error: str) -> None:
    """Store why the last sync of the key failed."""
    update_key(connection, key_id, {"last_sync_error": error})


def update_key(connection: Connection, key_id: int, values: Mapping[str, Any]) -> None:
    """Set columns of ``api_keys``."""
    connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(**values))


def update_keys(connection: Connection, changes: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns of many keys, those of which the same columns change in one statement."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for key_id, values in changes:
        alike.setdefault(tuple(sorted(values)), []).append({**values, "key_id": key_id})
    for rows in alike.values():
        connection.execute(api_keys.update().where(api_keys.c.id == bindparam("key_id")), rows)


def fact_values(facts: KeyFacts | None, now: datetime) -> dict[str, Any]:
    """The columns that hold what the API reported of a key, and when.

    An answer without layers, as every list is, says nothing of them: those of before stay.
    """
    if facts is None:
        return {}
    values = {column: getattr(facts, name) for name, column in _FACT_COLUMNS.items()}
    return {**values, **_layer_values(facts, now), "kind": facts.kind, "facts_read_at": now}


def _layer_values(facts: KeyFacts, now: datetime) -> dict[str, Any]:
    layers = dump_layers(facts.layers, facts.free_quota)
    return {} if layers is None else {"layers": layers, "layers_read_at": now}


def record_layers(connection: Connection, key_id: int, facts: KeyFacts, now: datetime) -> None:
    """Store what limits a key, and nothing else of an answer of ``GET /key``; a list has the rest."""
    if values := _layer_values(facts, now):
        update_key(connection, key_id, values)


def _to_key(row: RowMapping) -> StoredKey:
    return StoredKey(
        id=row["id"],
        name=without_secrets(row["name"]),
        key_hash=row["key_hash"],
        hint=row["hint"],
        secret_encrypted=row["secret_encrypted"],
        is_active=row["is_active"],
        inactive_reason=InactiveReason(row["inactive_reason"]) if row["inactive_reason"] else None,
        inactive_since=row["inactive_since"],
        source=UsageSource(row["source"]) if row["source"] else None,
        source_setting=UsageSource(row["source_setting"]) if row["source_setting"] else None,
        source_checked_at=row["source_checked_at"],
        created_at=row["created_at"],
        removed_at=row["removed_at"],
        synced_through=row["synced_through"],
        last_synced_at=row["last_synced_at"],
        last_sync_error=row["last_sync_error"],
        last_validated_at=row["last_validated_at"],
        facts=_to_facts(row),
        facts_read_at=row["facts_read_at"],
        listing=_to_listing(row),
        replaced_by=row["replaced_by"],
        layers_read_at=row["layers_read_at"],
    )


def _to_facts(row: RowMapping) -> KeyFacts:
    values = {name: row[column] for name, column in _FACT_COLUMNS.items()}
    label = values.pop("label")
    layers, quota = load_layers(row["layers"])
    return KeyFacts(
        kind=KeyKind(row["kind"]),
        label=None if label is None else without_secrets(label),
        layers=layers,
        free_quota=quota,
        **values,
    )


def _to_listing(row: RowMapping) -> Listing | None:
    if row["account_key_id"] is None:
        return None
    return Listing(
        account_key_id=row["account_key_id"],
        name=without_secrets(row["listed_name"] or ""),
        workspace=None if row["workspace"] is None else without_secrets(row["workspace"]),
        is_disabled=bool(row["is_listed_disabled"]),
        created_at=row["listed_created_at"],
        deleted_at=row["deleted_at"],
        activity_read_at=row["activity_read_at"],
        activity_before_usd=row["activity_before_nano"],
        activity_byok_before_usd=row["activity_byok_before_nano"],
    )
