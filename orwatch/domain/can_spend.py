"""What can still be spent with a key, and which of all that limits it blocks first: pure.

What was read in a window that is over says nothing of the new one, but that at most the whole limit is left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache

from orwatch.domain.days import ONE_DAY, month_start, next_month, week_start
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.layers import Layer, WorkspaceBudget
from orwatch.domain.money import ZERO, add_exactly

OWN_LIMIT = "limit"
BALANCE = "balance"
WORKSPACE_BUDGET = "workspace budget"

# By the scopes of OpenRouter; `key_limit` is the key's own limit, which every answer tells by itself.
_LAYERS = {
    "workspace": WORKSPACE_BUDGET,
    "member": "member budget",
    "workspace_default_member": "member budget",
    "api_key": "guardrail",
    "workspace_default_key": "guardrail",
}
KEY_LIMIT = "key_limit"

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
    if read_at is None or (facts.limit_usd is None and facts.limit_remaining_usd is None):
        return None
    limit, remaining = facts.limit_usd, facts.limit_remaining_usd
    return _bound(OWN_LIMIT, limit, remaining, facts.limit_reset, None, read_at, now)


def layer_bound(layer: Layer, read_at: datetime | None, now: datetime) -> Bound:
    """One budget that ``GET /key`` reported at that time."""
    remaining = layer.remaining_usd
    if remaining is None and layer.limit_usd is not None and layer.spent_usd is not None:
        remaining = add_exactly(layer.limit_usd, -layer.spent_usd)
    return _bound(
        _LAYERS.get(layer.scope, layer.scope.replace("_", " ")),
        layer.limit_usd,
        remaining,
        layer.reset_interval,
        layer.resets_at,
        read_at or datetime.min.replace(tzinfo=UTC),
        now,
        layer.budget_id or layer.guardrail_id,
    )


def workspace_bound(budget: WorkspaceBudget, spent_usd: Decimal | None, now: datetime) -> Bound:
    """What a workspace is budgeted, less what its keys have spent in the current window; None: unknown."""
    remaining = None if spent_usd is None else add_exactly(budget.limit_usd, -spent_usd)
    return _bound(
        WORKSPACE_BUDGET, budget.limit_usd, remaining, budget.reset_interval, None, now, now, budget.id
    )


def _bound(
    layer: str,
    limit_usd: Decimal | None,
    remaining_usd: Decimal | None,
    interval: str | None,
    resets_at: datetime | None,
    read_at: datetime,
    now: datetime,
    id: str | None = None,
) -> Bound:
    start, end = window_of(interval, now)
    is_over = (start is not None and read_at < start) if resets_at is None else resets_at <= now
    until = resets_at if resets_at is not None and not is_over else end
    is_unread = is_over or remaining_usd is None
    return Bound(
        layer,
        limit_usd if is_unread else remaining_usd,
        limit_usd,
        interval,
        until,
        is_at_most=is_unread and limit_usd is not None,
        id=id,
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
    return _midnight(first), None if follows is None else _midnight(follows(first))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
