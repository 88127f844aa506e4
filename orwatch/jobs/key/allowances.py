"""What limits each key and what can still be spent with it: read in one place, in a few queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import TypeAlias

from orwatch.domain.can_spend import (
    BALANCE,
    Bound,
    KeyAllowance,
    bounds_of,
    can_spend,
    layer_bound,
    window_of,
    workspace_bound,
)
from orwatch.domain.keys import AccountState, StoredKey
from orwatch.domain.layers import Layer, WorkspaceBudget
from orwatch.domain.money import ZERO, add_known_usd, sum_exactly
from orwatch.domain.usage import Totals
from orwatch.jobs.key.spending import spent_since
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts

# What each counter of a key counts, and the same of BYOK where it is stored.
_COUNTERS: Mapping[str | None, tuple[str, str | None]] = {
    "daily": ("usage_daily_usd", "byok_usage_daily_usd"),
    "weekly": ("usage_weekly_usd", None),
    "monthly": ("usage_monthly_usd", "byok_usage_monthly_usd"),
    None: ("usage_usd", "byok_usage_usd"),
}

_Told: TypeAlias = Mapping[str, Sequence[tuple[datetime, Layer]]]


@dataclass(frozen=True, slots=True)
class WorkspaceAllowance:
    """A budget of a workspace, as it stands. ``owner_id``: of the management key of its account."""

    owner_id: int
    workspace: str
    bound: Bound


@dataclass(frozen=True, slots=True)
class Allowances:
    """``keys``: of those that can spend, by id."""

    keys: Mapping[int, KeyAllowance]
    workspaces: tuple[WorkspaceAllowance, ...]


def read_allowances(connection: Connection, keys: Sequence[StoredKey], now: datetime) -> Allowances:
    """What limits these keys now. ``keys``: all that are stored, as ``list_keys`` gives them."""
    states = accounts.account_states(connection)
    # All of them: the keys of an account may be listed by another one than is to read it next.
    owners = {key.id: key for key in keys if key.watches_account}
    credits = {
        owner_id: reading
        for owner_id, reading in accounts.latest_credits_by_account(connection).items()
        if owner_id in owners
    }
    told = _told_layers(keys)
    workspaces = [
        allowance
        for owner in owners.values()
        for allowance in _workspace_allowances(connection, owner, states.get(owner.id), told, now)
    ]
    by_place: dict[tuple[int, str | None], list[Bound]] = {}
    for each in workspaces:
        by_place.setdefault((each.owner_id, each.workspace), []).append(each.bound)
    found = {}
    for key in keys:
        if key.is_management or key.is_deleted or key.is_removed:
            continue
        reading = None if key.listing is None else credits.get(key.listing.account_key_id)
        balance = None if reading is None else reading.credits.balance_usd
        place = None if key.listing is None else (key.listing.account_key_id, key.listing.workspace)
        shared = [] if place is None else by_place.get(place, [])
        bounds = bounds_of(key, now, workspace=shared, balance_usd=balance)
        if key.listing is not None and key.listing.account_key_id not in owners:
            # It has a balance still, and maybe budgets; nobody reads them.
            bounds = (*bounds, Bound(BALANCE, None))
        found[key.id] = KeyAllowance(bounds, can_spend(bounds), balance)
    return Allowances(found, tuple(workspaces))


def _workspace_allowances(
    connection: Connection, owner: StoredKey, state: AccountState | None, told: _Told, now: datetime
) -> list[WorkspaceAllowance]:
    """The budgets of an account's workspaces; without any, nothing more is read."""
    if state is None or not state.workspace_budgets:
        return []
    members = accounts.members(connection, owner.id)
    ledgers: dict[str | None, Mapping[int, Totals]] = {None: {}}
    found = []
    for budget in state.workspace_budgets:
        start, _ = window_of(budget.reset_interval, now)
        first_day = date.min if start is None else start.date()
        interval = budget.reset_interval
        if interval not in ledgers:
            is_month = interval == "monthly"
            ledgers[interval] = spent_since(connection, first_day, now.date(), is_month=is_month)
        spent = None
        if owner.synced_through is not None and owner.synced_through >= first_day:
            rows = [row for row in members if row.listing and row.listing.workspace == budget.workspace]
            spent = sum_exactly(_spent(row, ledgers[interval], budget, start) for row in rows)
        bound = _bound(budget, spent, state.workspace_budgets_read_at, told.get(budget.id, ()), now)
        found.append(WorkspaceAllowance(owner.id, budget.workspace, bound))
    return found


def _spent(
    row: StoredKey, ledger: Mapping[int, Totals], budget: WorkspaceBudget, start: datetime | None
) -> Decimal:
    """What is known to count of one key: from the ledger, or from its counters where they have more."""
    sums = ledger.get(row.id, Totals())
    pairs = [(sums.cost_usd, sums.byok_cost_usd)]
    counters = _COUNTERS.get(budget.reset_interval)
    is_read = row.facts_read_at is not None and (start is None or row.facts_read_at >= start)
    if counters is not None and is_read:
        usage, byok = (None if name is None else getattr(row.facts, name) for name in counters)
        pairs.append((usage, byok))
    known = [add_known_usd(cost, byok if budget.include_byok else None) for cost, byok in pairs]
    return max((each for each in known if each is not None), default=ZERO)


def _bound(
    budget: WorkspaceBudget,
    spent: Decimal | None,
    read_at: datetime | None,
    told: Sequence[tuple[datetime, Layer]],
    now: datetime,
) -> Bound:
    """The budget with what the ledger knows, and with what its keys were told of it in this window."""
    spends = [] if spent is None else [spent]
    for told_at, layer in told:
        used = layer_bound(layer, told_at, now).used_usd
        if used is not None and layer.limit_usd is not None:
            spends.append(used)
            if read_at is None or told_at > read_at:
                budget = replace(budget, limit_usd=layer.limit_usd)
    found = workspace_bound(budget, max(spends, default=None), now)
    # Of a whole life the keys that are gone by now may have spent a part.
    is_whole = budget.reset_interval is not None or len(spends) > (spent is not None)
    return found if is_whole else replace(found, is_at_most=True)


def _told_layers(keys: Iterable[StoredKey]) -> _Told:
    """What the keys were told of workspaces' budgets, by the budgets' ids, the latest last."""
    found: dict[str, list[tuple[datetime, Layer]]] = {}
    for key in keys:
        for layer in key.facts.layers or ():
            if layer.budget_id is not None and key.layers_read_at is not None:
                found.setdefault(layer.budget_id, []).append((key.layers_read_at, layer))
    return {number: sorted(told, key=itemgetter(0)) for number, told in found.items()}
