"""Usage as frozen data: rows, spans, answers, totals. Money is ``Decimal`` US dollars, days are UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, cast

from orwatch.domain.money import ZERO, round_to_nano, sum_exactly
from orwatch.domain.sources import UsageSource


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


def sum_rows(rows: Sequence[UsageRow]) -> UsageRow:
    """The first row with the others' numbers added; a count with an unknown part is unknown."""
    if len(rows) == 1:
        return rows[0]
    day, model, provider = rows[0][:3]
    # By columns: row by row it takes three times as long.
    _, _, _, requests, tokens_input, tokens_output, cost, reasoning, cached, byok = zip(*rows, strict=True)
    known_byok = [amount for amount in byok if amount is not None]
    return UsageRow(
        day,
        model,
        provider,
        _sum_if_known(requests),
        _sum_if_known(tokens_input),
        _sum_if_known(tokens_output),
        sum_exactly(cost),
        _sum_if_known(reasoning),
        _sum_if_known(cached),
        sum_exactly(known_byok) if known_byok else None,
    )


def _sum_if_known(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(cast("Sequence[int]", counts))


class OwnedRow(NamedTuple):
    """A row and the name of the key that it belongs to, where an answer names one."""

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
    """A row of an answer that was not believed; ``day`` None where even that could not be read.

    ``count``: it stands for so many of that day, where there are too many to keep each.
    """

    reason: str
    day: date | None
    is_outside_window: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """A parsed answer: one row per (day, model, provider), sorted, all within ``since``..``until``.

    ``whole_days``: days that it reports in full even where it has no row of them.
    """

    source: UsageSource
    since: date
    until: date
    rows: tuple[UsageRow, ...]
    rejected: tuple[RejectedRow, ...] = ()
    whole_days: frozenset[date] = frozenset()

    def doubtful_days(self, days: Set[date]) -> set[date]:
        """Those of the days of which the answer has, or may have, a row that was not believed."""
        doubted = {row.day for row in self.rejected}
        return {*days} if None in doubted else {day for day in days if day in doubted}


@dataclass(frozen=True, slots=True)
class Totals:
    """Usage added up. A count is None where no row has it; ``cost_usd`` is exact."""

    requests: int | None = None
    tokens_input: int | None = None
    tokens_output: int | None = None
    cost_usd: Decimal | None = None
    # The part of the cost whose rows also have their requests: what a cost per request divides.
    cost_with_requests_usd: Decimal | None = None
    # An estimate of what the user's own provider keys cost; never part of the cost.
    byok_cost_usd: Decimal | None = None
    # The rest only where it is asked for. Reasoning tokens are part of the output, cached ones of the input.
    tokens_reasoning: int | None = None
    tokens_cached: int | None = None
    # Of the rows that have both: what the cache rate is made of.
    tokens_cached_of_input: int | None = None
    tokens_input_with_cached: int | None = None
    # Of the rows that have their tokens in and out: what the cost of a million tokens is made of.
    cost_with_tokens_usd: Decimal | None = None
    tokens_with_cost: int | None = None

    def __add__(self, other: Totals) -> Totals:
        return sum_totals((self, other))

    @property
    def cost_per_request_usd(self) -> Decimal | None:
        """Dollars a request, or None where there were no requests or they were not counted."""
        if not self.requests or self.cost_with_requests_usd is None:
            return None
        return round_to_nano(self.cost_with_requests_usd / self.requests)

    @property
    def cache_rate(self) -> Decimal | None:
        """The cached part of the tokens in, 0 to 1; None where there were none or it was not reported."""
        if not self.tokens_input_with_cached or self.tokens_cached_of_input is None:
            return None
        return round_to_nano(Decimal(self.tokens_cached_of_input) / self.tokens_input_with_cached)

    @property
    def cost_per_million_tokens_usd(self) -> Decimal | None:
        """Dollars a million tokens, in and out alike; None where there were none or they were not counted."""
        if not self.tokens_with_cost or self.cost_with_tokens_usd is None:
            return None
        return round_to_nano(self.cost_with_tokens_usd * 1_000_000 / self.tokens_with_cost)


def sum_totals(rows: Iterable[Totals]) -> Totals:
    """The sum; what no row knows stays None."""
    # Column by column: of many rows that takes a third of the time of making each sum on the way.
    listed = list(rows)
    return Totals(**{name: _sum_known([getattr(row, name) for row in listed]) for name in Totals.__slots__})


def _sum_known(numbers: Sequence[Any]) -> Any:
    known = [number for number in numbers if number is not None]
    if not known:
        return None
    return sum_exactly(known) if isinstance(known[0], Decimal) else sum(known)


NO_USE = Totals(0, 0, 0, ZERO, ZERO)
# The same from a source that reports BYOK.
NO_USE_NOR_BYOK = replace(NO_USE, byok_cost_usd=ZERO)

# What a report counts: each number's name in JSON, CSV and --sort, and where ``Totals`` has it.
MEASURES: Mapping[str, str] = {
    "requests": "requests",
    "tokens_input": "tokens_input",
    "tokens_output": "tokens_output",
    "cost": "cost_usd",
    "byok_cost": "byok_cost_usd",
}
# All that it can show, in order; rates are made of sums, and never added up.
COLUMNS: Mapping[str, str] = {
    "requests": "requests",
    "tokens_input": "tokens_input",
    "tokens_cached": "tokens_cached",
    "cache_rate": "cache_rate",
    "tokens_output": "tokens_output",
    "tokens_reasoning": "tokens_reasoning",
    "cost": "cost_usd",
    "cost_per_request": "cost_per_request_usd",
    "cost_per_million_tokens": "cost_per_million_tokens_usd",
    "byok_cost": "byok_cost_usd",
}


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of the public list: its dated and its plain name, and when it is to be retired, if at all.

    Both names have the ending of a variant (``:free``).
    """

    dated_name: str
    name: str
    retires_on: date | None = None


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
