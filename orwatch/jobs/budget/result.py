"""What is answered of budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orwatch.domain.budgets import Budget, BudgetState
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN


@dataclass(frozen=True, slots=True)
class ShownBudget:
    """A budget with how much of it is spent, and the names of the keys that it is for."""

    state: BudgetState
    key_names: tuple[str, ...]

    @property
    def covers(self) -> str:
        """``everything``, or of each filter what it lets through: ``ci, prod; openai/*``."""
        return covered_text(self.state.budget, self.key_names)


def covered_text(budget: Budget, key_names: tuple[str, ...]) -> str:
    """What a budget covers, in words."""
    scope = budget.scope
    kinds = [
        key_names,
        tuple(f"workspace {name}" for name in scope.workspaces),
        scope.models,
        scope.providers,
    ]
    return "; ".join(", ".join(items) for items in kinds if items) or "everything"


@dataclass(frozen=True, slots=True)
class BudgetList:
    """Budgets, by name."""

    now: datetime
    budgets: tuple[ShownBudget, ...]


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """Which budgets are spent to ``at_percent`` of their limits."""

    at_percent: int
    list: BudgetList

    @property
    def budgets(self) -> tuple[ShownBudget, ...]:
        """Those that were checked."""
        return self.list.budgets

    @property
    def reached(self) -> tuple[ShownBudget, ...]:
        """Those that are at the threshold or over."""
        return tuple(each for each in self.budgets if each.state.is_reached(self.at_percent))

    @property
    def untold(self) -> tuple[ShownBudget, ...]:
        """Those of which that cannot be told."""
        return tuple(each for each in self.budgets if each.state.is_reached(self.at_percent) is None)

    @property
    def exit_code(self) -> int:
        """What cannot be told is no yes: a script asks again later."""
        if self.reached:
            return EXIT_NEEDS_PERSON
        return EXIT_TRY_AGAIN if self.untold else EXIT_DONE


@dataclass(frozen=True, slots=True)
class Change:
    """What ``budget set`` has changed of a budget."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """What ``budget set`` has done. ``notes``: what may not be as it was meant."""

    budget: ShownBudget
    is_new: bool
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
