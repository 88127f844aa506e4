"""Doctor's look for days without data, and the account's totals against its credits."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import Credits, KeyFacts, KeyKind
from orwatch.domain.sources import UsageSource
from orwatch.errors import ApiError
from orwatch.jobs.doctor import stored as doctor_stored
from orwatch.jobs.doctor.account_totals import compare_accounts
from orwatch.jobs.doctor.days import check_days
from orwatch.jobs.doctor.result import Check, CheckStatus, Comparison
from orwatch.jobs.doctor.stored import day_ranges
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from tests.jobs.doctor.support import told
from tests.jobs.doctor.test_totals import list_key, write
from tests.jobs.support import add_key, days_ago
from tests.store.support import execute, on_each_engine
from tests.support import NOW, TODAY


def look(store: Store) -> list[Check]:
    with store.read() as connection:
        return list(check_days(doctor_stored.read_stored(connection, TODAY), NOW))


def test_days_that_were_all_read_are_fine(store: Store) -> None:
    add_key(store)
    write(store, {TODAY: "1"}, since=days_ago(30))
    assert told(look(store)) == [("work", "ok", "every day since 2026-10-21 was read")]


def test_a_gap_is_a_finding_with_the_sync_that_fills_it(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(20): "1"}, until=days_ago(15))
    write(store, {days_ago(12): "1"}, until=days_ago(12))
    write(store, {days_ago(9): "1"})
    [check] = look(store)
    assert told([check]) == [
        ("work", "finding", "no data for 2026-11-06 to 2026-11-07, 2026-11-09 to 2026-11-10")
    ]
    assert check.advice == "`orwatch sync --days 15` reads them."


def test_days_before_the_key_was_watched_are_no_gap(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(3): "1"})
    assert told(look(store)) == [("work", "ok", "every day since 2026-11-17 was read")]


def test_a_key_that_is_watched_since_today_has_no_gap(store: Store) -> None:
    add_key(store)
    write(store, {TODAY: "1"})
    assert told(look(store)) == [("work", "ok", "watched since today")]


def test_days_that_cleanup_removed_are_no_gap(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(20): "1"}, until=days_ago(15))
    write(store, {days_ago(5): "1"})
    with store.write() as connection:
        retention.raise_watermark(connection, days_ago(5))
    assert told(look(store)) == [("work", "ok", "every day since 2026-11-15 was read")]


def test_a_key_that_no_sync_has_read_is_a_finding_once_one_should_have(store: Store) -> None:
    add_key(store)
    assert told(look(store)) == [("work", "skipped", "no sync has read it yet")]
    execute(store, "UPDATE api_keys SET created_at = created_at - 7201, last_sync_error = 'no network'")
    [check] = look(store)
    assert told([check]) == [("work", "finding", "no sync has ever read it: no network")]
    assert check.advice == "`orwatch sync` fetches its usage."


@on_each_engine
def test_keys_that_are_not_watched_are_left_out(store: Store) -> None:
    for name in ("removed", "disabled"):
        add_key(store, name)
    with store.write() as connection:
        stored_keys.forget_secret(connection, 1, NOW)
        execute_disabled = "UPDATE api_keys SET is_active = FALSE, inactive_reason = 'disabled' WHERE id = 2"
        connection.exec_driver_sql(execute_disabled)
    assert look(store) == []


def count(store: Store, *readings: tuple[int, str, str]) -> None:
    with store.write() as connection:
        for day, life, daily in readings:
            reading = CounterReading(days_ago(day), Decimal(life), Decimal(daily))
            ledger.write_counters(connection, 1, reading, NOW - timedelta(days=day))
        [key] = stored_keys.list_keys(connection)
        stored_keys.record_sync(
            connection, key, source=UsageSource.COUNTERS, since=TODAY, until=TODAY, error=None, now=NOW
        )


def test_days_of_which_a_sum_is_known_are_told_but_not_missing(store: Store) -> None:
    add_key(store)
    count(store, (8, "5", "1"), (2, "9", "1"), (1, "9", "0"), (0, "9", "0"))
    assert told(look(store)) == [
        (
            "work",
            "ok",
            "every day since 2026-11-12 was read; only a total is known for 2026-11-13 to 2026-11-17",
        )
    ]


def test_days_that_counters_cannot_tell_any_more_say_so(store: Store) -> None:
    add_key(store)
    count(store, (4, "5", "1"), (1, "2", "1"), (0, "2", "0"))
    [check] = look(store)
    assert told([check]) == [("work", "finding", "no data for 2026-11-17 to 2026-11-18")]
    assert (check.advice or "").startswith("They cannot be read any more")


def test_an_account_is_told_once_for_all_its_keys(store: Store) -> None:
    add_key(store)
    owner = list_key(store, NOW)
    write(store, {days_ago(2): "3"}, source=UsageSource.ANALYTICS, until=days_ago(2))
    write(store, {TODAY: "0"}, key_id=owner.id, source=UsageSource.ANALYTICS, since=days_ago(25))
    assert told(look(store)) == [("ops", "ok", "every day since 2026-10-26 was read")]


def test_a_second_management_key_of_an_account_has_no_days_of_its_own(store: Store) -> None:
    add_key(store, "ops")
    execute(store, "UPDATE api_keys SET last_synced_at = ?", int(NOW.timestamp()))
    assert look(store) == []


def test_days_are_told_as_ranges_and_the_latest_of_many() -> None:
    days = [date(2026, 11, 1), date(2026, 11, 3), date(2026, 11, 2), date(2026, 11, 9)]
    assert day_ranges(days) == "2026-11-01 to 2026-11-03, 2026-11-09"
    many = [date(2026, 1, number) for number in range(1, 16, 2)]
    assert day_ranges(many) == "2026-01-07, 2026-01-09, 2026-01-11, 2026-01-13, 2026-01-15 and 3 times before"


@pytest.fixture
def account(store: Store) -> Store:
    """A management key, id 2, and its key: $10 a day for ten days, and $1 of no key."""
    add_key(store)
    owner = list_key(store, NOW)
    write(store, {days_ago(day): "10" for day in range(10)}, source=UsageSource.ACTIVITY)
    write(store, {days_ago(day): "1" for day in range(10)}, key_id=owner.id, source=UsageSource.ACTIVITY)
    return store


def read_credits(store: Store, moment: datetime, spent: str, owner_id: int = 2) -> None:
    with store.write() as connection:
        accounts.record_credits(connection, owner_id, Credits(Decimal(500), Decimal(spent)), moment)


def compare(store: Store, spent: str | ApiError, owner_id: int = 2) -> Check:
    told_credits = spent if isinstance(spent, ApiError) else Credits(Decimal(500), Decimal(spent))
    with store.read() as connection:
        stored = doctor_stored.read_stored(connection, TODAY)
        [check] = compare_accounts(connection, stored, {owner_id: told_credits})
    return check


def test_an_account_with_one_reading_cannot_be_compared_yet(account: Store) -> None:
    read_credits(account, NOW, "100")
    assert compare(account, "100").status is CheckStatus.SKIPPED


# Between the readings: seven days of $11, and what there is of the first day's and today's $11.
@pytest.mark.parametrize(
    ("growth", "stored", "status"),
    [
        ("77", "77", CheckStatus.OK),
        ("99", "99", CheckStatus.OK),
        ("76.3", "77", CheckStatus.OK),
        ("76", "77", CheckStatus.FINDING),
        ("99.9", "99", CheckStatus.OK),
        ("101", "99", CheckStatus.FINDING),
    ],
)
def test_an_accounts_credits_have_to_agree_with_its_ledger(
    account: Store, growth: str, stored: str, status: CheckStatus
) -> None:
    read_credits(account, NOW - timedelta(days=8), "100")
    read_credits(account, NOW, f"{100 + Decimal(growth)}")
    check = compare(account, f"{100 + Decimal(growth)}")
    assert check.status is status
    assert check.comparison == Comparison(days_ago(8), TODAY, Decimal(stored), Decimal(growth))


def test_what_an_account_lacks_is_told_with_the_days(account: Store) -> None:
    execute(account, "DELETE FROM usage_days WHERE date = ?", (days_ago(3) - date(1970, 1, 1)).days)
    read_credits(account, NOW - timedelta(days=8), "100")
    read_credits(account, NOW, "210")
    check = compare(account, "212.5")
    assert check.message == (
        "the account from 2026-11-12 to 2026-11-20: $99.00 stored, $110.00 by its credits: "
        "$11.00 is missing. Days that could explain it: no data for 2026-11-17; "
        "not settled yet 2026-11-12 to 2026-11-16, 2026-11-18 to 2026-11-20."
    )
    assert check.advice == (
        "`orwatch sync --days 9` reads the last days again, `orwatch sync --backfill 365d` all of them; "
        "then run this again."
    )


def test_what_an_account_spent_since_its_last_reading_is_told(account: Store) -> None:
    read_credits(account, NOW - timedelta(days=8), "100")
    read_credits(account, NOW, "180")
    assert compare(account, "182.5").message.endswith("$80.00 by its credits; $2.50 more since")


@pytest.mark.parametrize(("last", "now"), [("99", "99"), ("180", "20")])
def test_credits_that_went_down_cannot_be_compared(account: Store, last: str, now: str) -> None:
    read_credits(account, NOW - timedelta(days=8), "100")
    read_credits(account, NOW, last)
    assert compare(account, now).status is CheckStatus.UNKNOWN


def test_credits_that_could_not_be_read_are_unknown(account: Store) -> None:
    check = compare(account, ApiError("GET /credits answered 403", 403))
    assert told([check]) == [("ops", "unknown", "the account's credits: GET /credits answered 403")]


def test_a_sum_of_several_days_counts_where_it_lies_within(store: Store) -> None:
    owner = add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    execute(
        store,
        "INSERT INTO usage_spans (first_day, last_day, api_key_id, cost_nano) VALUES (?, ?, 1, 40000000000)",
        (days_ago(6) - date(1970, 1, 1)).days,
        (days_ago(4) - date(1970, 1, 1)).days,
    )
    read_credits(store, NOW - timedelta(days=8), "0", owner.id)
    read_credits(store, NOW, "40", owner.id)
    assert compare(store, "40", owner.id).status is CheckStatus.OK
    read_credits(store, NOW, "20", owner.id)
    assert compare(store, "20", owner.id).status is CheckStatus.FINDING
