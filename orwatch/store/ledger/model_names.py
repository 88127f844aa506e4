"""The plain names of models by the dated names that analytics gives them, so that one model is one row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection, func, select, text

from orwatch.domain.alerts.model import RECENT_USE, UsedModel
from orwatch.domain.days import ONE_DAY
from orwatch.domain.usage import ListedModel
from orwatch.store.ledger import rollups
from orwatch.store.schema import (
    COUNTS,
    UNKNOWN_NAME_ID,
    from_day_number,
    ledger_state,
    model_names,
    models,
    to_day_number,
    usage_by_model,
    usage_months,
    usage_stats,
)


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
    if new:
        connection.execute(
            text(
                "INSERT INTO model_names (dated_name, name) VALUES (:dated, :name) "
                "ON CONFLICT (dated_name) DO UPDATE SET name = excluded.name"
            ),
            [{"dated": dated, "name": name} for dated, name in new.items()],
        )
    known |= new
    ids = {row.name: row.id for row in connection.execute(select(models.c.name, models.c.id))}
    for dated in names:
        name = known[dated]
        if dated != name and dated in ids:
            ids[name] = _rename_model(connection, ids.pop(dated), name, ids.get(name))


def is_list_due(connection: Connection, now: datetime) -> bool:
    """Whether the public list of models is to be read: models are in use, and it was not for a day."""
    read_at = connection.execute(select(ledger_state.c.models_read_at)).scalar()
    return (read_at is None or now - read_at >= ONE_DAY) and bool(_models_in_use(connection, now.date()))


def record_retirements(connection: Connection, listed: Iterable[ListedModel], now: datetime) -> None:
    """Note when each model that is in use, or known by a dated name, is to be retired, if at all.

    What is not listed any more keeps its day.
    """
    connection.execute(ledger_state.update().values(models_read_at=now))
    in_use = _models_in_use(connection, now.date())
    stored = {row.dated_name: row.retires_on for row in connection.execute(select(model_names))}
    changed = [
        {"dated": each.dated_name, "name": each.name, "day": _day_number(each.retires_on)}
        for each in listed
        if each.dated_name in stored
        or (each.retires_on and (each.name in in_use or each.dated_name in in_use))
        if each.retires_on != stored.get(each.dated_name)
    ]
    if changed:
        connection.execute(
            text(
                "INSERT INTO model_names (dated_name, name, retires_on) VALUES (:dated, :name, :day) "
                "ON CONFLICT (dated_name) DO UPDATE SET retires_on = excluded.retires_on"
            ),
            changed,
        )


def _day_number(day: date | None) -> int | None:
    return None if day is None else to_day_number(day)


def retiring_models(connection: Connection, today: date, names: Collection[str] = ()) -> list[UsedModel]:
    """The models in use that are to be retired, the next one first; and those of ``names`` in any case."""
    days: dict[str, date] = {}
    known = select(model_names).where(model_names.c.retires_on.is_not(None))
    for row in connection.execute(known):
        days |= {row.dated_name: row.retires_on, row.name: row.retires_on}
    if not days and not names:
        return []
    in_use = _models_in_use(connection, today)
    wanted = {*names, *(name for name in in_use if name in days)}
    found = (UsedModel(name, days.get(name), in_use.get(name)) for name in wanted)
    return sorted(found, key=lambda model: (model.retires_on or date.max, model.name))


def _models_in_use(connection: Connection, today: date) -> dict[str, date]:
    """The models that were used within the last 30 days, with the last one of them."""
    day = usage_by_model.c.date
    query = (
        select(models.c.name, func.max(day))
        .join(usage_by_model, usage_by_model.c.model_id == models.c.id)
        .where(day >= to_day_number(today - RECENT_USE), models.c.id != UNKNOWN_NAME_ID)
        .group_by(models.c.name)
    )
    return {name: from_day_number(last) for name, last in connection.execute(query) if name is not None}


def _rename_model(connection: Connection, model_id: int, name: str, other_id: int | None) -> int:
    """Make one model of the two names; its id."""
    if other_id is None:
        connection.execute(models.update().where(models.c.id == model_id).values(name=name))
        return model_id
    both = (model_id, other_id)
    days = select(usage_by_model.c.date).where(usage_by_model.c.model_id.in_(both)).distinct()
    part = rollups.Part(connection.execute(days).scalars().all(), model_ids=both)
    rollups.take_out(connection, part)
    rollups.drop_empty(connection, part)
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
