"""Made-up usage that looks like the real thing: pure, and the same in every process.

A key and a day always give the same rows: what looks random is read from the SHA-256 of their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Literal, TypeAlias

LimitReset: TypeAlias = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; at most three decimals, so that every cost is whole nano-dollars."""

    input_usd: Decimal
    output_usd: Decimal

    def cost_usd(self, tokens_input: int, tokens_output: int) -> Decimal:
        """What these tokens cost, exactly."""
        return (tokens_input * self.input_usd + tokens_output * self.output_usd).scaleb(-6)


PRICES = {
    "anthropic/claude-sonnet-4.5": Price(Decimal("3"), Decimal("15")),
    "openai/gpt-4.1": Price(Decimal("2"), Decimal("8")),
    "openai/gpt-4.1-mini": Price(Decimal("0.4"), Decimal("1.6")),
    "google/gemini-2.5-flash": Price(Decimal("0.3"), Decimal("2.5")),
    "google/gemini-2.5-flash-lite": Price(Decimal("0.1"), Decimal("0.4")),
    "deepseek/deepseek-chat-v3.1": Price(Decimal("0.27"), Decimal("1")),
    "openai/gpt-oss-120b": Price(Decimal("0.072"), Decimal("0.28")),
    "meta-llama/llama-3.3-70b-instruct:free": Price(Decimal(0), Decimal(0)),
}

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


@dataclass(frozen=True, slots=True)
class StandInKey:
    """A key that the stand-in knows. ``limit_usd`` None: unlimited; ``limit_reset`` None: it never resets."""

    name: str
    secret: str = field(repr=False)
    profile: UsageProfile
    limit_usd: Decimal | None = None
    limit_reset: LimitReset | None = None
    expires_at: datetime | None = None
    is_free_tier: bool = False
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class StandInUsage:
    """The usage of one day and model by one key; the cost has at most nine decimals."""

    day: date
    model: str
    requests: int
    tokens_input: int
    tokens_output: int
    cost_usd: Decimal


def usage_of(key: StandInKey, day: date) -> tuple[StandInUsage, ...]:
    """What the key used on that day, a row per model; models without a request have no row."""
    profile = key.profile
    activity, mood, *_ = _fractions(key.name, day)
    if activity >= profile.active_share:
        return ()
    busyness = _about(1.0, mood) * (profile.weekend_factor if day.weekday() >= _SATURDAY else 1.0)
    is_runaway_day = day.toordinal() % RUNAWAY_EVERY_DAYS == _RUNAWAY_REMAINDER
    rows = []
    for use in profile.uses:
        is_runaway = is_runaway_day and use.model == profile.runaway_model
        # A job gone wild knows no weekend.
        rows.append(_row(key, day, use, _RUNAWAY_FACTOR if is_runaway else busyness))
    return tuple(row for row in rows if row.requests)


def _row(key: StandInKey, day: date, use: ModelUse, busyness: float) -> StandInUsage:
    many, long_input, long_output, _ = _fractions(key.name, day, use.model)
    requests = round(_about(use.requests * busyness, many))
    tokens_input = round(_about(requests * use.tokens_input, long_input))
    tokens_output = round(_about(requests * use.tokens_output, long_output))
    cost_usd = PRICES[use.model].cost_usd(tokens_input, tokens_output)
    return StandInUsage(day, use.model, requests, tokens_input, tokens_output, cost_usd)


def _about(usual: float, fraction: float) -> float:
    """The usual amount, a fifth less to a fifth more."""
    return usual * (0.8 + 0.4 * fraction)


def _fractions(key_name: str, day: date, model: str = "") -> tuple[float, ...]:
    """Four numbers from 0 up to 1 that only these names decide (``hash()`` differs between processes)."""
    digest = sha256(f"{key_name}\n{day}\n{model}".encode()).digest()
    # Six bytes of eight: a float holds 48 bits exactly, so that the number never rounds up to 1.
    return tuple(int.from_bytes(digest[start : start + 6], "big") / 2**48 for start in range(0, 32, 8))
