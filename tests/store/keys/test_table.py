"""Reads and writes of the stored keys."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.exc import IntegrityError

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention
from tests.store.support import add_key, dump, get_key, scalar, write
from tests.support import NOW, TODAY, usage_answer, usage_row

LATER = NOW + timedelta(hours=2)
FACTS = KeyFacts(
    kind=KeyKind.MANAGEMENT,
    label="sk-or-v1-012...a29f",
    usage_usd=Decimal("25.123456789"),
    usage_daily_usd=Decimal("1e-9"),
    usage_weekly_usd=Decimal(0),
    usage_monthly_usd=Decimal("9999999.999999999"),
    byok_usage_usd=Decimal("0.5"),
    limit_usd=Decimal(100),
    limit_remaining_usd=Decimal("-3.5"),
    limit_reset="monthly",
    is_free_tier=False,
    expires_at=datetime(2027, 1, 1, 12, tzinfo=UTC),
)


def days_ago(number: int) -> date:
    return TODAY - timedelta(days=number)


def record_sync(store: Store, since: date, until: date, now: datetime = NOW) -> StoredKey:
    with store.write() as connection:
        stored_keys.record_sync(
            connection,
            get_key(store),
            source=UsageSource.USAGE,
            since=since,
            until=until,
            error=None,
            now=now,
        )
    return get_key(store)


def test_a_key_that_nobody_asked_about_is_active_and_nothing_is_known_of_it(store: Store) -> None:
    key = add_key(store)

    assert (key.is_active, key.inactive_reason, key.removed_at) == (True, None, None)
    assert (key.created_at, key.facts_read_at, key.synced_through) == (NOW, None, None)
    assert key.key_hash == hash_secret("work")
    assert key.facts == KeyFacts(KeyKind.UNKNOWN)


def test_facts_are_stored_to_the_nano_dollar_and_the_second(store: Store) -> None:
    key = add_key(store, facts=FACTS)

    assert key.facts == FACTS
    assert key.facts_read_at == NOW
    assert scalar(store, "SELECT usage_monthly_nano FROM api_keys") == 10**16 - 1


def test_newer_facts_replace_older_ones_unknown_ones_too(store: Store) -> None:
    key = add_key(store, facts=FACTS)
    with store.write() as connection:
        stored_keys.record_facts(connection, key.id, KeyFacts(KeyKind.INFERENCE, label="new"), LATER)

    key = get_key(store)
    assert key.facts == KeyFacts(KeyKind.INFERENCE, label="new")
    assert (key.facts_read_at, key.last_validated_at) == (LATER, LATER)


def test_a_check_that_told_no_facts_keeps_the_old_ones(store: Store) -> None:
    key = add_key(store, facts=FACTS)
    with store.write() as connection:
        stored_keys.record_check(connection, key.id, LATER)

    key = get_key(store)
    assert (key.facts, key.facts_read_at, key.last_validated_at) == (FACTS, NOW, LATER)


def test_keys_are_listed_by_id_the_removed_ones_only_when_asked_for(store: Store) -> None:
    for name in ("b", "c", "a"):
        add_key(store, name)
    with store.write() as connection:
        stored_keys.forget_secret(connection, 2, LATER)

    with store.read() as connection:
        assert [key.name for key in stored_keys.list_keys(connection)] == ["b", "a"]
        assert [key.name for key in stored_keys.list_keys(connection, with_removed=True)] == ["b", "c", "a"]


def test_a_key_is_found_by_the_hash_of_its_secret_removed_or_not(store: Store) -> None:
    add_key(store, "kept")
    gone = add_key(store, "gone")
    with store.write() as connection:
        stored_keys.forget_secret(connection, gone.id, LATER)
        found = [
            stored_keys.find_by_hash(connection, hash_secret(name)) for name in ("kept", "gone", "other")
        ]

    assert [key and key.name for key in found] == ["kept", "gone", None]


def test_two_keys_cannot_have_one_secret_or_one_name_but_a_removed_key_frees_its_name(store: Store) -> None:
    key = add_key(store)
    with pytest.raises(Exception, match=r"(?i)unique constraint .*api_keys"):
        add_key(store)
    with store.write() as connection:
        stored_keys.forget_secret(connection, key.id, LATER)
        stored_keys.insert_key(
            connection,
            name="work",
            key_hash="other",
            hint="…",
            secret_encrypted="token",
            facts=None,
            now=LATER,
        )

    with store.read() as connection:
        assert [key.key_hash for key in stored_keys.list_keys(connection)] == ["other"]


def test_a_removed_key_has_no_secret_any_more(store: Store) -> None:
    key = add_key(store, facts=FACTS)
    with store.write() as connection:
        assert stored_keys.has_secrets(connection)
        stored_keys.forget_secret(connection, key.id, LATER)
        assert not stored_keys.has_secrets(connection)

    key = get_key(store)
    assert (key.secret_encrypted, key.is_active, key.removed_at) == (None, False, LATER)


@pytest.mark.parametrize(("facts", "known"), [(None, FACTS), (KeyFacts(KeyKind.INFERENCE),) * 2])
def test_a_removed_key_that_comes_back_is_as_new_but_remembers_what_it_was_synced_through(
    store: Store, facts: KeyFacts | None, known: KeyFacts
) -> None:
    key = add_key(store, facts=FACTS)
    record_sync(store, days_ago(9), days_ago(3))
    with store.write() as connection:
        stored_keys.record_sync_failure(connection, key.id, "no answer")
        stored_keys.set_inactive(connection, key.id, InactiveReason.INVALID, NOW)
        stored_keys.forget_secret(connection, key.id, NOW)
        stored_keys.restore_key(
            connection, key.id, name="again", secret_encrypted="new token", facts=facts, now=LATER
        )

    key = get_key(store, "again")
    assert (key.id, key.secret_encrypted, key.is_active) == (1, "new token", True)
    assert (key.removed_at, key.inactive_reason, key.inactive_since) == (None, None, None)
    assert (key.last_sync_error, key.synced_through) == (None, days_ago(3))
    assert key.facts == known


def test_a_key_is_switched_off_with_reason_and_time_and_on_again(store: Store) -> None:
    key = add_key(store)
    with store.write() as connection:
        stored_keys.set_inactive(connection, key.id, InactiveReason.INVALID, LATER)
    off = get_key(store)
    with store.write() as connection:
        stored_keys.set_active(connection, key.id)

    assert (off.is_active, off.inactive_reason, off.inactive_since) == (False, InactiveReason.INVALID, LATER)
    assert get_key(store) == key


def test_a_key_is_renamed_and_its_secret_replaced_without_touching_another_one(store: Store) -> None:
    first, other = add_key(store), add_key(store, "other")
    with store.write() as connection:
        stored_keys.rename_key(connection, first.id, "new name")
        stored_keys.replace_secrets(connection, {first.id: "new token"})

    changed = {**asdict(first), "name": "new name", "secret_encrypted": "new token"}
    assert asdict(get_key(store, "new name")) == changed
    assert get_key(store, "other") == other


def test_a_purge_takes_the_key_and_all_its_history_and_nothing_else(store: Store) -> None:
    key, other = add_key(store), add_key(store, "other")
    for key_id in (key.id, other.id):
        write(store, usage_answer(usage_row(), usage_row(days_ago(1)), usage_row(days_ago(1), "b")), key_id)
    with store.write() as connection:
        retention.remove_day(connection, days_ago(1))

    with store.write() as connection:
        assert stored_keys.purge_key(connection, key.id) == 3

    for table in ("usage_stats", "usage_months", "usage_days"):
        assert {row[1] for row in dump(store, table)} == {other.id}
    assert [row[1] for row in dump(store, "api_keys")] == ["other"]


def test_usage_of_a_key_that_does_not_exist_cannot_be_stored(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key") as refused:
        write(store, usage_answer(usage_row()), key_id=99)

    assert not isinstance(refused.value, IntegrityError)
    assert dump(store, "usage_stats") == []


def test_a_first_sync_is_remembered_through_its_last_day(store: Store) -> None:
    add_key(store)

    key = record_sync(store, days_ago(6), TODAY, LATER)

    assert (key.synced_through, key.last_synced_at, key.source) == (TODAY, LATER, UsageSource.USAGE)


@pytest.mark.parametrize(
    ("since", "until", "through"),
    [
        (days_ago(6), TODAY, TODAY),  # overlaps what was read
        (days_ago(3), TODAY, TODAY),  # that day was not over yet when it was read: asked for again
        (days_ago(2), TODAY, days_ago(3)),  # a hole: that day's rest
        (TODAY, TODAY, days_ago(3)),  # a hole of days
        (days_ago(30), days_ago(20), days_ago(3)),  # an old window moves nothing back
        (days_ago(30), days_ago(3), days_ago(3)),
    ],
)
def test_a_later_sync_moves_on_only_what_it_leaves_no_hole_before(
    store: Store, since: date, until: date, through: date
) -> None:
    add_key(store)
    record_sync(store, days_ago(9), days_ago(3))

    assert record_sync(store, since, until).synced_through == through


def test_days_that_have_not_begun_are_not_remembered_as_read(store: Store) -> None:
    add_key(store)

    assert record_sync(store, days_ago(6), TODAY + timedelta(days=40)).synced_through == TODAY


def test_a_time_in_the_future_from_a_clock_that_was_wrong_is_corrected(store: Store) -> None:
    add_key(store)
    next_year = NOW + timedelta(days=365)
    record_sync(store, next_year.date(), next_year.date(), next_year)

    assert record_sync(store, days_ago(6), TODAY).synced_through == TODAY


def test_a_failed_sync_is_remembered_until_one_succeeds(store: Store) -> None:
    key = add_key(store)
    record_sync(store, days_ago(6), TODAY)
    with store.write() as connection:
        stored_keys.record_sync_failure(connection, key.id, "no answer")
    failed = get_key(store)

    assert (failed.last_sync_error, failed.last_synced_at) == ("no answer", NOW)
    assert record_sync(store, TODAY, TODAY).last_sync_error is None


def test_the_secret_is_in_no_repr(store: Store) -> None:
    assert "token of" not in repr(add_key(store))
