"""The plain names of models by the dated names that analytics gives them, so that one model is one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select, text

from orwatch.store.ledger import rollups
from orwatch.store.schema import COUNTS, model_names, models, usage_by_model, usage_months, usage_stats


def known_names(connection: Connection) -> dict[str, str]:
    """All plain names by their dated ones."""
    query = select(model_names.c.dated_name, model_names.c.name)
    return {row.dated_name: row.name for row in connection.execute(query)}


def record_names(connection: Connection, names: Mapping[str, str]) -> None:
    """Store what was learned, and give rows that bear a dated name the plain one.

    A plain name takes the place of a variant's (``model:free``); nothing else is changed again.
    """
    known = known_names(connection)
    new = {
        dated: name
        for dated, name in names.items()
        if dated not in known or (":" in known[dated] and ":" not in name)
    }
    if not new:
        return
    connection.execute(
        text(
            "INSERT INTO model_names (dated_name, name) VALUES (:dated, :name) "
            "ON CONFLICT (dated_name) DO UPDATE SET name = excluded.name"
        ),
        [{"dated": dated, "name": name} for dated, name in new.items()],
    )
    ids = {row.name: row.id for row in connection.execute(select(models.c.name, models.c.id))}
    for dated, name in new.items():
        if dated != name and dated in ids:
            ids[name] = _rename_model(connection, ids.pop(dated), name, ids.get(name))


def _rename_model(connection: Connection, model_id: int, name: str, other_id: int | None) -> int:
    """Make one model of the two names; its id."""
    if other_id is None:
        connection.execute(models.update().where(models.c.id == model_id).values(name=name))
        return model_id
    both = (model_id, other_id)
    days = select(usage_by_model.c.date).where(usage_by_model.c.model_id.in_(both)).distinct()
    part = rollups.Part(connection.execute(days).scalars().all(), model_ids=both)
    rollups.take_out(connection, part)
    rollups.drop_empty(connection, part.days)
    for statement in (_MERGE_DAYS, _MERGE_MONTHS):
        connection.execute(text(statement), {"model_id": model_id, "other_id": other_id})
    for table in (usage_stats, usage_months):
        connection.execute(table.delete().where(table.c.model_id == model_id))
    rollups.put_in(connection, part)
    connection.execute(models.delete().where(models.c.id == model_id))
    return other_id


def _merge_statement(table: str, time_column: str, values: Sequence[str], changes: str) -> str:
    key = f"{time_column}, api_key_id, model_id, provider_id"
    return (
        f"INSERT INTO {table} ({key}, {', '.join(values)}) "
        f"SELECT {time_column}, api_key_id, :other_id, provider_id, {', '.join(values)} "
        f"FROM {table} WHERE model_id = :model_id ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


def _day_addition() -> str:
    """A day that one of the two names does not count is not counted; money adds up."""
    columns = [
        f"{column} = usage_stats.{column} + excluded.{column}" for column in (*_DAY_COUNTS, "cost_nano")
    ]
    byok = "usage_stats.byok_cost_nano"
    parts = f"{byok} + excluded.byok_cost_nano, {byok}, excluded.byok_cost_nano"
    return ", ".join((*columns, f"byok_cost_nano = COALESCE({parts})"))


_DAY_COUNTS = tuple(count for count in COUNTS if count != "byok_cost_nano")
_MERGE_DAYS = _merge_statement("usage_stats", "date", (*COUNTS, "cost_nano"), _day_addition())
_MERGE_MONTHS = _merge_statement(
    "usage_months", "month", rollups.total_columns(COUNTS), rollups.addition("usage_months", COUNTS)
)
