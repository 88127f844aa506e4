"""What several rules go by, read once and only when a rule asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.domain.alerts.spike import DAYS_LOOKED_AT
from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.keys import AccountState, KeyKind
from orwatch.jobs.alert.result import WatchRules
from orwatch.store import budgets as stored_budgets
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.light import LightKey, list_light
from orwatch.store.ledger import recent
from orwatch.store.ledger.spans import KeySpan, list_spans

if TYPE_CHECKING:
    from orwatch.domain.budgets import BudgetState
    from orwatch.jobs.key.allowances import WorkspaceAllowance


@dataclass(frozen=True)
class Readings:
    """Where and how to read. ``watched_since``: what was so before that is no news.

    ``open_windows``: of each rule and subject, the windows of the alerts that are open.
    """

    connection: Connection
    now: datetime
    watched_since: datetime
    rules: WatchRules
    open_windows: Mapping[Rule, Mapping[str, Sequence[str]]]

    @cached_property
    def rows(self) -> Sequence[LightKey]:
        """All rows of keys, by id."""
        return list_light(self.connection)

    @cached_property
    def owners(self) -> Mapping[int, LightKey]:
        """The management keys in use, one for each account, by id: what they list is theirs."""
        of_kind = (row for row in self.rows if row.kind == KeyKind.MANAGEMENT)
        return {row.id: row for row in of_kind if row.is_in_use and row.account_id is None}

    @cached_property
    def budgets(self) -> Sequence[BudgetState]:
        """The budgets of one's own."""
        budgets = stored_budgets.list_budgets(self.connection)
        if not budgets:
            return ()
        # Loaded only where there are any, as below: each sync judges.
        from orwatch.jobs.budget.spent import budget_states

        return budget_states(self.connection, self.now, budgets, self.rows)

    @cached_property
    def model_names(self) -> Mapping[int, str | None]:
        """The names of the models that were ever used, by id."""
        from orwatch.store.ledger.read import model_names

        return model_names(self.connection)

    @property
    def looked_at_from(self) -> date:
        """The first day that a spike of yesterday is compared with."""
        return self.now.date() - (DAYS_LOOKED_AT + 1) * ONE_DAY

    @cached_property
    def days_read(self) -> frozenset[date]:
        """The days from then on, today included, that were read of any key."""
        return frozenset(recent.known_days(self.connection, self.looked_at_from, self.now.date()))

    @cached_property
    def daily_costs(self) -> Mapping[date, Decimal]:
        """What all keys cost together on each of those days with use, in dollars."""
        return recent.daily_costs(self.connection, self.looked_at_from, self.now.date())

    @cached_property
    def spans(self) -> Sequence[KeySpan]:
        """The sums of several days that touch those days."""
        found = list_spans(self.connection, self.looked_at_from, self.now.date())
        return [each for each in found if each.span.cost_usd or each.span.byok_cost_usd]

    @cached_property
    def _accounts(self) -> Mapping[int, AccountState]:
        return accounts.account_states(self.connection)

    def _backfilled_from(self, owner_id: int) -> date | None:
        return self._accounts.get(owner_id, AccountState()).backfilled_from

    @property
    def workspaces(self) -> Sequence[WorkspaceAllowance]:
        """The budgets of workspaces, as their accounts tell them."""
        has_account = any(row.kind == KeyKind.MANAGEMENT for row in self.rows)
        if not has_account or not any(state.workspace_budgets for state in self._accounts.values()):
            return ()
        from orwatch.jobs.key.allowances import read_allowances

        keys = stored_keys.list_keys(self.connection, with_removed=True)
        return read_allowances(self.connection, keys, self.now).workspaces

    def days_known_of(self, owner_id: int, since: date, until: date) -> set[date]:
        """The days of which it is known what an account has cost, without use as well."""
        begun = self._backfilled_from(owner_id)
        days = days_between(since, until)
        return {day for day in days if day in self.days_read or (begun is not None and day >= begun)}

    def use_known_from(self, row: LightKey) -> date | None:
        """Since when it is known of each day whether a key was used; None: it is not."""
        begun = self._backfilled_from(row.account_id or 0) or recent.read_from(self.connection, row.id)
        spans = [each.span.last_day + ONE_DAY for each in self.spans if each.key_id == row.id]
        return None if begun is None else max([begun, *spans])

    def open(self, rule: Rule) -> Mapping[str, Sequence[str]]:
        """By subject, the windows of the open alerts of a rule."""
        return self.open_windows.get(rule, {})

    def keys_open(self, rule: Rule) -> set[int]:
        """The keys of which a rule has open alerts."""
        subjects = (subject.split(":") for subject in self.open(rule))
        return {int(parts[1]) for parts in subjects if parts[0] == "key"}


def open_windows_of(alerts: Iterable[Alert]) -> dict[Rule, dict[str, list[str]]]:
    """By rule and subject, the windows of these alerts."""
    found: dict[Rule, dict[str, list[str]]] = {}
    for alert in alerts:
        found.setdefault(alert.rule, {}).setdefault(alert.subject, []).append(alert.window)
    return found


def moment(seconds: int) -> datetime:
    """A stored time."""
    return datetime.fromtimestamp(seconds, UTC)
