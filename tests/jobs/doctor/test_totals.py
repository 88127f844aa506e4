"""Doctor's comparison with the counters of each key."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import KeyFacts, KeyKind, ListedKey, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.jobs.doctor import stored as doctor_stored
from orwatch.jobs.doctor.key_totals import compare_keys
from orwatch.jobs.doctor.result import Check, CheckStatus, Comparison
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts, listings
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from tests.jobs.doctor.support import told
from tests.jobs.support import add_key, days_ago
from tests.store.support import execute
from tests.support import NOW, TODAY, secret_of, usage_row

# TODAY is 20 November.
FIRST = date(2026, 11, 1)


def write(
    store: Store,
    costs: dict[date, str],
    *,
    key_id: int = 1,
    source: UsageSource = UsageSource.USAGE,
    since: date | None = None,
    until: date = TODAY,
    now: datetime = NOW,
    byok: str | None = None,
) -> None:
    """What a sync of the days from ``since`` on would have written."""
    rows = tuple(
        usage_row(day, cost=cost)._replace(byok_cost_usd=None if byok is None else Decimal(byok))
        for day, cost in sorted(costs.items())
    )
    first = since or min(costs)
    with store.write() as connection:
        ledger.write_usage(connection, key_id, UsageAnswer(source, first, until, rows), now)
        key = next(key for key in stored_keys.list_keys(connection, with_removed=True) if key.id == key_id)
        stored_keys.record_sync(connection, key, source=source, since=first, until=until, error=None, now=now)


def facts(
    monthly: str | None,
    daily: str | None = "0",
    life: str | None = None,
    byok: str | None = None,
    byok_daily: str | None = "0",
) -> KeyFacts:
    def usd(amount: str | None) -> Decimal | None:
        return None if amount is None else Decimal(amount)

    return KeyFacts(
        KeyKind.INFERENCE,
        usage_usd=usd(life),
        usage_daily_usd=usd(daily),
        usage_monthly_usd=usd(monthly),
        byok_usage_monthly_usd=usd(byok),
        byok_usage_daily_usd=usd(byok_daily),
    )


def compare(store: Store, *keys_facts: KeyFacts, key_id: int = 1) -> list[Check]:
    with store.read() as connection:
        stored = doctor_stored.read_stored(connection, TODAY)
    return list(compare_keys(stored, dict(enumerate(keys_facts, key_id))))


def one(store: Store, key_facts: KeyFacts, key_id: int = 1) -> Check:
    [check] = compare(store, key_facts, key_id=key_id)
    return check


@pytest.fixture
def watched(store: Store) -> Store:
    """A key with $1 on 1 November, $2 on the 10th, $3 yesterday and $4 today, all days read."""
    add_key(store)
    write(store, {FIRST: "1", date(2026, 11, 10): "2", days_ago(1): "3", TODAY: "4"}, since=days_ago(30))
    return store


def list_key(store: Store, created_at: datetime | None, name: str = "work") -> StoredKey:
    """A management key, id 2 or more, that lists the key."""
    owner = add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    key = ListedKey(hash_secret(secret_of(name)), name, None, False, created_at, KeyFacts(KeyKind.INFERENCE))
    with store.write() as connection:
        listings.merge_listing(connection, owner, [key], NOW)
    return owner


def test_a_month_that_agrees_is_fine(watched: Store) -> None:
    check = one(watched, facts("10", "4"))
    assert told([check]) == [("work", "ok", "this month: $10.00 stored, $10.00 at OpenRouter")]
    assert check.comparison == Comparison(FIRST, TODAY, Decimal(10), Decimal(10))
    assert check.comparison.difference_usd == 0


@pytest.mark.parametrize(
    ("told_usd", "status"),
    [
        ("10.05", CheckStatus.OK),
        ("10.06", CheckStatus.FINDING),
        ("9.96", CheckStatus.OK),
        ("9.94", CheckStatus.FINDING),
    ],
)
def test_half_a_percent_is_no_difference(watched: Store, told_usd: str, status: CheckStatus) -> None:
    assert one(watched, facts(told_usd, "4")).status is status


@pytest.mark.parametrize(("told_usd", "status"), [("0.02", CheckStatus.OK), ("0.021", CheckStatus.FINDING)])
def test_a_cent_is_no_difference_however_little_was_spent(
    store: Store, told_usd: str, status: CheckStatus
) -> None:
    add_key(store)
    write(store, {days_ago(1): "0.01"}, since=days_ago(30))
    assert one(store, facts(told_usd)).status is status


def test_what_is_missing_is_told_with_the_dollars_and_the_days(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(30): "9"}, until=days_ago(10))
    write(store, {days_ago(7): "5", TODAY: "1"}, since=days_ago(7))
    check = one(store, facts("8.21", "1"))
    assert told([check]) == [
        (
            "work",
            "finding",
            "this month: $6.00 stored, $8.21 at OpenRouter: $2.21 is missing. Days that could explain it: "
            "no data for 2026-11-11 to 2026-11-12; not settled yet 2026-11-01 to 2026-11-10, "
            "2026-11-13 to 2026-11-19.",
        )
    ]
    assert check.advice == "`orwatch sync --days 10` reads those days again, then run this again."
    assert check.comparison is not None
    assert check.comparison.difference_usd == Decimal("2.21")


def test_too_much_is_a_finding_too(watched: Store) -> None:
    check = one(watched, facts("7.5", "4"))
    assert check.status is CheckStatus.FINDING
    assert check.message.startswith(
        "this month: $10.00 stored, $7.50 at OpenRouter: $2.50 too much is stored. "
    )
    assert check.advice == "`orwatch sync --days 20` reads those days again, then run this again."


def test_days_that_were_counted_only_are_named_and_cannot_be_read_again(store: Store) -> None:
    add_key(store)
    with store.write() as connection:
        for day, life, daily in ((20, "0", "0"), (4, "7", "1"), (3, "8.5", "0.5"), (0, "8.5", "0")):
            reading = CounterReading(days_ago(day), Decimal(life), Decimal(daily))
            moment = NOW - timedelta(days=day)
            ledger.write_counters(connection, 1, reading, moment)
        [key] = stored_keys.list_keys(connection)
        stored_keys.record_sync(
            connection,
            key,
            source=UsageSource.COUNTERS,
            since=TODAY,
            until=TODAY,
            error=None,
            now=NOW,
        )
    # The spans: 31 October to 15 November $6, of which a part is October's; 17 to 19 November $0.50.
    check = one(store, facts("11"))
    assert check.status is CheckStatus.FINDING
    assert "this month: $2.50 stored, $11.00 at OpenRouter: $8.50 is missing." in check.message
    assert "only a total for 2026-11-01 to 2026-11-15, 2026-11-17 to 2026-11-19" in check.message
    assert "from counters or analytics 2026-11-16 to 2026-11-17" in check.message
    assert (check.advice or "").startswith("This server reports only counters")
    crossing = one(store, facts("7.9"))
    assert told([crossing])[0][1:] == (
        "ok",
        "this month: $2.50 stored, $7.90 at OpenRouter: only a total is known for 2026-10-31 to "
        "2026-11-15, and not how much of it is this month's",
    )


def test_what_was_spent_today_since_the_last_sync_is_no_difference(watched: Store) -> None:
    assert told([one(watched, facts("16.5", "10.5"))]) == [
        (
            "work",
            "ok",
            "this month: $10.00 stored, $16.50 at OpenRouter: $6.50 was spent since the last sync at "
            "2026-11-20 12:30 UTC",
        )
    ]


def read_facts(store: Store, key_facts: KeyFacts, now: datetime = NOW) -> None:
    """What a sync or a validate at that time would have stored of the counters."""
    with store.write() as connection:
        stored_keys.record_counters(connection, stored_keys.list_keys(connection)[0], key_facts, now)


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        # $4 are stored of today.
        ("29.5", "29.5", "$25.50 of today is missing. OpenRouter reported it when the last sync was made"),
        ("29.5", "31", "$25.50 of today is missing. OpenRouter reported it when the last sync was made"),
        ("4.021", "31", "$0.02 of today is missing. OpenRouter reported it when the last sync was made"),
        ("4.02", "31", "$27.00 was spent since the last sync"),
        ("4", "29.5", "$25.50 was spent since the last sync"),
    ],
)
def test_what_the_last_sync_missed_of_today_was_not_spent_since(
    watched: Store, then: str, now: str, message: str
) -> None:
    read_facts(watched, facts("0", then))
    check = one(watched, facts(str(6 + Decimal(now)), now))
    assert message in check.message
    assert check.message.endswith("2026-11-20 12:30 UTC")
    assert check.status is (CheckStatus.OK if "since the last sync" in message else CheckStatus.FINDING)


def test_what_a_sync_missed_of_today_is_found_once_whenever_the_history_begins(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(1): "3", TODAY: "1"}, since=days_ago(1))
    read_facts(store, facts("30", "2"))
    month, life = compare(store, facts("30", "2", life="300"))
    assert (month.status, life.status) == (CheckStatus.FINDING, CheckStatus.OK)
    assert "$1.00 of today is missing" in month.message


@pytest.mark.parametrize("hours", [1, -13])
def test_counters_that_were_read_after_the_sync_or_on_another_day_prove_nothing(
    watched: Store, hours: int
) -> None:
    read_facts(watched, facts("0", "29.5"), NOW + timedelta(hours=hours))
    check = one(watched, facts("35.5", "29.5"))
    assert (check.status, "$25.50 was spent since the last sync" in check.message) == (CheckStatus.OK, True)


def test_a_sync_of_earlier_days_missed_nothing_of_today(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(1): "3"}, since=days_ago(30), until=days_ago(1))
    read_facts(store, facts("4", "1"))
    assert one(store, facts("4", "1")).status is CheckStatus.OK


def test_todays_spend_hides_no_missing_day(watched: Store) -> None:
    check = one(watched, facts("18", "10.5"))
    assert check.status is CheckStatus.FINDING
    assert "$1.50 is missing" in check.message


def test_more_of_today_than_is_told_is_a_finding(watched: Store) -> None:
    check = one(watched, facts("9", "3"))
    assert (check.status, "$1.00 too much is stored" in check.message) == (CheckStatus.FINDING, True)


def test_after_a_day_without_a_sync_what_is_missing_may_be_new(store: Store) -> None:
    add_key(store)
    yesterday = NOW - timedelta(days=1)
    write(store, {days_ago(30): "9", days_ago(1): "3"}, until=days_ago(1), now=yesterday)
    assert told([one(store, facts("9", "4"))]) == [
        (
            "work",
            "unknown",
            "this month: $3.00 stored, $9.00 at OpenRouter: $6.00 more may have been spent since "
            "the last sync at 2026-11-19 12:30 UTC",
        )
    ]
    assert one(store, facts("3", "0")).status is CheckStatus.OK
    assert one(store, facts("2", "0")).status is CheckStatus.FINDING


def test_where_todays_spend_is_not_told_a_difference_may_be_todays(watched: Store) -> None:
    assert one(watched, facts("12", None)).status is CheckStatus.UNKNOWN
    assert one(watched, facts("10", None)).status is CheckStatus.OK


def test_a_history_that_begins_in_the_month_explains_what_is_missing(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(6): "3"}, since=days_ago(6))
    month, life = compare(store, facts("9", life="30"))
    assert told([month, life]) == [
        ("work", "ok", "this month: $3.00 stored, $9.00 at OpenRouter: history begins on 2026-11-14"),
        ("work", "ok", "lifetime: $3.00 stored, $30.00 at OpenRouter: history begins on 2026-11-14"),
    ]
    assert month.advice == "`orwatch sync --days 20` fetches what OpenRouter still has."
    assert life.advice == "`orwatch sync --days 31` fetches what OpenRouter still has."
    assert life.comparison == Comparison(None, TODAY, Decimal(3), Decimal(30))


def test_counted_keys_cannot_reach_back(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(6): "3"}, since=days_ago(6), source=UsageSource.COUNTERS)
    assert [check.advice for check in compare(store, facts("9", life="30"))] == [None, None]


def test_a_history_as_long_as_the_api_remembers_needs_no_advice(watched: Store) -> None:
    _, life = compare(watched, facts("10", "4", life="30"))
    assert (life.status, life.advice) == (CheckStatus.OK, None)
    assert life.message.endswith("history begins on 2026-10-21")


def test_a_life_that_is_known_from_the_keys_creation_on_must_agree(watched: Store) -> None:
    list_key(watched, datetime(2026, 10, 25, 9, tzinfo=UTC))
    month, life = compare(watched, facts("10", "4", life="10"))
    assert told([month, life])[1][1:] == ("ok", "lifetime: $10.00 stored, $10.00 at OpenRouter")
    _, life = compare(watched, facts("10", "4", life="12"))
    assert life.status is CheckStatus.FINDING
    assert life.message.startswith("lifetime: $10.00 stored, $12.00 at OpenRouter: $2.00 is missing. ")


def test_a_life_that_began_before_the_history_is_no_finding(watched: Store) -> None:
    list_key(watched, datetime(2026, 10, 20, 9, tzinfo=UTC))
    _, life = compare(watched, facts("10", "4", life="12"))
    assert life.status is CheckStatus.OK


def test_a_difference_of_the_month_is_not_found_twice(watched: Store) -> None:
    list_key(watched, datetime(2026, 10, 25, 9, tzinfo=UTC))
    month, life = compare(watched, facts("12", "4", life="12"))
    assert (month.status, life.status) == (CheckStatus.FINDING, CheckStatus.OK)
    assert life.message == "lifetime: $10.00 stored, $12.00 at OpenRouter: the same difference as this month"


def test_a_key_that_was_created_in_the_month_has_its_whole_month(store: Store) -> None:
    add_key(store)
    list_key(store, datetime(2026, 11, 14, 9, tzinfo=UTC))
    write(store, {days_ago(6): "3"}, since=days_ago(6))
    assert one(store, facts("3")).status is CheckStatus.OK
    assert one(store, facts("9")).status is CheckStatus.FINDING


def test_what_cleanup_moved_is_still_stored(watched: Store) -> None:
    with watched.write() as connection:
        for day in (FIRST, date(2026, 11, 10)):
            retention.remove_day(connection, day)
    month, life = compare(watched, facts("10", "4", life="10"))
    assert told([month, life]) == [
        ("work", "ok", "this month: $10.00 stored, $10.00 at OpenRouter"),
        ("work", "ok", "lifetime: $10.00 stored, $10.00 at OpenRouter"),
    ]
    check = one(watched, facts("14", "4"))
    assert "no data for" not in check.message
    assert check.advice == "`orwatch sync --days 10` reads those days again, then run this again."


def test_keys_of_ones_own_are_compared_apart(store: Store) -> None:
    add_key(store)
    write(
        store,
        {days_ago(2): "0", TODAY: "0"},
        since=days_ago(30),
        source=UsageSource.ACTIVITY,
        byok="1.25",
    )
    _, byok = compare(store, facts("0", byok="2.50", byok_daily="1.25"))
    assert told([byok])[0][1:] == (
        "ok",
        "this month, with keys of your own (BYOK): $2.50 stored, $2.50 at OpenRouter",
    )
    _, byok = compare(store, facts("0", byok="3.50", byok_daily="1.25"))
    assert (byok.status, "$1.00 is missing" in byok.message) == (CheckStatus.FINDING, True)
    assert byok.comparison is not None
    assert byok.comparison.stored_usd == Decimal("2.50")


def test_keys_of_ones_own_are_not_compared_where_the_source_does_not_tell_them(watched: Store) -> None:
    assert len(compare(watched, facts("10", "4", byok="3"))) == 1


def test_the_days_of_an_account_are_those_of_its_keys(store: Store) -> None:
    add_key(store)
    owner = list_key(store, datetime(2026, 1, 1, tzinfo=UTC))
    write(store, {days_ago(2): "3"}, source=UsageSource.ANALYTICS, until=days_ago(2))
    execute(store, "UPDATE api_keys SET last_synced_at = ?", int(NOW.timestamp()))
    write(store, {TODAY: "0"}, key_id=owner.id, source=UsageSource.ANALYTICS, since=days_ago(25))
    with store.write() as connection:
        accounts.update_account(connection, owner.id, backfilled_from=days_ago(364))
    assert one(store, facts("3")).status is CheckStatus.OK
    month, life = compare(store, facts("5", life="5"))
    assert (month.status, life.status) == (CheckStatus.FINDING, CheckStatus.OK)
    assert "from counters or analytics 2026-11-01 to 2026-11-19" in month.message
    assert "no data for" not in month.message
    assert month.advice == "`orwatch sync --days 20` reads those days again, then run this again."
    _, life = compare(store, facts("3", life="8"))
    assert life.status is CheckStatus.FINDING
    assert "no data for 2025-11-21 to 2026-10-25" in life.message
    assert life.advice == "`orwatch sync --backfill 365d` reads those days again, then run this again."


def test_an_account_whose_past_was_not_read_says_how_to_read_it(store: Store) -> None:
    add_key(store)
    owner = list_key(store, datetime(2025, 1, 1, tzinfo=UTC))
    write(store, {days_ago(2): "3"}, source=UsageSource.ANALYTICS)
    write(store, {TODAY: "0"}, key_id=owner.id, source=UsageSource.ANALYTICS, since=days_ago(25))
    _, life = compare(store, facts("3", life="8"))
    assert told([life])[0][1:] == (
        "ok",
        "lifetime: $3.00 stored, $8.00 at OpenRouter: history begins on 2026-10-26",
    )
    assert life.advice == "`orwatch sync --backfill 365d` fetches what OpenRouter still has."


@pytest.mark.parametrize(
    ("synced", "key_facts", "message"),
    [
        (True, facts(None), "the API does not report what it has spent"),
        (False, facts("3"), "no sync has read it yet"),
    ],
)
def test_what_cannot_be_compared_is_skipped(
    store: Store, synced: bool, key_facts: KeyFacts, message: str
) -> None:
    add_key(store)
    if synced:
        write(store, {TODAY: "3"})
    assert told([one(store, key_facts)]) == [("work", "skipped", message)]


def test_management_keys_and_keys_that_nothing_was_told_of_are_left_out(store: Store) -> None:
    add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    add_key(store, "silent")
    assert compare(store, facts("3")) == []


def test_a_nano_dollar_more_than_the_tolerance_is_seen(store: Store) -> None:
    add_key(store)
    write(store, {days_ago(1): "1000000.000000001"}, since=days_ago(30))
    check: Any = one(store, facts("1000000"))
    assert check.status is CheckStatus.OK
    assert check.comparison.difference_usd == Decimal("-0.000000001")
