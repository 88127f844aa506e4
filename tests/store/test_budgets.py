"""Budgets as they are stored."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orwatch.domain.budgets import Budget, Per, Scope
from orwatch.store import budgets
from orwatch.store.engine.database import Store
from tests.support import NOW

FULL = Budget(
    1,
    "team é",
    Decimal("99.000000001"),
    Per.WEEK,
    Scope((1, 2), ("a/*",), ("Azure",), ("Über uns",)),
    (50, 1000),
    True,
    NOW,
)


def test_a_budget_is_stored_changed_and_deleted(store: Store) -> None:
    plain = Budget(2, "all", Decimal(10**9), Per.LIFETIME, Scope(), (100,), False, NOW)
    with store.write() as connection:
        budgets.insert_budget(connection, FULL)
        budgets.insert_budget(connection, plain)
        assert budgets.list_budgets(connection) == [plain, FULL]

        changed = replace(plain, limit_usd=Decimal("0.5"), per=Per.DAY, scope=Scope(models=("x",)))
        budgets.update_budget(connection, changed)
        budgets.delete_budget(connection, 1)
        assert budgets.list_budgets(connection) == [changed]


def test_a_purged_key_leaves_its_budgets_and_the_last_one_makes_none_the_whole_accounts(store: Store) -> None:
    with store.write() as connection:
        budgets.insert_budget(connection, FULL)
        budgets.forget_keys(connection, {2})
        assert budgets.list_budgets(connection)[0].scope.key_ids == (1,)
        budgets.forget_keys(connection, {1})
        assert budgets.list_budgets(connection)[0].scope.key_ids == (budgets.GONE_KEY_ID,)
