"""API keys: what OpenRouter reports about them, and what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from orwatch.domain.layers import FreeQuota, Layer, WorkspaceBudget, WorkspaceReading
from orwatch.domain.money import add_exactly
from orwatch.domain.sources import UsageSource

EXPIRY_WARNING = timedelta(days=7)


_OWN_SOURCES = frozenset({UsageSource.USAGE, UsageSource.COUNTERS})


def has_own_source(key: StoredKey) -> bool:
    """Whether a person wants a listed key to be asked with its own secret."""
    return key.secret_encrypted is not None and key.is_active and key.source_setting in _OWN_SOURCES


class KeyKind(StrEnum):
    """What a key may do; ``UNKNOWN`` until ``GET /key`` has answered once."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    UNKNOWN = "unknown"


class InactiveReason(StrEnum):
    """Why a key is not watched: ``INVALID`` is validate's finding, ``DISABLED`` a person's decision."""

    INVALID = "invalid"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What ``GET /key`` reports of the key that asks. None: the answer did not say.

    ``limit_usd`` None means unlimited; ``limit_remaining_usd`` may be negative. ``layers``: all that is
    enforced, in that order; of a key that only a list tells of there are none.
    """

    kind: KeyKind
    label: str | None = None
    usage_usd: Decimal | None = None
    usage_daily_usd: Decimal | None = None
    usage_weekly_usd: Decimal | None = None
    usage_monthly_usd: Decimal | None = None
    byok_usage_usd: Decimal | None = None
    byok_usage_daily_usd: Decimal | None = None
    byok_usage_monthly_usd: Decimal | None = None
    limit_usd: Decimal | None = None
    limit_remaining_usd: Decimal | None = None
    limit_reset: str | None = None
    is_free_tier: bool | None = None
    expires_at: datetime | None = None
    is_byok_limited: bool | None = None
    layers: tuple[Layer, ...] | None = None
    free_quota: FreeQuota | None = None
    # The organization, or the user, whose key it is; not stored with the key.
    account_id: str | None = field(default=None, compare=False)

    def expiry_warning(self, now: datetime) -> str | None:
        """A warning about a key that has expired or soon will; None for any other."""
        if self.expires_at is None or self.expires_at - now > EXPIRY_WARNING:
            return None
        verb = "expired" if self.expires_at <= now else "expires"
        return f"the key {verb} at {self.expires_at:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace of an account, as ``GET /workspaces`` reports it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as ``GET /keys`` reports it: everything but its secret. ``key_hash`` is the secret's SHA-256.

    ``unused_since``: it has not been used after that time; None: the server does not say.
    """

    key_hash: str
    name: str
    workspace: str | None
    is_disabled: bool
    created_at: datetime | None
    facts: KeyFacts
    unused_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credits:
    """What an account has bought and spent in its whole life, in dollars (``GET /credits``)."""

    bought_usd: Decimal
    spent_usd: Decimal

    @property
    def balance_usd(self) -> Decimal:
        """What is left; may be negative."""
        return add_exactly(self.bought_usd, -self.spent_usd)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a management key last reported of a key. ``account_key_id`` is that management key's id.

    ``activity_read_at``: when ``GET /activity`` was last asked about the key, and what had been spent by the
    beginning of that day.
    """

    account_key_id: int
    name: str
    workspace: str | None
    is_disabled: bool
    created_at: datetime | None
    deleted_at: datetime | None
    activity_read_at: datetime | None = None
    activity_before_usd: Decimal | None = None
    activity_byok_before_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountState:
    """How far the account of a management key has been read.

    ``account_id``: the same for all management keys of an account. ``backfill_from``: the first day wanted;
    ``backfilled_from``: the first that has been read. The ``missing`` times: when an endpoint last answered
    404 or 403.
    """

    account_id: str | None = None
    backfill_from: date | None = None
    backfilled_from: date | None = None
    activity_missing_at: datetime | None = None
    analytics_missing_at: datetime | None = None
    # When the names of models were last asked for.
    model_names_read_at: datetime | None = None
    # What each workspace was last found to be budgeted, and when one was last asked about.
    workspaces: tuple[WorkspaceReading, ...] = ()
    workspace_budgets_read_at: datetime | None = None

    @property
    def workspace_budgets(self) -> tuple[WorkspaceBudget, ...] | None:
        """The budgets of all workspaces; None where they were never read, or are refused.

        Keys know their workspace by its name: of those that share one, nothing can be told.
        """
        known = [each for each in self.workspaces if each.budgets is not None]
        names = [each.name for each in self.workspaces]
        unique = [each.budgets or () for each in known if names.count(each.name) == 1]
        return tuple(budget for budgets in unique for budget in budgets) if known else None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One row of ``api_keys``: a key, or a secret that it had before.

    ``secret_encrypted`` is the Fernet token; None for a key that was removed, or that only a management key
    lists.
    """

    id: int
    name: str
    key_hash: str
    hint: str
    secret_encrypted: str | None = field(repr=False)
    is_active: bool
    inactive_reason: InactiveReason | None
    inactive_since: datetime | None
    source: UsageSource | None
    created_at: datetime
    removed_at: datetime | None
    synced_through: date | None
    last_synced_at: datetime | None
    last_sync_error: str | None
    last_validated_at: datetime | None
    facts: KeyFacts
    facts_read_at: datetime | None
    # The source that a person chose (None: the best that answers), and when the best was last looked for.
    source_setting: UsageSource | None = None
    source_checked_at: datetime | None = None
    # None: no management key lists it.
    listing: Listing | None = None
    # The id of the row with the key's present secret; None: it is this one.
    replaced_by: int | None = None
    # When the layers among the facts were read, and the free quota.
    layers_read_at: datetime | None = None

    @property
    def current_id(self) -> int:
        """The id of the row that stands for the whole key: the one with its present secret."""
        return self.id if self.replaced_by is None else self.replaced_by

    @property
    def is_replaced(self) -> bool:
        """Whether the key has another secret now; what this one spent stays the key's."""
        return self.replaced_by is not None

    @property
    def is_management(self) -> bool:
        """Whether it is a management key."""
        return self.facts.kind is KeyKind.MANAGEMENT

    @property
    def watches_account(self) -> bool:
        """Whether it is a management key that is in use: one that is removed or replaced is not active."""
        return self.is_management and self.is_active

    @property
    def is_removed(self) -> bool:
        """Whether it was removed from orwatch; its history stays."""
        return self.removed_at is not None

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted at OpenRouter, as far as a management key lists it."""
        return self.listing is not None and self.listing.deleted_at is not None

    @property
    def is_listed_disabled(self) -> bool:
        """Whether it is disabled at OpenRouter, as far as a management key lists it."""
        return self.listing is not None and self.listing.is_disabled

    @property
    def is_discovered(self) -> bool:
        """Whether only a management key lists it: its secret is not stored here."""
        return self.listing is not None and self.secret_encrypted is None

    def is_expired(self, now: datetime) -> bool:
        """Whether the time is over for which it was made."""
        return self.facts.expires_at is not None and self.facts.expires_at <= now

    def state(self, now: datetime) -> str:
        """``active``, ``discovered``, ``disabled``, ``expired``, ``deleted``, ``invalid`` or ``removed``."""
        if self.is_removed:
            return "removed"
        if self.is_deleted:
            return "deleted"
        if self.is_listed_disabled:
            return "disabled"
        if self.inactive_reason is not InactiveReason.DISABLED and self.is_expired(now):
            return "expired"
        if not self.is_active:
            return (self.inactive_reason or InactiveReason.DISABLED).value
        return "discovered" if self.is_discovered else "active"


def account_owners(keys: Iterable[StoredKey], states: Mapping[int, AccountState]) -> list[StoredKey]:
    """The management keys in use, one for each account: with the first all of it is read."""
    owners: list[StoredKey] = []
    seen: set[str] = set()
    for key in keys:
        if key.watches_account:
            account_id = states.get(key.id, AccountState()).account_id
            if account_id is None or account_id not in seen:
                owners.append(key)
            seen |= set() if account_id is None else {account_id}
    return owners
