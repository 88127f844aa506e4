"""What was spent within a budget's scope day by day: what a forecast goes by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from orwatch.domain.budgets import Budget, Scope
from orwatch.jobs.budget.scope import KeyIndex, cover, read_names
from orwatch.jobs.report.daily import read_daily_costs
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey, list_light


def budget_histories(
    connection: Connection,
    budgets: Iterable[Budget],
    since: date,
    until: date,
    keys: Sequence[LightKey] | None = None,
) -> dict[Budget, dict[date, Decimal]]:
    """What was spent of each on each day of ``since``..``until`` that is known, zero included, in dollars.

    ``keys``: all rows of keys, where they were read already.
    """
    keys = list_light(connection) if keys is None else keys
    index, names = KeyIndex(keys), read_names(connection)
    # Budgets of one scope, a day's and a month's, have the same days.
    days: dict[tuple[Scope, bool], dict[date, Decimal]] = {}
    found = {}
    for budget in budgets:
        which = budget.scope, budget.with_byok
        if which not in days:
            covered = cover(budget.scope, index, names)
            days[which] = read_daily_costs(
                connection, covered, since, until, keys, with_byok=budget.with_byok
            ).known
        found[budget] = days[which]
    return found
