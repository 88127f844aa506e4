"""Where the windows of budgets will end, and when their limits will be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from orwatch.domain.budgets import BudgetState
from orwatch.domain.days import ONE_DAY
from orwatch.domain.forecast import HISTORY_DAYS, forecast, lasts, reached_on
from orwatch.domain.money import ZERO
from orwatch.jobs.budget.history import budget_histories
from orwatch.store.engine.database import Connection
from orwatch.store.ledger.write import kept_from

# No forecast is of more for each day than so many times the dearest one of the last weeks.
_MOST_GROWTH = 3


def with_courses(
    connection: Connection, states: Sequence[BudgetState], now: datetime, *, only_near: bool = False
) -> list[BudgetState]:
    """The budgets with their forecasts, where enough is known for one; of a lifetime, when it is reached.

    ``only_near``: not of those whose limits the dearest days could not reach, times three.
    """
    today = now.date()
    since = max(today - HISTORY_DAYS * ONE_DAY, kept_from(connection) or date.min)
    wanted = [state.budget for state in states if state.spent_usd is not None]
    histories = budget_histories(connection, wanted, since, today - ONE_DAY) if wanted else {}
    return [
        _with_course(state, histories[state.budget], now, only_near=only_near)
        if state.budget in histories
        else state
        for state in states
    ]


def _with_course(
    state: BudgetState, days: Mapping[date, Decimal], now: datetime, *, only_near: bool
) -> BudgetState:
    spent, left, until = state.spent_usd, state.left_usd, state.last_day
    if spent is None or left is None:
        return state
    if until is None:
        lasting = lasts(days, now, left)
        return state if lasting is None else replace(state, reached_on=lasting.until)
    days_left = (until - now.date()).days + 1
    if only_near and _MOST_GROWTH * days_left * max(days.values(), default=ZERO) <= left:
        return state
    return replace(
        state,
        forecast=forecast(days, now, until, spent_usd=spent),
        reached_on=reached_on(days, now, until, spent_usd=spent, limit_usd=state.budget.limit_usd),
    )
