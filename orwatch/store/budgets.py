"""Reads and writes of ``budgets``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from orwatch.domain.budgets import Budget, Per, Scope
from orwatch.store.schema import budgets

# In the place of the last key of a budget that was purged: no key has it. Without any key the budget would
# be one of the whole account.
GONE_KEY_ID = 0


def list_budgets(connection: Connection) -> list[Budget]:
    """All budgets, by name."""
    found = map(_to_budget, connection.execute(select(budgets)).mappings())
    return sorted(found, key=lambda budget: budget.name)


def insert_budget(connection: Connection, budget: Budget) -> None:
    """Store a new budget; its ``id`` is made up by the database."""
    connection.execute(budgets.insert().values(created_at=budget.created_at, **_values(budget)))


def update_budget(connection: Connection, budget: Budget) -> None:
    """Let the budget of that ``id`` be as this one."""
    connection.execute(budgets.update().where(budgets.c.id == budget.id).values(**_values(budget)))


def delete_budget(connection: Connection, budget_id: int) -> None:
    """Delete a budget."""
    connection.execute(budgets.delete().where(budgets.c.id == budget_id))


def forget_keys(connection: Connection, key_ids: Collection[int]) -> None:
    """Take keys out of all budgets: they were purged, and the database may give their ids to others."""
    for budget in list_budgets(connection):
        kept = tuple(key_id for key_id in budget.scope.key_ids if key_id not in key_ids)
        if kept != budget.scope.key_ids:
            scope = replace(budget.scope, key_ids=kept or (GONE_KEY_ID,))
            update_budget(connection, replace(budget, scope=scope))


def _values(budget: Budget) -> dict[str, Any]:
    return {
        "name": budget.name,
        "limit_nano": budget.limit_usd,
        "per": str(budget.per),
        "scope": json.dumps({kind: items for kind, items in asdict(budget.scope).items() if items}),
        "warn_percent": json.dumps(budget.warn_percent),
        "with_byok": budget.with_byok,
    }


def _to_budget(row: RowMapping) -> Budget:
    scope: Mapping[str, Any] = json.loads(row["scope"])
    return Budget(
        id=row["id"],
        name=row["name"],
        limit_usd=row["limit_nano"],
        per=Per(row["per"]),
        scope=Scope(**{kind: tuple(items) for kind, items in scope.items()}),
        warn_percent=tuple(json.loads(row["warn_percent"])),
        with_byok=row["with_byok"],
        created_at=row["created_at"],
    )
