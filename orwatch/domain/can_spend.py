"""What can still be spent with a key, and which of all that limits it blocks first: pure.

What was read in a window that is over says nothing of the new one, but that at most the whole limit is left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from orwatch.domain.days import ONE_DAY, midnight, month_start, next_month, week_start
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.layers import Layer, WorkspaceBudget
from orwatch.domain.money import ZERO, add_exactly

OWN_LIMIT = "limit"
BALANCE = "balance"
WORKSPACE_BUDGET = "workspace budget"

# The scope of a key's own limit, which every answer tells by itself as well.
KEY_LIMIT = "key_limit"
# By the scopes of OpenRouter.
_LAYERS = {
    KEY_LIMIT: OWN_LIMIT,
    "workspace": WORKSPACE_BUDGET,
    "member": "member budget",
    "workspace_default_member": "member budget",
    "api_key": "guardrail",
    "workspace_default_key": "guardrail",
}

_FIRST_DAYS: dict[str, Callable[[date], date]] = {
    "daily": lambda day: day,
    "weekly": week_start,
    "monthly": month_start,
}
_NEXT_DAYS: dict[str, Callable[[date], date]] = {
    "daily": lambda day: day + ONE_DAY,
    "weekly": lambda day: day + timedelta(days=7),
    "monthly": next_month,
}


@dataclass(frozen=True, slots=True)
class Bound:
    """One thing that limits what can be spent, as it stands now as far as is known.

    ``layer``: what it is, in words; ``id``: of the workspace's budget or the guardrail. ``remaining_usd`` may
    be negative; None: unknown. ``is_at_most``: nothing was read since it last reset, so less may be left.
    ``limit_usd`` None: a balance, or unknown. ``until``: when it resets; None: never, or unknown.
    """

    layer: str
    remaining_usd: Decimal | None
    limit_usd: Decimal | None = None
    reset_interval: str | None = None
    until: datetime | None = None
    is_at_most: bool = False
    id: str | None = None

    @property
    def used_usd(self) -> Decimal | None:
        """What of the limit is used in this window; None: unknown."""
        if self.limit_usd is None or self.remaining_usd is None or self.is_at_most:
            return None
        return add_exactly(self.limit_usd, -self.remaining_usd)


@dataclass(frozen=True, slots=True)
class CanSpend:
    """What can still be spent, never less than zero, and which layer blocks first; None: unknown.

    ``until``: when that layer resets; None: never, or unknown. ``is_at_most``: it may be less.
    """

    amount_usd: Decimal | None
    layer: str
    until: datetime | None = None
    is_at_most: bool = False


@dataclass(frozen=True, slots=True)
class KeyAllowance:
    """All that limits a key, and what can still be spent with it; ``can_spend`` None: nothing limits it.

    ``balance_usd``: its account's, where that is known.
    """

    bounds: tuple[Bound, ...] = ()
    can_spend: CanSpend | None = None
    balance_usd: Decimal | None = None

    @property
    def limits(self) -> tuple[Bound, ...]:
        """The bounds without the balance."""
        return tuple(each for each in self.bounds if each.layer != BALANCE)


def can_spend(bounds: Collection[Bound]) -> CanSpend | None:
    """The smallest of all that remains; of several the one that lasts the longest. None: nothing limits."""
    known = [(max(ZERO, each.remaining_usd), each) for each in bounds if each.remaining_usd is not None]
    if not known:
        return next((CanSpend(None, each.layer) for each in bounds), None)
    amount, least = min(known, key=lambda pair: (pair[0], -_end_of(pair[1])))
    is_at_most = bool(amount) and any(each.is_at_most or each.remaining_usd is None for each in bounds)
    return CanSpend(amount, least.layer, least.until, is_at_most)


def _end_of(bound: Bound) -> float:
    return float("inf") if bound.until is None else bound.until.timestamp()


def bounds_of(
    key: StoredKey, now: datetime, *, workspace: Iterable[Bound] = (), balance_usd: Decimal | None = None
) -> tuple[Bound, ...]:
    """All that limits a key, in the order of enforcement.

    ``workspace``: the budgets of its workspace, where the account tells them; they are better known than what
    the key was once told of them.
    """
    shared = tuple(workspace)
    ids = {each.id for each in shared}
    own = own_limit(key.facts, key.facts_read_at, now)
    return (
        *(
            layer_bound(layer, key.layers_read_at, now)
            for layer in key.facts.layers or ()
            if layer.scope != KEY_LIMIT and (layer.budget_id is None or layer.budget_id not in ids)
        ),
        *shared,
        *(() if own is None else (own,)),
        *(() if balance_usd is None else (Bound(BALANCE, balance_usd),)),
    )


def own_limit(facts: KeyFacts, read_at: datetime | None, now: datetime) -> Bound | None:
    """The key's own limit, as it was reported at that time; None where it has none."""
    limit, remaining = facts.limit_usd, facts.limit_remaining_usd
    if read_at is None or (limit is None and remaining is None):
        return None
    own = Layer(KEY_LIMIT, limit, remaining_usd=remaining, reset_interval=facts.limit_reset)
    return layer_bound(own, read_at, now)


def workspace_bound(budget: WorkspaceBudget, spent_usd: Decimal | None, now: datetime) -> Bound:
    """What a workspace is budgeted, less what its keys have spent in the current window; None: unknown."""
    interval = budget.reset_interval
    layer = Layer("workspace", budget.limit_usd, spent_usd, reset_interval=interval, budget_id=budget.id)
    return layer_bound(layer, now, now)


def layer_bound(layer: Layer, read_at: datetime | None, now: datetime) -> Bound:
    """One limit or budget, as it was reported at that time."""
    limit, remaining, resets_at = layer.limit_usd, layer.remaining_usd, layer.resets_at
    if remaining is None and limit is not None and layer.spent_usd is not None:
        remaining = add_exactly(limit, -layer.spent_usd)
    start, end = window_of(layer.reset_interval, now)
    if resets_at is None:
        is_over = start is not None and (read_at is None or read_at < start)
    else:
        is_over = resets_at <= now
    is_unread = is_over or remaining is None
    return Bound(
        _LAYERS.get(layer.scope, layer.scope.replace("_", " ")),
        limit if is_unread else remaining,
        limit,
        layer.reset_interval,
        end if resets_at is None or is_over else resets_at,
        is_at_most=is_unread and limit is not None,
        id=layer.budget_id or layer.guardrail_id,
    )


# All keys are looked at in one moment.
@lru_cache(maxsize=100)
def window_of(interval: str | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """When the current window of a limit began, and when it resets; None: it never does.

    A limit that resets in a way that is not known may have done so at any midnight, and the next is unknown.
    """
    if interval is None:
        return None, None
    first = _FIRST_DAYS.get(interval, _FIRST_DAYS["daily"])(now.date())
    follows = _NEXT_DAYS.get(interval)
    return midnight(first), None if follows is None else midnight(follows(first))
