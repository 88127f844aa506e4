"""Budgets as a table, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.budgets import Budget, BudgetState, Per
from orwatch.jobs.budget.result import BudgetCheck, BudgetList, BudgetSet, Change, ShownBudget
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.forecast import FORECAST, course
from orwatch.render.json_text import Member, Merged, Shape, ok_or_attention
from orwatch.render.tables import Column, labelled, make_table
from orwatch.text import counted, first_of, printable

_BAR_WIDTH = 8
_NAMES_SHOWN = 5
_ONE = Decimal(1)
_HUNDRED = 100


@as_view
def list_view(screen: Screen, result: BudgetList) -> Parts:
    """All budgets, a row each."""
    if not result.budgets:
        return [Text("No budgets yet. Set one: `orwatch budget set NAME --limit 100 --per month`.")]
    return [_table(result, screen.width, screen.ascii_only), *_notes(result.budgets)]


@as_view
def check_view(screen: Screen, result: BudgetCheck) -> Parts:
    """The budgets that were checked, and what came of it."""
    shown = list_view(result.list)(screen)
    return [*shown, Text(), *map(Text, _verdict(result))] if result.budgets else shown


def _verdict(result: BudgetCheck) -> list[str]:
    at = f"{result.at_percent} %"
    lines = []
    if result.reached:
        lines.append(f"At {at} or over: {_names(result.reached)}.")
    if result.untold:
        lines.append(f"Whether {at} is reached cannot be told: {_names(result.untold)}.")
    return lines or [f"{counted(len(result.budgets), 'budget')} below {at}."]


def _names(budgets: Sequence[ShownBudget]) -> str:
    return first_of([printable(each.state.budget.name) for each in budgets], _NAMES_SHOWN)


def _table(result: BudgetList, width: int, ascii_only: bool) -> RenderableType:
    shown = result.budgets
    states = [each.state for each in shown]
    columns = [
        Column("Budget", [state.budget.name for state in states], is_name=True, is_wrapped=True),
        Column("Covers", [each.covers for each in shown], is_name=True, is_wrapped=True),
        Column("Limit", [_limit(state.budget) for state in states]),
        Column("Spent", [_spent(state) for state in states]),
        Column("Used", [_used(state) for state in states]),
        Column("", [_bar(state, ascii_only) for state in states], is_word=True, dispensable=3),
        Column("Left", [numbers.usd(state.left_usd) for state in states], dispensable=1),
    ]
    if any(state.forecast for state in states):
        forecasts = [course(state.forecast) if state.forecast else numbers.UNKNOWN for state in states]
        columns.append(Column("On course for", forecasts, is_word=True, dispensable=2))
    if any(state.reached_on for state in states):
        days = [str(state.reached_on or numbers.UNKNOWN) for state in states]
        columns.append(Column("Reached on", days, is_word=True, dispensable=4))
    return make_table(columns, width, row_styles=[_style(state) for state in states])


def _notes(budgets: Sequence[ShownBudget]) -> list[RenderableType]:
    notes = [
        Text(f"{printable(each.state.budget.name)}: cannot tell: {each.state.why_unknown}.", style="yellow")
        for each in budgets
        if each.state.why_unknown is not None
    ]
    return [Text(), *notes] if notes else []


def _style(state: BudgetState) -> str:
    if state.is_reached():
        return "red"
    return "yellow" if state.is_reached(_last_warning(state.budget)) else ""


def _last_warning(budget: Budget) -> int:
    """The last threshold below the limit itself, where there is one."""
    return max((percent for percent in budget.warn_percent if percent < _HUNDRED), default=_HUNDRED)


def _limit(budget: Budget) -> str:
    """``$50.00 a month``."""
    per = "in all" if budget.per is Per.LIFETIME else f"a {budget.per}"
    return f"{numbers.exact_usd(budget.limit_usd)} {per}"


def _spent(state: BudgetState) -> str:
    """What is spent; where that is not known, at least so much: ``≥ $3.20``."""
    if state.spent_usd is None and state.spent_known_usd:
        return f"≥ {numbers.usd(state.spent_known_usd)}"
    return numbers.usd(state.spent_usd)


def _used(state: BudgetState) -> str:
    return numbers.UNKNOWN if state.used_part is None else numbers.whole_percent(state.used_part)


def _bar(state: BudgetState, ascii_only: bool) -> str:
    part = None if state.used_part is None else min(state.used_part, _ONE)
    return numbers.bar(part, _ONE, _BAR_WIDTH, ascii_only=ascii_only)


@as_view
def show_view(screen: Screen, shown: ShownBudget) -> Parts:
    """Everything that is known of one budget."""
    return labelled(_lines(shown), screen.width)


def _lines(shown: ShownBudget) -> list[tuple[str, str]]:
    state, budget = shown.state, shown.state.budget
    lines = [
        ("Budget", budget.name),
        ("Covers", shown.covers),
        ("Limit", f"{_limit(budget)}, BYOK included" if budget.with_byok else _limit(budget)),
        ("Warns at", f"{', '.join(map(str, budget.warn_percent))} %"),
        ("Window", state.window),
        ("Spent", f"{numbers.exact_usd(state.spent_usd)} ({_used(state)})"),
    ]
    if state.why_unknown is not None:
        most = "" if state.spent_most_usd is None else f", at most {numbers.exact_usd(state.spent_most_usd)}"
        lines[-1] = ("Spent", f"cannot tell: {state.why_unknown}")
        lines.append(("Known", f"at least {numbers.exact_usd(state.spent_known_usd)}{most}"))
    lines.append(("Left", numbers.exact_usd(state.left_usd)))
    if state.forecast is not None:
        lines.append(("On course for", course(state.forecast)))
    if state.reached_on is not None:
        lines.append(("Reached on", str(state.reached_on)))
    read = numbers.UNKNOWN if state.known_through is None else f"{numbers.moment(state.known_through)} UTC"
    return [*lines, ("Read through", read), ("Set", f"{numbers.moment(budget.created_at)} UTC")]


def set_text(result: BudgetSet) -> str:
    """What was set, or changed, in a sentence."""
    shown, budget = result.budget, result.budget.state.budget
    name = repr(printable(budget.name))
    if result.is_new:
        warns = ", ".join(map(str, budget.warn_percent))
        return f"Set {name}: {_limit(budget)} for {printable(shown.covers)}; warns at {warns} %."
    if not result.changes:
        return f"{name} is so already; nothing was changed."
    changes = [f"{each.what} {each.before} -> {each.after}" for each in result.changes]
    return f"Changed {name}: {printable('; '.join(changes))}."


def _reached(state: BudgetState) -> bool | None:
    return state.is_reached()


_STATE = Shape(
    BudgetState,
    Member("name", "Its name.", "budget.name"),
    Member("limit", "What may be spent in a window, in US dollars.", "budget.limit_usd"),
    Member("per", "How often it begins anew.", "budget.per"),
    Member("models", "The patterns of the models that count; empty: all.", "budget.scope.models"),
    Member("providers", "The providers that count; empty: all.", "budget.scope.providers"),
    Member("workspaces", "The workspaces whose keys count; empty: all.", "budget.scope.workspaces"),
    Member("warn_percent", "The thresholds at which it warns, in percent.", "budget.warn_percent"),
    Member("with_byok", "Whether the estimated cost of your own provider keys counts.", "budget.with_byok"),
    Member("created_at", "When it was first set.", "budget.created_at"),
    Member("first_day", "The first day of its window (UTC); null: the first that is known."),
    Member("last_day", "The last day of its window (UTC); null: there is none."),
    Member("spent", "What is spent, in US dollars; null: cannot tell.", "spent_usd"),
    Member("spent_at_least", "What is surely spent, in US dollars.", "spent_known_usd"),
    Member("spent_at_most", "No more is spent, in US dollars; null: not known.", "spent_most_usd"),
    Member("why_unknown", "Why it cannot be told what is spent."),
    Member("left", "What is left, in US dollars; negative: over.", "left_usd"),
    Member("used_part", "How much of the limit is spent, 0 to 1, and above where it is over."),
    Member("is_over", "Whether the limit is reached; null: cannot tell.", _reached),
    Member("known_through", "When its keys were last read, the one that was not for the longest time."),
    Member("forecast", "Where the window will end; null: not known.", shape=FORECAST),
    Member("reached_on", "The day on which the limit will be reached; null: not in this window."),
)
_BUDGET = Shape(
    ShownBudget,
    Merged("state", _STATE),
    Member("keys", "The names of the keys that count; empty: all.", "key_names"),
)
LIST = Shape(BudgetList, Member("budgets", "All budgets, by name.", shape=_BUDGET))
SHOW = Shape(ShownBudget, Member("budget", "The budget.", "", _BUDGET))
_CHANGE = Shape(
    Change,
    Member("what", "What was changed."),
    Member("before", "What it was before, in words."),
    Member("after", "What it is now, in words."),
)
SET = Shape(
    BudgetSet,
    Member("is_new", "Whether there was no budget of that name."),
    Member("changes", "What was changed of it.", shape=_CHANGE),
    Member("budget", "The budget as it is now.", shape=_BUDGET),
)
REMOVE = Shape(Budget, Member("removed", "The name of the budget that was removed.", "name"))


def _reached_names(result: BudgetCheck) -> Sequence[str]:
    return [each.state.budget.name for each in result.reached]


def _untold_names(result: BudgetCheck) -> Sequence[str]:
    return [each.state.budget.name for each in result.untold]


CHECK = Shape(
    BudgetCheck,
    Member("status", "`ok`: all are known to be below the threshold.", ok_or_attention),
    Member("at_percent", "The threshold that was checked, in percent of each limit."),
    Member("reached", "The names of those at it or over.", _reached_names),
    Member("cannot_tell", "The names of those of which that is not known.", _untold_names),
    Member("budgets", "The budgets that were checked.", shape=_BUDGET),
)
