"""The plain slugs of models by the dated names that analytics gives them, so that one model is one row."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from orwatch.store.schema import model_slugs, models

_VALUE_COLUMNS = ("requests", "tokens_input", "tokens_output", "tokens_reasoning", "tokens_cached")


def known_slugs(connection: Connection) -> dict[str, str]:
    """All slugs by permaslug."""
    query = select(model_slugs.c.permaslug, model_slugs.c.slug)
    return {row.permaslug: row.slug for row in connection.execute(query)}


def record_slugs(connection: Connection, slugs: Mapping[str, str]) -> None:
    """Store what was learned, and give rows that bear a permaslug their model's name.

    A plain slug takes the place of a variant's (``model:free``); nothing else is changed again.
    """
    known = known_slugs(connection)
    new = {
        permaslug: slug
        for permaslug, slug in slugs.items()
        if permaslug not in known or (":" in known[permaslug] and ":" not in slug)
    }
    if not new:
        return
    connection.exec_driver_sql(
        "INSERT INTO model_slugs (permaslug, slug) VALUES (?, ?) "
        "ON CONFLICT (permaslug) DO UPDATE SET slug = excluded.slug",
        list(new.items()),
    )
    ids = {row.name: row.id for row in connection.execute(select(models.c.name, models.c.id))}
    for permaslug, slug in new.items():
        if permaslug != slug and permaslug in ids:
            ids[slug] = _rename_model(connection, ids.pop(permaslug), slug, ids.get(slug))


def _rename_model(connection: Connection, model_id: int, slug: str, other_id: int | None) -> int:
    """Make one model of the two names; its id."""
    if other_id is None:
        connection.execute(models.update().where(models.c.id == model_id).values(name=slug))
        return model_id
    for table, time_column in (("usage_stats", "date"), ("usage_months", "month")):
        connection.exec_driver_sql(_merge_statement(table, time_column), (other_id, model_id))
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE model_id = ?", (model_id,))
    connection.execute(models.delete().where(models.c.id == model_id))
    return other_id


def _merge_statement(table: str, time_column: str) -> str:
    key = f"{time_column}, api_key_id, model_id, provider_id"
    values = ", ".join((*_VALUE_COLUMNS, "cost_nano", "byok_cost_nano"))
    # A day that one of the two names does not count is not counted; money adds up.
    sums = ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in _VALUE_COLUMNS)
    byok = (
        f"{table}.byok_cost_nano + excluded.byok_cost_nano, {table}.byok_cost_nano, excluded.byok_cost_nano"
    )
    return (
        f"INSERT INTO {table} ({key}, {values}) "
        f"SELECT {time_column}, api_key_id, ?, provider_id, {values} FROM {table} WHERE model_id = ? "
        f"ON CONFLICT ({key}) DO UPDATE SET {sums}, cost_nano = {table}.cost_nano + excluded.cost_nano, "
        f"byok_cost_nano = COALESCE({byok})"
    )
