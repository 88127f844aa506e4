"""What was spent within a budget's scope day by day: what a forecast goes by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from orwatch.domain.budgets import Budget, Scope
from orwatch.domain.days import days_between
from orwatch.domain.money import ZERO, add_exactly, sum_known_usd
from orwatch.domain.usage import Totals
from orwatch.jobs.budget.scope import Cover, KeyIndex, cover, read_names
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey, list_light
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans


def budget_histories(
    connection: Connection,
    budgets: Iterable[Budget],
    since: date,
    until: date,
    keys: Sequence[LightKey] | None = None,
) -> dict[Budget, dict[date, Decimal]]:
    """What was spent of each on each day of ``since``..``until`` that is known, zero included, in dollars.

    A day is known when a sync has read it, and when a filter knows of all that was spent whether it counts.
    ``keys``: all rows of keys, where they were read already.
    """
    keys = list_light(connection) if keys is None else keys
    index, names = KeyIndex(keys), read_names(connection)
    # Budgets of one scope, a day's and a month's, have the same days.
    days: dict[tuple[Scope, bool], dict[date, Decimal]] = {}
    found = {}
    for budget in budgets:
        which = budget.scope, budget.with_byok
        if which not in days:
            covered = cover(budget.scope, index, names)
            days[which] = _days(connection, covered, keys, (since, until), with_byok=budget.with_byok)
        found[budget] = days[which]
    return found


def _days(
    connection: Connection,
    covered: Cover,
    keys: Sequence[LightKey],
    window: tuple[date, date],
    *,
    with_byok: bool,
) -> dict[date, Decimal]:
    key_ids = None if covered.key_ids is None else tuple(sorted(covered.key_ids))
    wanted = UsageFilter(*window, key_ids)
    # An account's days are those of all its keys: of a listed key without use no day is recorded.
    owners = {key.account_id for key in keys if key.account_id is not None and covered.has_key(key.id)}
    read = UsageFilter(*window, None if key_ids is None else (*key_ids, *owners))
    found = dict.fromkeys(sorted(usage_reads.covered_days(connection, read)), ZERO)
    grouping = Grouping(by_day=True, by_model=covered.has_filter, by_provider=covered.has_filter)
    unknown: set[date] = set()
    for row in usage_reads.sum_usage(connection, grouping, wanted):
        spent = _spent(row.totals, with_byok=with_byok)
        fits = covered.fits(row.model_id, row.provider_id) if covered.has_filter else True
        if row.day is None or fits is False:
            continue
        if fits is None and spent:
            unknown.add(row.day)
        elif fits:
            found[row.day] = add_exactly(found.get(row.day, ZERO), spent)
    for each in list_spans(connection, *window, key_ids):
        if each.span.cost_usd or each.span.byok_cost_usd:
            unknown.update(days_between(each.span.first_day, each.span.last_day))
    return {day: spent for day, spent in sorted(found.items()) if day not in unknown}


def _spent(totals: Totals, *, with_byok: bool) -> Decimal:
    return sum_known_usd([totals.cost_usd, totals.byok_cost_usd if with_byok else None]) or ZERO
