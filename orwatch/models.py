"""What orwatch knows, as frozen data: keys, usage, totals. Money is ``Decimal`` US dollars, days are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import NamedTuple

NANO = Decimal("1e-9")
ZERO = Decimal(0)

# Wide enough that adding up an answer never rounds; the ledger's own unit is the nano-dollar.
_EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
# Not even an amount of thousands of digits may be rounded before it is rounded to nano-dollars.
_UNROUNDED = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)


def add_exactly(first: Decimal, second: Decimal) -> Decimal:
    """The sum, without the rounding to 28 digits that ``+`` would do."""
    return _EXACT.add(first, second)


def to_nano(amount_usd: Decimal) -> int:
    """Dollars as a whole number of nano-dollars (1e-9 USD), half to even."""
    # Moving the point first and rounding once, by round() itself, takes a third of quantize's time.
    return round(_UNROUNDED.scaleb(amount_usd, 9))


def round_to_nano(amount_usd: Decimal) -> Decimal:
    """The dollars to the nearest nano-dollar, half to even."""
    return _EXACT.quantize(amount_usd, NANO)


def from_nano(amount_nano: int) -> Decimal:
    """Nano-dollars as dollars, exact, without trailing zeros (``Decimal('0.015')``)."""
    # Whole dollars would be normalized to 1E+2.
    if amount_nano % 10**9 == 0:
        return Decimal(amount_nano // 10**9)
    return _EXACT.normalize(_EXACT.scaleb(Decimal(amount_nano), -9))


class KeyKind(StrEnum):
    """What a key may do; ``UNKNOWN`` until ``GET /key`` has answered once."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    UNKNOWN = "unknown"


class InactiveReason(StrEnum):
    """Why a key is not watched: ``INVALID`` is validate's finding, ``DISABLED`` a person's wish."""

    INVALID = "invalid"
    DISABLED = "disabled"


class UsageSource(StrEnum):
    """Where a day's rows came from.

    ``GET /usage`` or the counters of ``GET /key``; through a management key ``GET /activity`` (completed
    days by endpoint) or ``POST /analytics/query``.
    """

    USAGE = "usage"
    ACTIVITY = "activity"
    ANALYTICS = "analytics"
    COUNTERS = "counters"

    @property
    def rank(self) -> int:
        """A day is replaced by a source of the same or a higher rank only."""
        return _SOURCE_RANKS[self]


_SOURCE_RANKS = {
    UsageSource.COUNTERS: 10,
    UsageSource.ANALYTICS: 20,
    UsageSource.USAGE: 30,
    UsageSource.ACTIVITY: 40,
}


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What ``GET /key`` tells about the key that asks. None: the answer did not say.

    ``limit_usd`` None means unlimited; ``limit_remaining_usd`` may be negative.
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


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace of an account, as ``GET /workspaces`` tells it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as ``GET /keys`` tells it: everything but its secret. ``key_hash`` is the secret's SHA-256."""

    key_hash: str
    name: str
    workspace: str | None
    is_disabled: bool
    created_at: datetime | None
    facts: KeyFacts


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
    """What a management key last told of a key. ``account_key_id`` is that management key's id.

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

    ``account_id`` tells two management keys of one account. ``backfill_from``: the first day that is wanted;
    ``backfilled_from``: the first that has been read. The ``missing`` times: when an endpoint last answered
    404 or 403.
    """

    account_id: str | None = None
    backfill_from: date | None = None
    backfilled_from: date | None = None
    activity_missing_at: datetime | None = None
    analytics_missing_at: datetime | None = None
    # When the names of models were last asked for.
    slugs_read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One row of ``api_keys``.

    ``secret_encrypted`` is the Fernet token; None for a key that was removed, or that only a management key
    has told of.
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

    @property
    def is_management(self) -> bool:
        """Whether it is a management key."""
        return self.facts.kind is KeyKind.MANAGEMENT


