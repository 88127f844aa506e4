"""Budgets as a table and as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.budgets import Budget, BudgetState, Per, Scope
from orwatch.domain.forecast import Forecast
from orwatch.jobs.budget.result import BudgetList, ShownBudget
from orwatch.render.budget import LIST, list_view, show_view
from tests.render.support import HOSTILE_NAME, INERT_NAME, rendered, widest_line
from tests.support import NOW

BUDGET = Budget(
    1,
    "team",
    Decimal("1234567.89"),
    Per.MONTH,
    Scope(models=("anthropic/claude-*",)),
    (50, 80, 100),
    True,
    NOW,
)
FORECAST = Forecast(Decimal(1312000), Decimal(1180000), Decimal(1450000), is_rough=True)


def shown(spent: str | None = "1000000.5", name: str = "team", **changes: Any) -> ShownBudget:
    amount = None if spent is None else Decimal(spent)
    state = BudgetState(
        replace(BUDGET, name=name),
        date(2026, 11, 1),
        date(2026, 11, 30),
        amount,
        amount or Decimal(0),
        amount,
    )
    return ShownBudget(replace(state, **changes), ("production", "a key with a rather long name"))


UNKNOWN = shown(
    None,
    "new",
    spent_known_usd=Decimal("3.2"),
    why_unknown="the model of $9 is not reported",
    known_through=NOW,
)
FORECAST_STATE = shown("1300000", "busy", forecast=FORECAST, reached_on=date(2026, 11, 28))


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_fits_and_cuts_nothing(width: int) -> None:
    result = BudgetList(NOW, (shown(), UNKNOWN, shown(name=HOSTILE_NAME)))

    text = rendered(list_view(result), width)

    assert widest_line(text) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for part in ("$1,234,567.89 a month", "$1,000,000.50", "81%", "≥ $3.20", "anthropic/claude-"):
        assert part in words
    assert "new: cannot tell: the model of $9 is not reported." in text
    assert "\x1b" not in text
    assert "[red]" in text


def test_a_forecast_has_its_columns_where_there_is_room() -> None:
    text = rendered(list_view(BudgetList(NOW, (shown(), FORECAST_STATE))), 200)
    assert "about $1,312,000 (1,180,000 to 1,450,000)" in text
    assert "2026-11-28" in text
    assert "-$65,432.11" in text
    assert "105%" in text


def test_one_budget_is_shown_in_full() -> None:
    text = rendered(show_view(FORECAST_STATE), 120)
    for line in (
        "Limit         $1,234,567.89 a month, BYOK included\n",
        "Window        2026-11\n",
        "Spent         $1,300,000.00 (105%)\n",
        "On course for  about $1,312,000 (1,180,000 to 1,450,000)\n",
        "Reached on     2026-11-28\n",
    ):
        assert " ".join(line.split()) in " ".join(text.split())
    unknown = rendered(show_view(UNKNOWN), 120)
    assert "cannot tell: the model of $9 is not reported\n" in unknown
    assert "at least $3.20\n" in unknown
    assert "2026-11-20 12:30 UTC\n" in unknown
    assert INERT_NAME in rendered(show_view(shown(name=HOSTILE_NAME)), 120)


def test_in_json_what_is_not_known_is_null() -> None:
    (unknown,) = LIST.read(BudgetList(NOW, (UNKNOWN,)))["budgets"]  # type: ignore[misc, union-attr]
    assert [unknown[name] for name in ("spent", "left", "used_part", "is_over")] == [None] * 4  # type: ignore[call-overload, index]
