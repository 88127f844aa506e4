"""Of how many days a report knows anything, and what the keys' counters say beside it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.keys import KeyFacts, KeyKind, Listing
from orwatch.domain.usage import Dimension, UsageSpan
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.report.coverage import count_known_days, read_counters
from orwatch.jobs.report.result import Counters, Days
from orwatch.store.engine.database import Store
from orwatch.store.ledger.read import UsageFilter
from orwatch.store.ledger.spans import KeySpan
from tests.jobs.report.test_run import DAY, MODEL, MONTH, WEEK, run
from tests.jobs.support import add_key, days_ago, spend
from tests.store.support import write
from tests.support import NOW, TODAY, FakeClock, stored_key, usage_answer

NOVEMBER = date(2026, 11, 1)


def counted(month: str | None, lifetime: str | None, kind: KeyKind = KeyKind.INFERENCE) -> KeyFacts:
    return KeyFacts(
        kind,
        usage_usd=None if lifetime is None else Decimal(lifetime),
        usage_monthly_usd=None if month is None else Decimal(month),
    )


def test_a_report_of_a_few_days_knows_how_many_and_what_the_counters_say(store: Store) -> None:
    add_key(store, "work", facts=counted("47.02", "200"))
    spend(store, (TODAY, "m", "1.58"))

    result = run(store, since=days_ago(29))

    assert (result.known_days, result.days) == (1, 30)
    assert result.counters == Counters(NOVEMBER, Decimal("47.02"), Decimal(200))


def test_days_that_were_read_without_use_are_known_and_leave_nothing_to_say(store: Store) -> None:
    add_key(store, "work", facts=counted("47.02", "200"))
    write(store, usage_answer(since=days_ago(9), until=TODAY))

    result = run(store)

    assert (result.known_days, result.counters) == (10, None)


def test_counters_are_those_of_the_chosen_keys_and_of_no_model(store: Store) -> None:
    add_key(store, "first", facts=counted("1", "10"))
    add_key(store, "second", facts=counted("2", "20"))
    spend(store, (TODAY, "m", "1"))

    assert run(store).counters == Counters(NOVEMBER, Decimal(3), Decimal(30))
    assert run(store, key_names=("second",)).counters == Counters(NOVEMBER, Decimal(2), Decimal(20))
    assert run(store, model_globs=("m",)).counters is None


def test_a_key_that_was_added_again_and_a_management_key_are_not_counted_twice(store: Store) -> None:
    add_key(store, "work", facts=counted("1", "10"))
    key_jobs.remove(store, "work", NOW, with_history=False)
    add_key(store, "work", facts=counted("2", "20"))
    add_key(store, "ops", facts=counted("70", "700", KeyKind.MANAGEMENT))

    # An account may have spent what no listed key has.
    assert run(store).counters == Counters(NOVEMBER, Decimal(2), Decimal(20), leaves_out_usage=True)
    assert run(store, key_names=("work",)).counters == Counters(NOVEMBER, Decimal(2), Decimal(20))


@pytest.mark.parametrize("order", [1, -1])
def test_the_month_is_the_latest_that_was_read_and_the_latest_reading_of_a_key_counts(order: int) -> None:
    keys = [
        stored_key(id=1, key_hash="a", facts=counted("1", "10"), facts_read_at=NOW - timedelta(days=40)),
        stored_key(id=2, key_hash="b", facts=counted("2", "20"), facts_read_at=NOW),
        stored_key(id=3, key_hash="b", facts=counted("4", "40"), facts_read_at=NOW - timedelta(days=1)),
        stored_key(id=4, key_hash="c", facts=counted("8", "80"), facts_read_at=None),
    ]

    assert read_counters(keys[::order], None) == Counters(NOVEMBER, Decimal(2), Decimal(30))


@pytest.mark.parametrize("facts_read_at", [None, NOW])
def test_counters_that_no_answer_had_are_none(facts_read_at: object) -> None:
    keys = [stored_key(facts=counted(None, None), facts_read_at=facts_read_at)]
    assert read_counters(keys, None) is None


def test_days_of_a_listed_key_are_those_of_its_account(store: Store) -> None:
    owner, key = add_key(store, "ops"), add_key(store, "work")
    write(store, usage_answer(since=days_ago(4), until=TODAY), owner.id)
    listed = stored_key(id=key.id, listing=Listing(owner.id, "work", None, False, None, None))
    wanted = UsageFilter(days_ago(9), TODAY, (key.id,))

    with store.read() as connection:
        assert count_known_days(connection, wanted, [listed], [], [], None) == 5
        assert count_known_days(connection, wanted, [key], [], [], None) == 0


def test_days_of_a_sum_are_known(store: Store) -> None:
    span = KeySpan(1, UsageSpan(days_ago(5), days_ago(3), Decimal(1)))
    with store.read() as connection:
        assert count_known_days(connection, UsageFilter(days_ago(9), TODAY), [], [span], [], None) == 3


@pytest.mark.parametrize(
    ("by", "since", "until", "left_out", "known_days"),
    [
        (DAY, date(2026, 10, 22), TODAY, [(date(2026, 10, 22), date(2026, 11, 12))], 8),
        (WEEK, date(2026, 9, 1), TODAY, [(date(2026, 10, 1), date(2026, 11, 12))], 8),
        (MONTH, date(2026, 10, 1), TODAY, [], 51),
        (MODEL, date(2026, 10, 2), TODAY, [(date(2026, 10, 2), date(2026, 10, 31))], 20),
        (MODEL, date(2026, 10, 1), days_ago(1), [(date(2026, 11, 1), date(2026, 11, 12))], 38),
        (MODEL, date(2026, 11, 13), TODAY, [], 8),
    ],
)
def test_a_window_that_cleanup_has_cut_says_which_days_do_not_count(
    store: Store,
    clock: FakeClock,
    by: Dimension,
    since: date,
    until: date,
    left_out: list[tuple[date, date]],
    known_days: int,
) -> None:
    add_key(store)
    spend(store, (date(2026, 10, 1), "m", "20"), (date(2026, 11, 2), "m", "3"), (TODAY, "m", "1"))
    cleanup_job.run(store, 7, clock)

    result = run(store, by, since=since, until=until)

    assert result.left_out == tuple(Days(*each) for each in left_out)
    assert result.known_days == known_days
