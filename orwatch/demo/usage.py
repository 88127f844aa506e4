"""Made-up usage that looks like the real thing: pure, and the same in every process.

A key and a day always give the same rows: what looks random is read from the SHA-256 of their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from struct import Struct
from typing import Literal, TypeAlias

from orwatch.demo.catalog import MODELS, Counts, Price, split
from orwatch.domain.money import ZERO, from_nano

__all__ = [
    "CHAT_ROOM",
    "CI",
    "NO_USE",
    "OLD_LAPTOP",
    "PRICES",
    "PRODUCTION",
    "RESEARCH",
    "RUNAWAY_EVERY_DAYS",
    "FakeKey",
    "FakeUsage",
    "LimitReset",
    "ModelUse",
    "Price",
    "UsageProfile",
    "counts_of",
    "usage_by_endpoint",
    "usage_of",
]

LimitReset: TypeAlias = Literal["daily", "weekly", "monthly"]

_FOUR_NUMBERS = Struct(">4Q")
_UNIT = 2**48


PRICES = {slug: model.price for slug, model in MODELS.items()}

# A runaway job comes once in so many days, so that every month of history shows exactly one.
RUNAWAY_EVERY_DAYS = 30
_RUNAWAY_REMAINDER = date(2026, 11, 11).toordinal() % RUNAWAY_EVERY_DAYS
_RUNAWAY_FACTOR = 6.0

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class ModelUse:
    """How a model is used on a usual working day: requests, and the tokens of one of them."""

    model: str
    requests: int
    tokens_input: int
    tokens_output: int


@dataclass(frozen=True, slots=True)
class UsageProfile:
    """The habits of a key. ``weekend_factor`` times the working day's requests are made on Saturdays and
    Sundays; ``active_share`` is the part of all days on which the key is used at all; ``runaway_model`` is
    the model that a job gone wild calls now and then.
    """

    uses: tuple[ModelUse, ...]
    weekend_factor: float
    active_share: float = 1.0
    runaway_model: str | None = None


PRODUCTION = UsageProfile(
    (
        ModelUse("anthropic/claude-sonnet-4.5", 140, 4200, 700),
        ModelUse("openai/gpt-4.1", 220, 1800, 350),
        ModelUse("google/gemini-2.5-flash", 900, 1200, 200),
        ModelUse("deepseek/deepseek-chat-v3.1", 300, 1500, 300),
        ModelUse("meta-llama/llama-3.3-70b-instruct:free", 40, 800, 250),
    ),
    weekend_factor=0.35,
    runaway_model="anthropic/claude-sonnet-4.5",
)
CI = UsageProfile(
    (
        ModelUse("openai/gpt-4.1-mini", 240, 1600, 220),
        ModelUse("google/gemini-2.5-flash-lite", 180, 900, 120),
        ModelUse("openai/gpt-oss-120b", 60, 1100, 300),
    ),
    weekend_factor=0.0,
)
OLD_LAPTOP = UsageProfile(
    (
        ModelUse("openai/gpt-4.1", 14, 2400, 600),
        ModelUse("meta-llama/llama-3.3-70b-instruct:free", 9, 700, 400),
    ),
    weekend_factor=1.0,
    active_share=0.35,
)


RESEARCH = UsageProfile(
    (
        ModelUse("anthropic/claude-sonnet-4.5", 16, 5200, 900),
        ModelUse("google/gemini-2.5-flash", 30, 2600, 500),
    ),
    weekend_factor=0.5,
    active_share=0.7,
)
CHAT_ROOM = UsageProfile(
    (
        ModelUse("openai/gpt-4.1", 6, 900, 450),
        ModelUse("anthropic/claude-sonnet-4.5", 3, 1200, 600),
    ),
    weekend_factor=0.5,
    active_share=0.4,
)
NO_USE = UsageProfile((), weekend_factor=1.0)


@dataclass(frozen=True, slots=True)
class FakeKey:
    """A key that the fake server knows. ``limit_usd`` None: unlimited; ``limit_reset`` None: it never resets.

    ``workspace_id`` None is the default workspace. A ``is_byok`` key goes through the user's own provider
    key: it spends no credits, and its costs are the BYOK estimate. It has no usage before ``created_on``,
    after ``used_until`` (None: the day before ``deleted_on``, if that is set) and after it expires.
    Its usage is made up from ``seed``, which is the name unless told otherwise.
    """

    name: str
    secret: str = field(repr=False)
    profile: UsageProfile
    limit_usd: Decimal | None = None
    limit_reset: LimitReset | None = None
    expires_at: datetime | None = None
    is_free_tier: bool = False
    is_revoked: bool = False
    workspace_id: str | None = None
    created_on: date | None = None
    is_disabled: bool = False
    deleted_on: date | None = None
    is_byok: bool = False
    used_until: date | None = None
    seed: str = ""

    @property
    def key_hash(self) -> str:
        """What OpenRouter calls the key's ``hash``: the SHA-256 of the secret, in lower-case hex."""
        return sha256(self.secret.encode()).hexdigest()

    @property
    def usage_seed(self) -> str:
        """What the made-up usage is read from."""
        return self.seed or self.name

    @property
    def last_day(self) -> date:
        """The last day on which it can be used; ``date.max`` where nothing ends its use."""
        last_days = [date.max]
        if self.used_until is not None:
            last_days.append(self.used_until)
        elif self.deleted_on is not None:
            last_days.append(self.deleted_on - timedelta(days=1))
        if self.expires_at is not None:
            last_days.append(self.expires_at.astimezone(UTC).date())
        return min(last_days)


