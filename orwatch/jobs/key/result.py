"""What ``orwatch key list`` and ``orwatch key show`` answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from orwatch.domain.can_spend import OWN_LIMIT, Bound, KeyAllowance
from orwatch.domain.keys import Credits, StoredKey

# Shares and dormant keys are about the last so many days, today included.
WINDOW_DAYS = 30


class KeyFlag(StrEnum):
    """What stands out about a key. ``DORMANT``: it has existed for 30 days, without use in any of them."""

    UNLIMITED = "unlimited"
    DORMANT = "dormant"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class KeyOverview:
    """A key and what it has spent, as far as is known. ``listed_by`` is a management key's name.

    ``share_30_days`` is its part, 0 to 1, of all that was spent in the last 30 days, today included; None
    where the keys are known on different ones. ``known_days``: on how many it is known.
    """

    key: StoredKey
    state: str
    listed_by: str | None = None
    spent_30_days_usd: Decimal | None = None
    known_days: int = 0
    share_30_days: Decimal | None = None
    spent_month_usd: Decimal | None = None
    flags: tuple[KeyFlag, ...] = ()
    allowance: KeyAllowance = field(default_factory=KeyAllowance)

    @property
    def own_limit(self) -> Bound | None:
        """The key's own limit; None where it has none."""
        return next((each for each in self.allowance.bounds if each.layer == OWN_LIMIT), None)


@dataclass(frozen=True, slots=True)
class KeyListResult:
    """What ``orwatch key list`` shows; ``spent_30_days_usd`` is of all keys, removed ones included.

    ``known_days``: of how many of these days that is; None: not of the same ones for all keys.
    """

    now: datetime
    keys: tuple[KeyOverview, ...]
    spent_30_days_usd: Decimal | None = None
    known_days: int | None = None


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """What is known of the account of a management key. ``credits`` None: never read."""

    key_count: int
    backfilled_from: date | None
    credits: Credits | None = None
    credits_read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyDetails:
    """What ``orwatch key show`` shows; ``account`` for a management key only.

    ``replaced``: the secrets that it had before, the last one first.
    """

    now: datetime
    overview: KeyOverview
    account: AccountDetails | None = None
    replaced: tuple[StoredKey, ...] = ()

    @property
    def replaced_hints(self) -> tuple[str, ...]:
        """How the secrets that it had before are abbreviated."""
        return tuple(row.hint for row in self.replaced)
