"""What was spent within a budget's scope day by day: what a forecast goes by."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from orwatch.domain.budgets import Budget
from orwatch.domain.days import days_between
from orwatch.domain.money import ZERO, add_exactly
from orwatch.domain.usage import Totals
from orwatch.jobs.budget.scope import KeyIndex, cover, read_names
from orwatch.jobs.key.spending import total_usd
from orwatch.store.engine.database import Connection
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import Grouping, UsageFilter
from orwatch.store.ledger.spans import list_spans
from orwatch.store.ledger.watched import list_read_keys


def budget_history(connection: Connection, budget: Budget, since: date, until: date) -> dict[date, Decimal]:
    """What was spent on each day of ``since``..``until`` that is known, zero included, in dollars.

    A day is known when a sync has read it, and when a filter knows of all that was spent whether it counts.
    """
    keys = list_read_keys(connection)
    covered = cover(budget.scope, KeyIndex(keys), read_names(connection))
    key_ids = None if covered.key_ids is None else tuple(sorted(covered.key_ids))
    wanted = UsageFilter(since, until, key_ids)
    # An account's days are those of all its keys: of a listed key without use no day is recorded.
    owners = {key.account_id for key in keys if key.account_id is not None and covered.has_key(key.id)}
    read = UsageFilter(since, until, None if key_ids is None else (*key_ids, *owners))
    found = dict.fromkeys(sorted(usage_reads.covered_days(connection, read)), ZERO)
    grouping = Grouping(by_day=True, by_model=covered.has_filter, by_provider=covered.has_filter)
    unknown: set[date] = set()
    for row in usage_reads.sum_usage(connection, grouping, wanted):
        spent = _spent(row.totals, with_byok=budget.with_byok)
        fits = covered.fits(row.model_id, row.provider_id) if covered.has_filter else True
        if row.day is None or fits is False:
            continue
        if fits is None and spent:
            unknown.add(row.day)
        elif fits:
            found[row.day] = add_exactly(found.get(row.day, ZERO), spent)
    for each in list_spans(connection, since, until, key_ids):
        if each.span.cost_usd or each.span.byok_cost_usd:
            unknown.update(days_between(each.span.first_day, each.span.last_day))
    return {day: spent for day, spent in sorted(found.items()) if day not in unknown}


def _spent(totals: Totals, *, with_byok: bool) -> Decimal:
    return total_usd([totals.cost_usd, totals.byok_cost_usd if with_byok else None]) or ZERO