@dataclass(frozen=True, slots=True)
class FakeUsage:
    """The usage of one day and model by one key; the costs have at most nine decimals.

    ``provider`` and ``endpoint_id`` are None where all endpoints are added up. Reasoning tokens are part of
    ``tokens_output``, cached ones of ``tokens_input``.
    """

    day: date
    model: str
    requests: int
    tokens_input: int
    tokens_output: int
    cost_usd: Decimal
    tokens_reasoning: int = 0
    tokens_cached: int = 0
    byok_cost_usd: Decimal = ZERO
    provider: str | None = None
    endpoint_id: str | None = None


def usage_of(key: FakeKey, day: date) -> tuple[FakeUsage, ...]:
    """What the key used on that day, a row per model; models without a request have no row."""
    if not (key.created_on or date.min) <= day <= key.last_day:
        return ()
    return tuple(
        _row(key, day, use.model, counts)
        for use, counts in zip(key.profile.uses, counts_of(key, day), strict=False)
        if counts[0]
    )


def usage_by_endpoint(row: FakeUsage) -> tuple[FakeUsage, ...]:
    """A row of ``usage_of`` in its parts, one per endpoint that served a request: their sum is the row."""
    is_byok = bool(row.byok_cost_usd)
    parts = []
    for endpoint, part in split(MODELS[row.model], (row.requests, row.tokens_input, row.tokens_output)):
        cost_usd = from_nano(part.cost_nano)
        parts.append(
            replace(
                row,
                requests=part.requests,
                tokens_input=part.tokens_input,
                tokens_output=part.tokens_output,
                cost_usd=ZERO if is_byok else cost_usd,
                tokens_reasoning=part.tokens_reasoning,
                tokens_cached=part.tokens_cached,
                byok_cost_usd=cost_usd if is_byok else ZERO,
                provider=endpoint.provider,
                endpoint_id=endpoint.id,
            )
        )
    return tuple(parts)


def counts_of(key: FakeKey, day: date) -> tuple[Counts, ...]:
    """The counts for each model of the key's profile in its order, or nothing at all on a day of rest.

    Only the seed and the profile decide: when the key is created or deleted does not matter here.
    """
    profile, seed, day_text = key.profile, key.usage_seed, day.isoformat()
    activity, mood, *_ = _fractions(seed, day_text)
    if activity >= profile.active_share:
        return ()
    busyness = _about(1.0, mood) * (profile.weekend_factor if day.weekday() >= _SATURDAY else 1.0)
    is_runaway_day = day.toordinal() % RUNAWAY_EVERY_DAYS == _RUNAWAY_REMAINDER
    all_counts = []
    for use in profile.uses:
        is_runaway = is_runaway_day and use.model == profile.runaway_model
        # A job gone wild knows no weekend.
        factor = _RUNAWAY_FACTOR if is_runaway else busyness
        many, long_input, long_output, _ = _fractions(seed, day_text, use.model)
        requests = round(_about(use.requests * factor, many))
        tokens_input = round(_about(requests * use.tokens_input, long_input))
        tokens_output = round(_about(requests * use.tokens_output, long_output))
        all_counts.append((requests, tokens_input, tokens_output))
    return tuple(all_counts)


def _row(key: FakeKey, day: date, model: str, counts: Counts) -> FakeUsage:
    requests, tokens_input, tokens_output = counts
    cost_usd = PRICES[model].cost_usd(tokens_input, tokens_output)
    return FakeUsage(
        day,
        model,
        requests,
        tokens_input,
        tokens_output,
        cost_usd=ZERO if key.is_byok else cost_usd,
        tokens_reasoning=tokens_output * MODELS[model].reasoning_percent // 100,
        tokens_cached=tokens_input * MODELS[model].cached_percent // 100,
        byok_cost_usd=cost_usd if key.is_byok else ZERO,
    )


def _about(usual: float, fraction: float) -> float:
    """The usual amount, a fifth less to a fifth more."""
    return usual * (0.8 + 0.4 * fraction)


def _fractions(seed: str, day: str, model: str = "") -> tuple[float, float, float, float]:
    """Four numbers from 0 up to 1 that only these texts decide (``hash()`` differs between processes)."""
    digest = sha256(f"{seed}\n{day}\n{model}".encode()).digest()
    first, second, third, fourth = _FOUR_NUMBERS.unpack(digest)
    # Six bytes of eight: a float holds 48 bits exactly, so that the number never rounds up to 1.
    return (first >> 16) / _UNIT, (second >> 16) / _UNIT, (third >> 16) / _UNIT, (fourth >> 16) / _UNIT
