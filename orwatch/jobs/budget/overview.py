"""Budgets by their names, with how much of each is spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orwatch.domain.budgets import Budget
from orwatch.domain.keys import StoredKey
from orwatch.errors import UsageError
from orwatch.jobs.budget.course import with_courses
from orwatch.jobs.budget.result import BudgetCheck, BudgetList, ShownBudget
from orwatch.jobs.budget.spent import budget_states
from orwatch.jobs.key.selection import key_labels
from orwatch.store import budgets as stored_budgets
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.text import holding_or_nearest, printable

_GONE = "(purged key)"


def list_budgets(store: Store, now: datetime, names: Sequence[str] = ()) -> BudgetList:
    """The budgets of these names, each once; all when no name is given. Raises ``UsageError``."""
    with store.read() as connection:
        budgets = stored_budgets.list_budgets(connection)
        wanted = list(dict.fromkeys(find_budget(budgets, name) for name in names)) if names else budgets
        return BudgetList(now, tuple(show_budgets(connection, now, wanted)))


def check(store: Store, now: datetime, names: Sequence[str], at_percent: int) -> BudgetCheck:
    """Which of them are spent to ``at_percent`` of their limits. Raises ``UsageError``."""
    return BudgetCheck(at_percent, list_budgets(store, now, names))


def budget_names(store: Store) -> list[str]:
    """The names of all budgets."""
    with store.read() as connection:
        return [budget.name for budget in stored_budgets.list_budgets(connection)]


def check_name(store: Store, name: str) -> None:
    """Refuse a name that no budget has. Raises ``UsageError`` with the nearest one."""
    with store.read() as connection:
        find_budget(stored_budgets.list_budgets(connection), name)


def find_budget(budgets: Sequence[Budget], name: str) -> Budget:
    """The budget of that name. Raises ``UsageError`` with the nearest one."""
    for budget in budgets:
        if budget.name == name:
            return budget
    near = holding_or_nearest(name, [budget.name for budget in budgets])
    hint = f"Did you mean {printable(near[0])!r}?" if near else "`orwatch budget list` shows the names."
    raise UsageError(f"there is no budget named {printable(name)!r}", hint)


def show_budgets(connection: Connection, now: datetime, budgets: Sequence[Budget]) -> list[ShownBudget]:
    """The budgets as they stand now."""
    rows = stored_keys.list_rows(connection) if any(each.scope.key_ids for each in budgets) else []
    return [
        ShownBudget(state, key_names_of(state.budget, rows))
        for state in with_courses(connection, budget_states(connection, now, budgets), now)
    ]


def key_names_of(budget: Budget, rows: Sequence[StoredKey]) -> tuple[str, ...]:
    """What the keys of a budget are called now."""
    labels = key_labels(rows) if budget.scope.key_ids else {}
    return tuple(dict.fromkeys(labels.get(key_id, _GONE) for key_id in budget.scope.key_ids))
