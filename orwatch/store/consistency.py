"""What `orwatch db check` reads beyond doctor: sums of days, and the names of models and providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select, union

from orwatch.models import UsageSpan
from orwatch.store.schema import (
    UNKNOWN_NAME_ID,
    api_keys,
    models,
    providers,
    usage_by_model,
    usage_months,
    usage_stats,
)
from orwatch.store.spans import list_spans


def wrong_spans(connection: Connection) -> list[str]:
    """What is wrong with the sums of several days, in sentences."""
    names = {row.id: row.name for row in connection.execute(select(api_keys.c.id, api_keys.c.name))}
    problems = []
    latest: dict[int, UsageSpan] = {}
    for each in list_spans(connection, date.min, date.max):
        span, before = each.span, latest.get(each.key_id)
        told = f"the sum of {span.first_day} to {span.last_day} of {names.get(each.key_id, each.key_id)}"
        if span.last_day < span.first_day:
            problems.append(f"{told} ends before it begins")
        elif before is not None and span.first_day <= before.last_day:
            problems.append(f"{told} has days in common with that of {before.first_day} to {before.last_day}")
        if span.cost_usd < 0:
            problems.append(f"{told} is negative")
        latest[each.key_id] = span
    return problems


@dataclass(frozen=True, slots=True)
class NameState:
    """The look-up tables: those without the row for "not told", and how many names nothing refers to."""

    incomplete: tuple[str, ...]
    unused_count: int


def read_name_state(connection: Connection) -> NameState:
    """Look at the names of models and providers."""
    incomplete, unused = [], 0
    for table, column in ((models, "model_id"), (providers, "provider_id")):
        row = connection.execute(select(table.c.name).where(table.c.id == UNKNOWN_NAME_ID)).first()
        if row is None or row[0] is not None:
            incomplete.append(table.name)
        used = union(*(select(each.c[column]) for each in (usage_stats, usage_months, usage_by_model)))
        query = select(func.count()).where(table.c.id != UNKNOWN_NAME_ID, table.c.id.not_in(used))
        unused += int(connection.execute(query).scalar_one())
    return NameState(tuple(incomplete), unused)