class UsageRow(NamedTuple):
    """The usage of one day, model and provider by one key. None: the source does not say.

    Reasoning tokens are part of ``tokens_output``, cached ones of ``tokens_input``. A tuple, since there are
    many: a frozen dataclass takes several times as long to make.
    """

    day: date
    model: str | None
    provider: str | None
    requests: int | None
    tokens_input: int | None
    tokens_output: int | None
    cost_usd: Decimal
    tokens_reasoning: int | None = None
    tokens_cached: int | None = None
    byok_cost_usd: Decimal | None = None


def add_rows(first: UsageRow, second: UsageRow) -> UsageRow:
    """The first row with the second one's numbers added; a count with an unknown part is unknown."""
    return first._replace(
        requests=_sum_if_known(first.requests, second.requests),
        tokens_input=_sum_if_known(first.tokens_input, second.tokens_input),
        tokens_output=_sum_if_known(first.tokens_output, second.tokens_output),
        tokens_reasoning=_sum_if_known(first.tokens_reasoning, second.tokens_reasoning),
        tokens_cached=_sum_if_known(first.tokens_cached, second.tokens_cached),
        cost_usd=add_exactly(first.cost_usd, second.cost_usd),
        byok_cost_usd=add_known_usd(first.byok_cost_usd, second.byok_cost_usd),
    )


def _sum_if_known(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


class OwnedRow(NamedTuple):
    """A row and the name of the key that it belongs to, where an answer tells one."""

    owner: str | None
    row: UsageRow


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """What was spent from ``first_day`` to ``last_day``, both inclusive: exact, but only as a sum."""

    first_day: date
    last_day: date
    cost_usd: Decimal
    byok_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of an answer that was not believed; ``day`` None where even that could not be read."""

    reason: str
    day: date | None
    is_outside_window: bool = False


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """A parsed answer: one row per (day, model, provider), sorted, all within ``since``..``until``.

    ``whole_days``: days that it tells in full even where it has no row of them.
    """

    source: UsageSource
    since: date
    until: date
    rows: tuple[UsageRow, ...]
    rejected: tuple[RejectedRow, ...] = ()
    whole_days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Totals:
    """Usage added up. A count is None where no row told it; ``cost_usd`` is exact."""

    requests: int | None = None
    tokens_input: int | None = None
    tokens_output: int | None = None
    cost_usd: Decimal | None = None
    # The part of the cost whose rows also tell their requests: what a cost per request divides.
    cost_with_requests_usd: Decimal | None = None
    # An estimate of what the user's own provider keys cost; never part of the cost.
    byok_cost_usd: Decimal | None = None

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            _add_known(self.requests, other.requests),
            _add_known(self.tokens_input, other.tokens_input),
            _add_known(self.tokens_output, other.tokens_output),
            add_known_usd(self.cost_usd, other.cost_usd),
            add_known_usd(self.cost_with_requests_usd, other.cost_with_requests_usd),
            add_known_usd(self.byok_cost_usd, other.byok_cost_usd),
        )

    @property
    def cost_per_request_usd(self) -> Decimal | None:
        """Dollars a request, or None where there were no requests or nobody counted them."""
        if not self.requests or self.cost_with_requests_usd is None:
            return None
        return self.cost_with_requests_usd / self.requests


NO_USE = Totals(0, 0, 0, ZERO, ZERO)


def _add_known(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def add_known_usd(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """The exact sum of what is known; None where neither is."""
    if first is None or second is None:
        return second if first is None else first
    return add_exactly(first, second)


class Dimension(StrEnum):
    """What a report can be broken down by."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    MODEL = "model"
    PROVIDER = "provider"
    KEY = "key"

    @property
    def is_time(self) -> bool:
        """Whether the values are stretches of time."""
        return self in {Dimension.DAY, Dimension.WEEK, Dimension.MONTH}


class Job(StrEnum):
    """The jobs that cron starts, as ``job_runs`` names them."""

    SYNC = "sync"
    VALIDATE = "validate"
    CLEANUP = "cleanup"


class RunStatus(StrEnum):
    """How a run stands or ended. ``INTERRUPTED``: it never said that it ended."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class JobRun:
    """One row of ``job_runs``. ``slot`` None: it did a part of the job only."""

    id: int
    job: Job
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    error: str | None
    slot: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
