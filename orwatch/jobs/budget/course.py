"""Where the windows of budgets will end, and when their limits will be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.budgets import BudgetState
from orwatch.domain.days import ONE_DAY
from orwatch.domain.forecast import HISTORY_DAYS, forecast, lasts, reached_on
from orwatch.jobs.budget.history import budget_histories
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey


def with_courses(
    connection: Connection,
    states: Sequence[BudgetState],
    now: datetime,
    keys: Sequence[LightKey] | None = None,
) -> list[BudgetState]:
    """The budgets with their forecasts, where enough is known for one; of a lifetime, when it is reached.

    ``keys``: all rows of keys, where they were read already.
    """
    today = now.date()
    since = today - HISTORY_DAYS * ONE_DAY
    wanted = [state.budget for state in states if state.spent_usd is not None]
    histories = budget_histories(connection, wanted, since, today - ONE_DAY, keys) if wanted else {}
    return [
        _with_course(state, histories[state.budget], now) if state.budget in histories else state
        for state in states
    ]


def _with_course(state: BudgetState, days: Mapping[date, Decimal], now: datetime) -> BudgetState:
    spent, left, until = state.spent_usd, state.left_usd, state.last_day
    if spent is None or left is None:
        return state
    if until is None:
        lasting = lasts(days, now, left) if left > 0 else None
        return state if lasting is None else replace(state, reached_on=lasting.until)
    limit = state.budget.limit_usd
    will_reach = reached_on(days, now, until, spent_usd=spent, limit_usd=limit) if left > 0 else None
    return replace(state, forecast=forecast(days, now, until, spent_usd=spent), reached_on=will_reach)
