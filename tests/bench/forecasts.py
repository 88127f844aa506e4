"""How good the forecast is at the middle of a month, beside "so much a day so far".

The forecast's constants were chosen on other histories (``histories.TUNING``). The figures are no times: mean
absolute errors in dollars, where a usual day costs ten, and how far from 80 % of the outcomes lay in the
interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orwatch.domain.days import month_end
from orwatch.domain.forecast import forecast
from tests.bench.histories import FIRST_SEED, KINDS, MEASURED, Ranges, histories
from tests.bench.measure import Options, Row

_HISTORIES = 400
# Over all kinds together, and for any of them.
GOAL, GOAL_OF_A_KIND = 1.0, 1.1


@dataclass(frozen=True, slots=True)
class Figures:
    """The mean absolute errors in dollars, and the share of the outcomes in the interval of 80 %."""

    error_usd: float
    plain_error_usd: float
    inside: float

    def rows(self, what: str, goal: float) -> list[Row]:
        """The two figures, as lines of the table."""
        error = Row(f"{what}: error / plain error", goal, self.error_usd, "$", beside=self.plain_error_usd)
        # Ten more or fewer of a hundred outcomes than eighty; of a single kind, twice as many.
        off = 0.1 if goal == GOAL else 0.2
        return [error, Row(f"{what}: inside, off 80 %", off, abs(self.inside - 0.8), "%")]


def measure(options: Options) -> list[Row]:
    """Two rows a kind, and of all together."""
    seeds = range(FIRST_SEED, FIRST_SEED + options.scaled(_HISTORIES))
    figures = {kind: measure_kind(kind, seeds) for kind in KINDS}
    of_kinds = [row for kind, found in figures.items() for row in found.rows(kind, GOAL_OF_A_KIND)]
    return [*of_kinds, *mean([*figures.values()]).rows("all kinds", GOAL)]


def measure_kind(kind: str, seeds: range, ranges: Ranges = MEASURED) -> Figures:
    """How good the forecast is for one kind of history."""
    errors, plain_errors, inside = 0.0, 0.0, 0
    for each in histories(kind, seeds, ranges):
        found = forecast(each.known, each.now, month_end(each.now.date()), spent_usd=each.spent_usd)
        assert found is not None
        errors += float(abs(found.expected_usd - each.outcome_usd))
        plain_errors += float(abs(each.plain_usd - each.outcome_usd))
        inside += found.low_usd <= each.outcome_usd <= found.high_usd
    return Figures(errors / len(seeds), plain_errors / len(seeds), inside / len(seeds))


def mean(figures: Sequence[Figures]) -> Figures:
    """The figures of several kinds together."""
    return Figures(
        *(
            sum(getattr(each, name) for each in figures) / len(figures)
            for name in ("error_usd", "plain_error_usd", "inside")
        )
    )
