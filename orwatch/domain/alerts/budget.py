"""The rules ``budget`` and ``forecast``: a budget of one's own crosses a threshold, or is on course to.

The window is the budget's, and its limit (``2026-11 $100``): a raised limit is told to the alert of the lower
one, and can be crossed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from orwatch.domain.alerts.alert import Finding, Rule, whole_percent
from orwatch.domain.alerts.windows import OpenWindows, with_other_windows
from orwatch.domain.budgets import BudgetState, Per
from orwatch.domain.days import ONE_DAY, midnight, short_day
from orwatch.domain.money import dollars
from orwatch.text import printable

# A forecast beyond so many times the pace of the window so far is not looked for.
_FAR_OFF = 4


def find_crossed(budgets: Iterable[BudgetState], open_windows: OpenWindows) -> Iterator[Finding]:
    """Of each budget a finding for each of its thresholds. ``open_windows``: of this rule."""
    for state in budgets:
        summary = _spent(state)
        for percent in state.budget.warn_percent:
            finding = _finding(Rule.BUDGET, state, state.is_reached(percent), summary, percent)
            yield from with_other_windows(finding, _of_this_window(state, open_windows))


def find_coming(budgets: Iterable[BudgetState], open_windows: OpenWindows) -> Iterator[Finding]:
    """A finding of each budget of a week or a month, by its forecast. That one is crossed is no news.

    Of none of a day: at which hours money is spent is not known, and a job of each night would be told
    each night.
    """
    for state in budgets:
        if state.last_day is None or state.budget.per is Per.DAY:
            continue
        forecast, limit = state.forecast, state.budget.limit_usd
        is_met, summary = None, "there is not enough to go by for a forecast"
        if forecast is not None and not state.is_reached():
            # While few days are known, what is likely is not likely enough.
            is_met = (forecast.low_usd if forecast.is_rough else forecast.expected_usd) > limit
            reached = state.reached_on
            when = f", all spent about {short_day(reached)}" if is_met and reached is not None else ""
            summary = (
                f"on course for {dollars(forecast.expected_usd)} ({dollars(forecast.low_usd)} to "
                f"{dollars(forecast.high_usd)}) of {_limit(state)}{when}"
            )
        finding = _finding(Rule.FORECAST, state, is_met, summary)
        yield from with_other_windows(finding, _of_this_window(state, open_windows))


def is_far_off(state: BudgetState, now: datetime) -> bool:
    """Whether not even a window that went on four times as fast would spend the limit."""
    if state.spent_usd is None or state.first_day is None or state.last_day is None:
        return True
    part = (now - midnight(state.first_day)) / ((state.last_day - state.first_day) + ONE_DAY)
    return float(state.spent_usd) * _FAR_OFF < float(state.budget.limit_usd) * part


def _spent(state: BudgetState) -> str:
    """How it stands: what is known is spent at least."""
    spent, limit = state.spent_known_usd, state.budget.limit_usd
    least = "" if state.is_complete else "at least "
    summary = (
        f"{least}{whole_percent(spent, limit)} % of its budget is spent: {dollars(spent)} of {_limit(state)}"
    )
    return summary if state.is_complete else f"{summary} ({state.why_unknown})"


def _limit(state: BudgetState) -> str:
    budget = state.budget
    if state.last_day is None:
        return f"{dollars(budget.limit_usd)} in all"
    until = "today" if budget.per is Per.DAY else short_day(state.last_day)
    return f"{dollars(budget.limit_usd)} a {budget.per} (until {until})"


def _finding(
    rule: Rule, state: BudgetState, is_met: bool | None, summary: str, threshold: int = 0
) -> Finding:
    budget, forecast = state.budget, state.forecast
    figures = {
        "limit_usd": budget.limit_usd,
        "spent_usd": state.spent_usd,
        "spent_at_least_usd": state.spent_known_usd,
    }
    if rule is Rule.FORECAST:
        figures["expected_usd"] = None if forecast is None else forecast.expected_usd
    name, window = printable(budget.name), f"{state.window} ${budget.limit_usd.normalize():f}"
    return Finding(rule, f"budget:{budget.id}", name, window, is_met, summary, threshold, figures)


def _of_this_window(state: BudgetState, open_windows: OpenWindows) -> list[str]:
    """The windows of the open alerts of a budget that are not over: of other limits."""
    windows = open_windows.get(f"budget:{state.budget.id}", ())
    return [window for window in windows if window.partition(" ")[0] == state.window]
