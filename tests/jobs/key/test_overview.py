"""What is known of the keys: shares, flags, lists and accounts."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.errors import UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import overview as key_overview
from orwatch.jobs.key.result import KeyFlag, KeyOverview
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention, spans
from tests.jobs.support import add_key, days_ago, spend
from tests.jobs.sync.account_support import (
    add_owner,
    list_under,
    listed,
    note_account,
    note_credits,
    note_spent,
    note_sync,
)
from tests.store.support import execute, get_key, write
from tests.support import NOW, TODAY, usage_answer, usage_row


def overviews(store: Store) -> dict[str, KeyOverview]:
    return {each.key.name: each for each in key_overview.list_overviews(store, NOW).keys}


@pytest.fixture
def owner(store: Store) -> StoredKey:
    return add_owner(store)


def test_the_share_is_of_all_that_was_spent_in_thirty_days_removed_keys_included(store: Store) -> None:
    for number, name in enumerate(("a", "b", "gone"), 1):
        add_key(store, name)
        spend(store, (days_ago(29), "x", "1"), (days_ago(30), "x", "100"), key_id=number)
    spend(store, (TODAY, "x", "1"), key_id=1)
    key_jobs.remove(store, "gone", NOW, with_history=False)

    result = key_overview.list_overviews(store, NOW)

    assert result.spent_30_days_usd == 4
    assert [(each.key.name, each.spent_30_days_usd, each.share_30_days) for each in result.keys] == [
        ("a", 2, Decimal("0.5")),
        ("b", 1, Decimal("0.25")),
    ]


def test_sums_of_different_days_have_no_share_and_say_of_how_many_days_they_are(store: Store) -> None:
    for name in ("long", "new", "unread", "off"):
        add_key(store, name)
    spend(store, *((days_ago(day), "x", "1") for day in range(30)), key_id=1)
    spend(store, *((days_ago(day), "x", "1") for day in range(4)), key_id=4)
    key_jobs.disable(store, "off", NOW)

    def shown() -> list[tuple[int, Decimal | None]]:
        return [(each.known_days, each.share_30_days) for each in overviews(store).values()]

    # What is not watched any more counts as far as it was.
    assert shown() == [(30, Decimal("0.882353")), (0, None), (0, None), (4, None)]

    spend(store, (TODAY, "x", "6"), key_id=2)
    assert shown() == [(30, None), (1, None), (0, None), (4, None)]
    assert key_overview.list_overviews(store, NOW).known_days is None


def test_keys_that_are_known_since_the_same_day_have_a_share_of_what_is_known(store: Store) -> None:
    for number, name in enumerate(("a", "b"), 1):
        add_key(store, name)
        spend(store, (days_ago(1), "x", str(number)), key_id=number)
    # Today goes on: one key was read before the other.
    spend(store, (TODAY, "x", "3"), key_id=1)

    result = key_overview.list_overviews(store, NOW)

    assert [each.known_days for each in result.keys] == [2, 1]
    assert result.known_days == 2
    assert [each.share_30_days for each in result.keys] == [Decimal("0.666667"), Decimal("0.333333")]


def test_a_listed_key_is_known_on_the_days_of_its_account_and_before_it_was_made(
    store: Store, owner: StoredKey
) -> None:
    list_under(
        store, owner, listed("a", age_days=200), listed("young", age_days=10), listed("own", age_days=10)
    )
    note_sync(store, "a", "young")
    note_sync(store, "own", source=UsageSource.COUNTERS)
    note_spent(store, "ops", "1", days=1)
    note_spent(store, "own", "1")

    found = overviews(store)

    assert {name: each.known_days for name, each in found.items()} == {
        "ops": 1,
        "a": 1,
        "young": 20,
        "own": 20,
    }


def test_a_key_that_is_new_at_openrouter_leaves_the_others_their_shares(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("a", age_days=200), listed("young", age_days=10))
    note_sync(store, "a", "young", source=UsageSource.COUNTERS)
    note_spent(store, "a", "3")
    note_spent(store, "young", "1")

    def shares() -> dict[str, Decimal | None]:
        return {each.key.name: each.share_30_days for each in overviews(store).values() if each.known_days}

    assert shares() == {"a": Decimal("0.75"), "young": Decimal("0.25")}
    assert key_overview.list_overviews(store, NOW).known_days == 1

    # Before it was made nothing of it is to be known; since then there is.
    note_spent(store, "a", "4", days=11)
    assert shares() == {"a": Decimal("0.875"), "young": Decimal("0.125")}
    note_spent(store, "a", "4", days=10)
    assert shares() == {"a": None, "young": None}


def test_the_days_of_a_sum_are_known_where_it_lies_within(store: Store) -> None:
    add_key(store)
    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(5), days_ago(3), Decimal(3)), set())
    spend(store, (TODAY, "x", "1"))
    assert overviews(store)["work"].known_days == 4

    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(40), days_ago(28), Decimal(9)), set())
    assert overviews(store)["work"].known_days == 4


def test_of_a_key_that_nobody_looked_at_nothing_is_known(store: Store) -> None:
    add_key(store)

    (found,) = key_overview.list_overviews(store, NOW).keys

    assert (found.spent_30_days_usd, found.share_30_days, found.spent_month_usd) == (None, None, None)
    assert found.flags == ()


def test_without_keys_there_is_nothing(store: Store) -> None:
    assert key_overview.list_overviews(store, NOW).keys == ()


def test_a_listed_key_without_use_is_known_to_have_had_none_once_it_was_synced(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("new", age_days=3), listed("quiet", age_days=3))
    note_sync(store, "quiet")

    found = overviews(store)

    assert (found["new"].spent_30_days_usd, found["quiet"].spent_30_days_usd) == (None, 0)
    assert (found["new"].spent_month_usd, found["quiet"].spent_month_usd) == (None, 0)


def test_this_month_is_of_this_month(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("a"))
    note_spent(store, "a", "1", days=TODAY.day - 1)
    note_spent(store, "a", "7", days=TODAY.day)
    note_spent(store, "a", "0.5", days=TODAY.day - 2)
    with store.write() as connection:
        retention.remove_day(connection, days_ago(TODAY.day - 2))

    assert overviews(store)["a"].spent_month_usd == Decimal("1.5")


@pytest.mark.parametrize(
    ("read_at_days_ago", "source", "expected"),
    [
        (0, UsageSource.COUNTERS, "50"),
        (0, UsageSource.USAGE, "2"),
        (TODAY.day, UsageSource.COUNTERS, "2"),
    ],
)
def test_the_counter_of_the_month_tells_what_was_before_the_first_sync(
    store: Store, read_at_days_ago: int, source: UsageSource, expected: str
) -> None:
    add_key(store, facts=KeyFacts(KeyKind.INFERENCE, usage_monthly_usd=Decimal(50)))
    spend(store, (TODAY, "x", "2"))
    seconds = int((NOW - timedelta(days=read_at_days_ago)).timestamp())
    execute(store, "UPDATE api_keys SET source = ?, facts_read_at = ?", source.value, seconds)

    assert overviews(store)["work"].spent_month_usd == Decimal(expected)


def test_a_sum_of_several_days_counts_where_it_lies_within(store: Store) -> None:
    add_key(store, "a")
    add_key(store, "b")
    with store.write() as connection:
        inside = UsageSpan(days_ago(5), days_ago(3), Decimal(3))
        astride = UsageSpan(days_ago(40), days_ago(28), Decimal(9))
        spans.write_span(connection, 1, inside, set())
        spans.write_span(connection, 2, astride, set())

    found = overviews(store)

    assert (found["a"].spent_30_days_usd, found["b"].spent_30_days_usd) == (3, None)


@pytest.mark.parametrize(
    ("facts", "is_unlimited"),
    [
        ({}, True),
        ({"limit_usd": Decimal(0)}, False),
        ({"limit_usd": Decimal(5), "limit_remaining_usd": Decimal(-1)}, False),
        ({"limit_remaining_usd": Decimal(-1)}, False),
    ],
)
def test_a_null_limit_is_none_at_all(store: Store, facts: dict[str, Any], is_unlimited: bool) -> None:
    add_key(store, facts=KeyFacts(KeyKind.INFERENCE, **facts))

    assert (KeyFlag.UNLIMITED in overviews(store)["work"].flags) is is_unlimited


def test_a_limit_that_was_never_told_and_a_management_key_are_not_unlimited(
    store: Store, owner: StoredKey
) -> None:
    add_key(store, "unchecked")

    assert [each.flags for each in overviews(store).values()] == [(), ()]


def dormant(store: Store, name: str = "a") -> bool:
    return KeyFlag.DORMANT in overviews(store)[name].flags


def test_a_listed_key_is_dormant_after_thirty_days_without_use(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("a"), listed("young", age_days=29))
    note_account(store, owner, backfilled_from=days_ago(364))
    note_sync(store, "a", "young")

    assert dormant(store)
    assert not dormant(store, "young")

    note_spent(store, "a", "0", days=29, requests=1)
    assert not dormant(store)


@pytest.mark.parametrize(
    ("backfilled_from", "synced_at", "source"),
    [
        (days_ago(28), NOW, UsageSource.ANALYTICS),
        (None, NOW, UsageSource.ANALYTICS),
        (days_ago(364), NOW - timedelta(days=2), UsageSource.ANALYTICS),
        (days_ago(364), NOW, UsageSource.COUNTERS),
    ],
)
def test_no_key_is_dormant_of_which_some_day_is_not_known(
    store: Store, owner: StoredKey, backfilled_from: date | None, synced_at: Any, source: UsageSource
) -> None:
    list_under(store, owner, listed("a"))
    note_account(store, owner, backfilled_from=backfilled_from)
    note_sync(store, "a", now=synced_at, source=source)

    assert not dormant(store)


def test_an_ordinary_key_is_dormant_when_it_was_watched_for_long(store: Store) -> None:
    add_key(store)
    unused = usage_row(days_ago(29), None, requests=0, tokens_input=0, tokens_output=0, cost="0")
    write(store, usage_answer(unused))
    note_sync(store, "work", source=UsageSource.USAGE)
    assert not dormant(store, "work")

    execute(store, "UPDATE api_keys SET created_at = ?", int((NOW - timedelta(days=30)).timestamp()))
    assert dormant(store, "work")

    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(40), days_ago(29), Decimal(1)), set())
    assert not dormant(store, "work")


def test_a_disabled_key_is_disabled_and_not_dormant_and_a_deleted_one_is_the_last(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("gone"), listed("off", is_disabled=True))
    note_account(store, owner, backfilled_from=days_ago(364))
    note_sync(store, "gone", "off")
    list_under(store, owner, listed("off", is_disabled=True))
    add_key(store, "own")
    key_jobs.disable(store, "own", NOW)

    found = overviews(store)

    assert {name: each.flags for name, each in found.items()} == {
        "ops": (),
        "off": (KeyFlag.UNLIMITED, KeyFlag.DISABLED),
        "own": (KeyFlag.DISABLED,),
        "gone": (KeyFlag.DELETED,),
    }
    assert list(found)[-1] == "gone"
    assert found["off"].listed_by == "ops"


def test_one_management_key_is_described_with_its_account(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("a"), listed("b"), listed("gone"))
    list_under(store, owner, listed("a"), listed("b"))
    add_key(store, "a")
    note_account(store, owner, backfilled_from=days_ago(364))
    note_credits(store, owner, "100", "25")

    details = key_overview.describe(store, "ops", NOW)

    account = details.account
    assert account is not None
    assert (account.key_count, account.backfilled_from, account.credits_read_at) == (2, days_ago(364), NOW)
    assert account.credits is not None
    assert account.credits.balance_usd == 75
    assert key_overview.describe(store, "a", NOW).account is None
    assert key_overview.describe(store, "b", NOW).overview.listed_by == "ops"
    with pytest.raises(UsageError, match="Did you mean 'ops'"):
        key_overview.describe(store, "opps", NOW)


def test_a_management_key_that_was_never_synced_has_an_account_of_unknowns(
    store: Store, owner: StoredKey
) -> None:
    account = key_overview.describe(store, "ops", NOW).account

    assert account is not None
    assert (account.key_count, account.backfilled_from, account.credits) == (0, None, None)


def count_statements(store: Store) -> int:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement)

    with store.read() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        key_overview.list_overviews(store, NOW)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(statements)


def test_five_hundred_keys_need_no_more_queries_than_one(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("first"))
    note_spent(store, "first", "1")
    before = count_statements(store)
    # One by one would be slow: each new name is looked for among all.
    columns = "name, hint, is_active, created_at, kind, account_key_id, is_listed_disabled"
    for number in range(500):
        execute(
            store,
            f"INSERT INTO api_keys (key_hash, {columns}) SELECT ?, ?, hint, TRUE, created_at, kind, ?, FALSE "
            "FROM api_keys WHERE name = 'first'",
            f"hash {number}",
            f"key {number}",
            owner.id,
        )

    assert len(overviews(store)) == 502
    assert count_statements(store) == before < 20
    assert get_key(store, "key 499").listing is not None
