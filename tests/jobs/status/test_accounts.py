"""Status of accounts: what was spent, what is left, and which of their keys need a person."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.status import run as status_job
from orwatch.jobs.status.result import AccountStatus, Purchase, StatusResult
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
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
from tests.support import NOW, TODAY, usage_answer


@pytest.fixture
def owner(store: Store) -> StoredKey:
    return add_owner(store)


def make_old(store: Store) -> None:
    seconds = int((NOW - timedelta(days=100)).timestamp())
    execute(store, "UPDATE ledger_state SET created_at = ?", seconds)
    execute(store, "UPDATE api_keys SET created_at = ?", seconds)


def key_problems(store: Store) -> dict[str, str | None]:
    return {each.key.name: each.problem for each in status_job.run(store, NOW).keys}


def allowances(result: StatusResult) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    return {each.key.name: (each.can_spend.amount_usd, each.balance_usd) for each in result.allowances}


def test_what_was_spent_is_of_all_keys_removed_ones_included(store: Store) -> None:
    for number, name in enumerate(("a", "gone"), 1):
        add_key(store, name)
        spend(
            store,
            (date(2026, 10, 31), "x", "100"),
            (date(2026, 11, 1), "x", "10"),
            (TODAY, "x", "1.5"),
            key_id=number,
        )
    key_jobs.remove(store, "gone", NOW, with_history=False)

    result = status_job.run(store, NOW)

    assert (result.spent_today_usd, result.spent_month_usd) == (3, 23)


def test_what_nobody_looked_at_is_unknown_and_not_zero(store: Store) -> None:
    add_key(store)

    result = status_job.run(store, NOW)

    assert (result.spent_today_usd, result.spent_month_usd) == (None, None)
    assert (result.accounts, result.allowances) == ((), ())


def test_a_day_without_use_is_zero_once_somebody_looked(store: Store) -> None:
    add_key(store)
    write(store, usage_answer())

    result = status_job.run(store, NOW)

    assert (result.spent_today_usd, result.spent_month_usd) == (0, 0)


def test_the_balance_is_that_of_the_last_reading_with_the_last_purchase(
    store: Store, owner: StoredKey
) -> None:
    for days, bought, spent in ((30, "50", "10"), (20, "150", "20"), (10, "250.5", "30"), (1, "250.5", "90")):
        note_credits(store, owner, bought, spent, NOW - timedelta(days=days))

    (account,) = status_job.run(store, NOW).accounts

    assert account.credits is not None
    assert (account.name, account.credits.balance_usd) == ("ops", Decimal("160.5"))
    assert account.read_at == NOW - timedelta(days=1)
    assert account.last_purchase == Purchase(Decimal("100.5"), days_ago(20))


def test_the_balance_of_an_account_that_was_never_read_is_unknown(store: Store, owner: StoredKey) -> None:
    assert status_job.run(store, NOW).accounts == (AccountStatus("ops"),)


def test_without_a_second_reading_no_purchase_was_seen(store: Store, owner: StoredKey) -> None:
    note_credits(store, owner, "100", "25")

    assert status_job.run(store, NOW).accounts[0].last_purchase is None


def test_a_management_key_that_is_not_watched_has_no_balance(store: Store, owner: StoredKey) -> None:
    note_credits(store, owner, "100", "25")
    key_jobs.disable(store, "ops", NOW)

    assert status_job.run(store, NOW).accounts == ()


def test_an_account_with_two_management_keys_has_one_balance(store: Store, owner: StoredKey) -> None:
    second = add_owner(store, "second")
    other = add_owner(store, "other")
    for each, account_id in ((owner, "one"), (second, "one"), (other, "two")):
        note_account(store, each, account_id=account_id)

    assert [account.name for account in status_job.run(store, NOW).accounts] == ["ops", "other"]


def test_what_a_key_can_spend_is_the_smaller_of_its_limit_and_the_balance_and_never_negative(
    store: Store, owner: StoredKey
) -> None:
    limit = {"limit_usd": Decimal(100)}
    list_under(
        store,
        owner,
        listed("rich", limit_remaining_usd=Decimal(90), **limit),
        listed("poor", limit_remaining_usd=Decimal(5), **limit),
        listed("over", limit_remaining_usd=Decimal("-0.5"), **limit),
        listed("free"),
        listed("off", is_disabled=True, limit_remaining_usd=Decimal(1), **limit),
    )
    note_credits(store, owner, "100", "25")
    add_key(store, "own", facts=KeyFacts(KeyKind.INFERENCE, limit_remaining_usd=Decimal(80), **limit))
    add_key(store, "asleep", facts=KeyFacts(KeyKind.INFERENCE, limit_remaining_usd=Decimal(3), **limit))
    key_jobs.disable(store, "asleep", NOW)

    result = status_job.run(store, NOW)

    assert list(allowances(result).items()) == [
        ("over", (Decimal(0), Decimal(75))),
        ("poor", (Decimal(5), Decimal(75))),
        ("rich", (Decimal(75), Decimal(75))),
        ("own", (Decimal(80), None)),
    ]


def test_with_a_balance_below_zero_nothing_can_be_spent(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("a", limit_usd=Decimal(9), limit_remaining_usd=Decimal(9)))
    note_credits(store, owner, "100", "100.25")

    assert allowances(status_job.run(store, NOW)) == {"a": (Decimal(0), Decimal("-0.25"))}


def test_keys_that_are_merely_discovered_disabled_or_deleted_are_no_trouble(
    store: Store, owner: StoredKey
) -> None:
    long_ago = NOW - timedelta(days=1)
    list_under(store, owner, listed("found"), listed("off"), listed("expired"), listed("gone"))
    note_sync(store, "off", "gone", error="500")
    list_under(
        store,
        owner,
        listed("found"),
        listed("off", is_disabled=True, expires_at=long_ago),
        listed("expired", expires_at=long_ago),
    )

    assert key_problems(store) == {"ops": None, "found": None, "off": None, "expired": None}


def test_the_sync_errors_and_the_end_of_listed_keys_are_told_as_those_of_others(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("a"), listed("b", expires_at=NOW + timedelta(days=3)))
    note_sync(store, "a", error="GET /activity answered 500")

    assert key_problems(store) == {
        "ops": None,
        "a": "the last sync: GET /activity answered 500",
        "b": "the key expires at 2026-11-23 12:30 UTC. Create its successor at OpenRouter; the next sync "
        "finds it",
    }


def test_a_key_that_was_disabled_at_openrouter_is_no_trouble_for_being_refused(
    store: Store, owner: StoredKey
) -> None:
    add_key(store, "a")
    list_under(store, owner, listed("a", is_disabled=True))
    with store.write() as connection:
        stored_keys.set_inactive(connection, get_key(store, "a").id, InactiveReason.INVALID, NOW)

    assert key_problems(store)["a"] is None


@pytest.mark.parametrize("is_watched", [True, False])
def test_jobs_are_missed_where_an_account_is_watched(
    store: Store, owner: StoredKey, is_watched: bool
) -> None:
    list_under(store, owner, listed("a"))
    note_sync(store, "a", error="500")
    make_old(store)
    if not is_watched:
        key_jobs.disable(store, "ops", NOW)

    result = status_job.run(store, NOW)

    assert any(job.is_missed for job in result.jobs) is is_watched
    assert bool([each for each in result.keys if each.problem]) is is_watched


def test_a_discovered_key_is_watched_through_an_active_management_key_only(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("a"))
    make_old(store)
    execute(store, "UPDATE api_keys SET created_at = ? WHERE name = 'ops'", int(NOW.timestamp()))

    # Watched for long, through the management key that was just added.
    assert status_job.run(store, NOW).problems != ()
    note_spent(store, "a", "1")
    key_jobs.disable(store, "ops", NOW)
    assert status_job.run(store, NOW).problems == ()
