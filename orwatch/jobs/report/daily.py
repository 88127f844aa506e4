"""What each day cost, as far as that is known: what forecasts and the first lines of a report go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from orwatch.domain.days import days_between
from orwatch.domain.money import ZERO, add_exactly, add_known_usd
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey, list_light
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans
from orwatch.store.ledger.write import kept_from
from orwatch.store.schema import UNKNOWN_NAME_ID


@dataclass(frozen=True, slots=True)
class Cover:
    """What counts, by ids. None: whatever there is; ``key_ids`` are all rows of the keys."""

    key_ids: frozenset[int] | None = None
    model_ids: frozenset[int] | None = None
    provider_ids: frozenset[int] | None = None

    @property
    def has_filter(self) -> bool:
        """Whether the model or the provider of what is spent has to be known."""
        return self.model_ids is not None or self.provider_ids is not None

    def fits(self, model_id: int | None, provider_id: int | None) -> bool | None:
        """Whether usage of this model and provider counts; None: that is not known of it."""
        answers = (_is_among(model_id, self.model_ids), _is_among(provider_id, self.provider_ids))
        if False in answers:
            return False
        return None if None in answers else True


def _is_among(number: int | None, wanted: frozenset[int] | None) -> bool | None:
    if wanted is None:
        return True
    return None if number == UNKNOWN_NAME_ID else number in wanted


def cover_of(wanted: UsageFilter) -> Cover:
    """The keys and models of a filter."""
    return Cover(*(None if ids is None else frozenset(ids) for ids in (wanted.key_ids, wanted.model_ids)))


@dataclass(frozen=True, slots=True)
class DailyCosts:
    """What each day cost that was read, in dollars, zero included.

    ``unclear``: the days that may have cost more, since a part is known only as a sum of several days, which
    is not spread over them, or since no source reported whether it counts.
    """

    read: Mapping[date, Decimal]
    unclear: frozenset[date]

    @property
    def known(self) -> dict[date, Decimal]:
        """The days of which all is known, in order."""
        return {day: cost for day, cost in sorted(self.read.items()) if day not in self.unclear}


def read_daily_costs(
    connection: Connection,
    covered: Cover,
    since: date,
    until: date,
    keys: Sequence[LightKey] | None = None,
    *,
    with_byok: bool = False,
) -> DailyCosts:
    """The days of ``since``..``until``; those that cleanup has removed are not known.

    ``keys``: all rows of keys, where they were read already.
    """

    def spent(cost: Decimal | None, byok: Decimal | None) -> Decimal:
        return add_known_usd(cost, byok if with_byok else None) or ZERO

    since = max(since, kept_from(connection) or date.min)
    if since > until:
        return DailyCosts({}, frozenset())
    wanted = read = UsageFilter(since, until)
    if covered.key_ids is not None:
        wanted = replace(wanted, key_ids=tuple(sorted(covered.key_ids)))
        # An account's days are those of all its keys: of a listed key without use no day is recorded.
        rows = list_light(connection) if keys is None else keys
        owners = {row.account_id for row in rows if row.account_id and row.id in covered.key_ids}
        read = replace(read, key_ids=(*covered.key_ids, *owners))
    costs = dict.fromkeys(usage_reads.covered_days(connection, read), ZERO)
    unclear: set[date] = set()
    grouping = Grouping(by_day=True, by_model=covered.has_filter, by_provider=covered.has_filter)
    for row in usage_reads.sum_usage(connection, grouping, wanted):
        amount = spent(row.totals.cost_usd, row.totals.byok_cost_usd)
        fits = covered.fits(row.model_id, row.provider_id) if covered.has_filter else True
        if row.day is None or fits is False:
            continue
        if fits:
            costs[row.day] = add_exactly(costs.get(row.day, ZERO), amount)
        elif amount:
            unclear.add(row.day)
    for each in list_spans(connection, since, until, wanted.key_ids):
        if spent(each.span.cost_usd, each.span.byok_cost_usd):
            unclear.update(days_between(each.span.first_day, each.span.last_day))
    return DailyCosts(costs, frozenset(unclear))
