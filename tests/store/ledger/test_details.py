"""Reasoning, cached tokens and rates: read from the ledger, and from the months that cleanup has cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from datetime import date
from decimal import Decimal

import pytest

from orwatch.domain.usage import Totals
from orwatch.store.engine.database import Connection, Store
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import retention
from orwatch.store.ledger.read import Grouping, UsageFilter
from tests.store.support import add_key, on_each_engine, write
from tests.support import usage_answer, usage_row

FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 2)
BY_MODEL = Grouping(by_model=True, with_details=True)
OCTOBER = UsageFilter(FIRST, date(2026, 10, 31))
# What each model's rows add up to: what cannot be paired counts in no rate.
WHOLE = Totals(10, 200, 250, Decimal(3), Decimal(3), None, 7, 90, 90, 200, Decimal(3), 450)
HALF = Totals(10, 100, 250, Decimal(3), Decimal(3), None, 7, 40, 40, 100, Decimal(1), 225)
NOTHING = Totals(None, None, None, Decimal(2), None, None)


@pytest.fixture
def filled(store: Store) -> Iterator[Connection]:
    add_key(store, "one")
    one = usage_row(FIRST, "whole", tokens_input=100, cost="1")._replace(tokens_reasoning=7, tokens_cached=40)
    other = usage_row(SECOND, "whole", tokens_input=100, cost="2")._replace(tokens_cached=50)
    half = [one._replace(model="half"), other._replace(model="half", tokens_input=None, tokens_cached=None)]
    nothing = usage_row(FIRST, "nothing", requests=None, tokens_input=None, tokens_output=None, cost="2")
    write(store, usage_answer(one, other, *half, nothing))
    with store.read() as connection:
        yield connection


def by_model(connection: Connection, source: str) -> dict[str | None, Totals]:
    names = usage_reads.model_names(connection)
    sums = getattr(usage_reads, source)(connection, BY_MODEL, OCTOBER)
    return {names[row.model_id]: row.totals for row in sums}


@on_each_engine
def test_days_pair_what_each_row_has(filled: Connection) -> None:
    assert by_model(filled, "sum_usage") == {"whole": WHOLE, "half": HALF, "nothing": NOTHING}


@on_each_engine
def test_months_that_cleanup_has_cut_have_the_same_counts_and_pair_what_all_rows_have(
    store: Store, filled: Connection
) -> None:
    filled.rollback()
    for day in (FIRST, SECOND):
        with store.write() as connection:
            retention.remove_day(connection, day)
    with store.read() as connection:
        assert by_model(connection, "sum_usage") == {}
        unpaired = Totals(*astuple(HALF)[:8])
        assert by_model(connection, "sum_months") == {"whole": WHOLE, "half": unpaired, "nothing": NOTHING}


@pytest.mark.parametrize(
    ("totals", "cache_rate", "per_million"),
    [
        (WHOLE, "0.45", "6666.666666667"),
        (HALF, "0.4", "4444.444444444"),
        # Of the sums, and not the mean of 0.45 and 0.4.
        (WHOLE + HALF, "0.433333333", "5925.925925926"),
        (WHOLE + NOTHING, "0.45", "6666.666666667"),
        (NOTHING, None, None),
    ],
)
def test_rates_are_made_of_sums_and_never_added_up(
    totals: Totals, cache_rate: str | None, per_million: str | None
) -> None:
    found = totals.cache_rate, totals.cost_per_million_tokens_usd
    assert found == tuple(None if rate is None else Decimal(rate) for rate in (cache_rate, per_million))
