"""What is known of each key's days."""

from __future__ import annotations

from datetime import date, timedelta

from orwatch.domain.contradictions import StoredDay
from orwatch.domain.sources import UsageSource
from orwatch.store.engine.database import Store
from orwatch.store.ledger.histories import histories, stored_days
from tests.store.support import add_key, write
from tests.support import TODAY, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)


def test_the_days_of_many_keys_that_are_alike_are_one_object_each(store: Store) -> None:
    for number in (1, 2):
        add_key(store, f"key {number}")
        write(store, usage_answer(usage_row(YESTERDAY), usage_row()), key_id=number)
    with store.read() as connection:
        found = histories(connection, date.min, TODAY)
    one, two = found[1].days, found[2].days
    assert one == two
    assert {YESTERDAY, TODAY} <= one.keys()
    assert len({id(read) for each in (one, two) for read in each.values()}) == 1
    assert len({id(day) for each in (one, two) for day in each if day == TODAY}) == 1


def test_stored_days_are_those_of_the_wanted_keys_within_the_window(store: Store) -> None:
    for number in (1, 2, 3):
        add_key(store, f"key {number}")
        write(store, usage_answer(usage_row(YESTERDAY), usage_row(cost="2")), key_id=number)
    with store.read() as connection:
        found = stored_days(connection, [1, 3, 99], TODAY, TODAY)
        none = stored_days(connection, [], TODAY, TODAY)
    assert found.keys() == {1, 3}
    assert found[1] == {TODAY: StoredDay(usage_row(cost="2").cost_usd, UsageSource.USAGE)}
    assert none == {}
